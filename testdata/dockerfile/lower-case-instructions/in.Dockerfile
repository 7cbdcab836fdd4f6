from base
run one
CoPy a b
