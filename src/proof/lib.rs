//! The checks on packages and the gate.
