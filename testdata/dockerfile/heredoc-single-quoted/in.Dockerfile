FROM base
COPY <<'E F' /d
$x
E F
