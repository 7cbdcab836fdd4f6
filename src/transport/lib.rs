//! Image sources and sinks.
