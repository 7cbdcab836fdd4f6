FROM base
RUN one \
  two
COPY <<EOF /f
body
EOF
