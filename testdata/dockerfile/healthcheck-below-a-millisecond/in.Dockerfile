FROM base
HEALTHCHECK --timeout=50ns CMD x
