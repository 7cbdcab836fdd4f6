# first
#
# second
# third
FROM base
# gone

USER me
