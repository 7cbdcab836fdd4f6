FROM base
CMD ['a']
CMD ["a",]
CMD ["a"] b
CMD [1,
RUN ["a	b"]
