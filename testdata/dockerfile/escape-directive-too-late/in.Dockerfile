# a comment first
# escape=`
FROM base
RUN one `
USER me
