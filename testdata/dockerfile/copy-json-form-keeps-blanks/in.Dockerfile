FROM base
COPY [ "a file" , "b\u00e9\ud83d\ude00" , "/dest dir/" ]
ADD ["x",  "/y"]
