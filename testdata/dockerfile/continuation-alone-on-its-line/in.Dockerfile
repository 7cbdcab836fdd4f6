FROM base
RUN \
\
\
 one
