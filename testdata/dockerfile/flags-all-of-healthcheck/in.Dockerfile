FROM base
HEALTHCHECK --interval=1m30s --timeout=5s --start-period=1s --start-interval=2s --retries=4 CMD x
