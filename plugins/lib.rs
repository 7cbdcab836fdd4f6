//! The plugins of the default pipeline, one file each.
