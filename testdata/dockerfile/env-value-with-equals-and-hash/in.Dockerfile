FROM base
ENV A=b=c B=#d
