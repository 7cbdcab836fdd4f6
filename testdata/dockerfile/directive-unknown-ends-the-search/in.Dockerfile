# what=ever
# escape=`
FROM base
RUN a \
 b
