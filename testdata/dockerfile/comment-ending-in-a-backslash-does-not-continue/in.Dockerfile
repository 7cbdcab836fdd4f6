FROM base
# not continued \
RUN x
