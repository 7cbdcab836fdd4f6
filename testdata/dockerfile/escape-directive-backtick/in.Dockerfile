# escape=`
FROM base
RUN dir c:\ `
  /w
ENV P=c:\dir\ Q=1
