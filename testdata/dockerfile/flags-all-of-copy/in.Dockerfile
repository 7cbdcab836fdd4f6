FROM base
COPY --from=x --chown=1:2 --chmod=u=rw,go=r --link --parents --exclude=a --exclude=b* a b /c/
