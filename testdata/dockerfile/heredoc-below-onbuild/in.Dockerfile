FROM base
ONBUILD RUN <<EOF
echo hi
EOF
USER me
