FROM base
RUN --mount='type=bind,"target=/a' cmd
