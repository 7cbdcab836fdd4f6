FROM base
RUN <<"a b"
x
a b
RUN <<E"O"F
y
EOF
