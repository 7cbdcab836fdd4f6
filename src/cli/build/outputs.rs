//! Where an image goes.

use oci::Reference;
use pipeline::Tags;
use transport::Location;

use super::Arguments;
use crate::failure::{Failure, Status};

fn usage(error: &dyn std::error::Error) -> Failure {
    Failure::of(Status::Usage, error)
}

/// The names given with `-t`.
pub(super) fn names(arguments: &Arguments) -> Result<Vec<Reference>, Failure> {
    arguments.tag.iter().map(|tag| tag.parse::<Reference>().map_err(|error| usage(&error))).collect()
}

/// Named locations, pushed tags, else the store. `tags` are those the site's configuration gives.
pub(super) fn of(arguments: &Arguments, names: &[Reference], tags: Option<&Tags>) -> Result<Vec<Location>, Failure> {
    let given: Vec<&Reference> =
        if names.is_empty() { tags.into_iter().flat_map(Tags::all).collect() } else { names.iter().collect() };
    let mut outputs = Vec::new();
    for text in &arguments.output {
        outputs.push(text.parse::<Location>().map_err(|error| usage(&error))?);
    }
    if arguments.push {
        if given.is_empty() {
            let failure = Failure::new(Status::Usage, "--push: no name to push to");
            return Err(failure.help("give one with -t REGISTRY/NAME:TAG"));
        }
        outputs.extend(given.iter().copied().cloned().map(Location::Registry));
    }
    if outputs.is_empty() {
        outputs.extend(given.iter().map(|tag| Location::Store(tag.to_string())));
    }
    if outputs.is_empty() {
        outputs.push(Location::Store(String::new()));
    }
    Ok(outputs)
}
