FROM base
ADD <<-one <<two /d/
	a
	one
	b
two
