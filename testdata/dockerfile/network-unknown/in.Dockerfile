FROM base
RUN --network=moon x
