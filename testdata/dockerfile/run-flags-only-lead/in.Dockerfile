FROM base
RUN --mount=type=cache,target=/c --network=none cmd --mount=x
