FROM base
  	# c
	RUN x
