FROM base
ENV A=a\ b B='c d'\
  C="e \" f"
