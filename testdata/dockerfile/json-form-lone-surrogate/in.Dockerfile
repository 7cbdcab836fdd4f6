FROM base
CMD ["\ud800x"]
