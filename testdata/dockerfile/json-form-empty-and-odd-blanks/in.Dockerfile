FROM base
CMD []
ENTRYPOINT	[	"a"	]	
VOLUME ["/a b"]
SHELL [ "/bin/sh" , "-c" ]
