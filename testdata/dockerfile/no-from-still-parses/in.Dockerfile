RUN one
