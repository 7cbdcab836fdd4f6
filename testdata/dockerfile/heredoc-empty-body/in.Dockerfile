FROM base
RUN <<E
E
USER me
