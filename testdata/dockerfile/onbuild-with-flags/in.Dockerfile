FROM base
OnBuild copy --from=a --chown=1 b /c
