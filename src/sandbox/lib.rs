//! The isolation ladder: probe, enter, mount, run one process.
