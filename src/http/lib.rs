//! The one HTTP stack.
