FROM base
COPY é --from=x
WORKDIR
