FROM ba\
se
ENV A=on\
e
