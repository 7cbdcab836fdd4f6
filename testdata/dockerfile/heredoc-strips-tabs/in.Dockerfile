FROM base
COPY <<-EOF /f
	one
		two
  three
	EOF
