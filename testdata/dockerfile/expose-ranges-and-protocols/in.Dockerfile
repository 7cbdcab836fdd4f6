FROM base
EXPOSE 80 443/tcp $P 1-9/udp
