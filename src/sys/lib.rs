//! System calls the standard library lacks, one function each.
