FROM base
ENV NAME several words = here
LABEL key  value with  blanks
