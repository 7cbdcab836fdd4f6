FROM base
HEALTHCHECK --interval=1m30s --retries=3 CMD ["curl", "x"]
HEALTHCHECK cmd curl x
HEALTHCHECK NONE
