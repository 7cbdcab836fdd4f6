FROM base
RUN echo it's <<EOF
USER me
