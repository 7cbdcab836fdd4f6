//! The Build object of `$BUILD`.

pub(super) use cluster::build_object::{Build, SourceType};

use crate::failure::{Failure, Status};

/// Reads the text of the variable.
pub(super) fn build_object(text: &str) -> Result<Build, Failure> {
    cluster::build_object::parse(text).map_err(|error| Failure::new(Status::Usage, format!("BUILD: {error}")))
}
