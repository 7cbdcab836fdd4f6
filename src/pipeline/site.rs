//! What a site configures, read from YAML.
