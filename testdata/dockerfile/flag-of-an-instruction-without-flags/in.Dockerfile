FROM base
USER --x me
