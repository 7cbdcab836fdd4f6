FROM base
RUN --mount=type=tmpfs,target=/t \
  <<E sh
x
E
