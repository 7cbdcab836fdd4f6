#syntax=docker/dockerfile:1
# check=skip=A;error=true
# escape=`
FROM base
RUN a\
