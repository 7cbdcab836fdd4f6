FROM base
CMD cat <<E
USER me
