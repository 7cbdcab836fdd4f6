FROM base
RUN a \
# escape=`
  b \
  c
