FROM base
CMD ["a"] b
RUN [ "a" ] && b
