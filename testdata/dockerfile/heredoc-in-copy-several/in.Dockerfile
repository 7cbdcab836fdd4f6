FROM base
COPY <<one <<"two" src /dest/
1 $x
one
2 $x
two
