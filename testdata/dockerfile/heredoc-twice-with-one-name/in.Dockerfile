FROM base
COPY <<E <<E /d/
a
E
b
E
