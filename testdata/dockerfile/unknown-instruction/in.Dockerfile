FROM base

  RNU x
