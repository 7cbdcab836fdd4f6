FROM base
VOLUME [["/a"]]
