FROM base
make install
