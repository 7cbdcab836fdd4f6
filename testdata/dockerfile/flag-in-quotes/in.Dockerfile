FROM --platform="linux/amd64" base
COPY "--chown=1" /d
