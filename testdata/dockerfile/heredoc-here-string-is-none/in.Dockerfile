FROM base
RUN cat <<<word
USER me
