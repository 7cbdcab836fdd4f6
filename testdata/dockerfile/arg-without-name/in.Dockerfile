ARG =x
