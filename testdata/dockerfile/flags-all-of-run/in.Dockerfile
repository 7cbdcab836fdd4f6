FROM base
RUN --mount=type=cache,target=/c,id=x,sharing=locked --mount=type=secret,id=s,env=S --network=none --security=sandbox x --not=a-flag
