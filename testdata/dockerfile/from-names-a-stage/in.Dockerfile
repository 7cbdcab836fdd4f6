FROM base AS One
from --platform=$BUILDPLATFORM one as two
FROM scratch
