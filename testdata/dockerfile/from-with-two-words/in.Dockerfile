FROM base stage
