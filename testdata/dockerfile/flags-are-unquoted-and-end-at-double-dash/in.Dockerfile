FROM --platform="linux/amd64" base
COPY --chown="a b":c --chmod=755 x y
RUN -- --not-a-flag
