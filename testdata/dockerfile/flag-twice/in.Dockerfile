FROM base
COPY --from=a --from=b x y
