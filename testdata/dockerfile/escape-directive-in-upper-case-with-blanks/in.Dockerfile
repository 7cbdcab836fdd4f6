#  EsCaPe = `  
FROM base
RUN a `
 b\
