from Base as Name
FROM --platform=$P $I AS x.y-z_1
