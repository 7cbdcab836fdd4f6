FROM base
RUN <<"E"F
$x
EF
