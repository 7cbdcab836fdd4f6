FROM base
RUN <<E
 E
E 
EE
E
