FROM base
RUN << EOF
x
EOF
RUN <<-  EOF
USER me
