FROM base
RUN <<PY python3 -
print("<<X")
PY
RUN 3<<A cat /dev/fd/3 && 4<<'B' cat /dev/fd/4
a
A
b
B
