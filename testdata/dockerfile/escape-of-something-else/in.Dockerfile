# escape=^
FROM base
