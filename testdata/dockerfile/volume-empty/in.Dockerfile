FROM base
VOLUME ["/a", " "]
