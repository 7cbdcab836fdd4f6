FROM base
RUN one && \
# not here
  # nor here
    two
