FROM base
CMD ["\u0041\t\"", "\\"]
