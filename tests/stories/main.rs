//! User stories: each file runs the real binary as a person, a pod or a program would and judges what it leaves behind.
//!
//! A story that needs something the machine lacks says `skipped: …` on stderr and passes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and skips aloud"
)]

mod autorebuild;
mod cancelled;
mod composes;
mod contexts;
mod deploy;
mod distgit_files;
mod external;
mod files;
mod filesystems;
mod gateway;
mod grafts;
mod groups;
mod hello;
mod injected;
mod inside_build;
mod killed;
mod koji;
mod language;
mod logs;
mod mistakes;
mod mounts;
mod options;
mod outputs;
mod parents;
mod pods;
mod publish;
mod reservations;
mod sbom;
mod secrets;
mod site;
mod stages;
mod steps;
mod support;
mod webd;
mod whole;
