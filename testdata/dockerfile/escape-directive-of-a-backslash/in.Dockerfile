# escape=\
FROM base
RUN a \
 b
