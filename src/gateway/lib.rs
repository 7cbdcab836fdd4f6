//! A step's only way out.
