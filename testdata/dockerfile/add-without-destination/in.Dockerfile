FROM base
ADD x
