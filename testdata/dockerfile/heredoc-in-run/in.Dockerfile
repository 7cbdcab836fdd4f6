FROM base
RUN <<EOF
# not a comment
FROM nowhere \
EOF
USER me
