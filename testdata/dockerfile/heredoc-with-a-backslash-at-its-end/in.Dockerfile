FROM base
RUN <<E
a \
E
USER me
