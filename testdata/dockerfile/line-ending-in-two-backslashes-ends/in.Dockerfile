FROM base
RUN echo a\\
RUN echo b\\ \
  c
