//! Plan, stages, instructions, layers.
