FROM base
RUN <<A cat - <<B 3<<C
a
A
b
B
c
C
USER me
