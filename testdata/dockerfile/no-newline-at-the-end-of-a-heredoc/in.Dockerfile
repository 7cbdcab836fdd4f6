FROM base
RUN <<E
x
E