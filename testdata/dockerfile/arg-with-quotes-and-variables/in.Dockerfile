ARG A="b c" D E=$A
FROM base
ARG F='g'
