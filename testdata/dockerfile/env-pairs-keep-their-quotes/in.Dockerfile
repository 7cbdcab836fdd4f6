FROM base
ENV A=1 B="two words" C='three "x"' D=four\ five E="a\"b"
