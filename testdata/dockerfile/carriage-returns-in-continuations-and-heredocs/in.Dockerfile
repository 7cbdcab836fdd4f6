FROM base
RUN a \
  b
COPY <<E /d
one
E
USER me
