FROM base
\
RUN x
