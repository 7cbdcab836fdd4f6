//! The Dockerfile language: parse, expand, edit, ignore.
