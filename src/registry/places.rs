//! The places of an image, tried in the order that the configuration gives them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci::Reference;
use tracing::{debug, warn};

use crate::endpoint::{Access, Endpoint};
use crate::{Candidate, Registries, RegistryError};
use http::with_causes;

/// What was learned about places.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Which place gave the manifest of a repository, so that its blobs are asked for there first: from the name that
    /// was asked for to the name at the place.
    sources: HashMap<String, String>,
    /// Mirrors that could not be reached. They are tried last, lest every image waits for them again.
    dead: HashSet<String>,
}

impl Remembered {
    fn note_source(&self, image: &Reference, place: &Reference) {
        self.lock().sources.insert(image.name(), place.name());
    }

    fn note_failure(&self, place: &Candidate, error: &RegistryError) {
        if place.is_mirror && matches!(error, RegistryError::Unreachable { .. }) {
            self.lock().dead.insert(place.image.registry().to_owned());
        }
    }

    /// Brings the place that gave `image`'s manifest to the front, and dead mirrors to the end.
    fn sort(&self, image: &Reference, places: &mut [Candidate]) {
        let known = self.lock();
        let source = known.sources.get(&image.name());
        places.sort_by_key(|place| {
            let is_source = source.is_some_and(|source| place.image.name() == *source);
            (!is_source, known.dead.contains(place.image.registry()))
        });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registries {
    /// Where `image` may be read from, best first.
    pub(crate) fn places(&self, image: &Reference) -> Result<Vec<Candidate>, RegistryError> {
        let blocked = |source| RegistryError::Blocked { image: image.to_string(), source };
        let mut places = self.inner.conf.pull(image).map_err(blocked)?;
        self.inner.remembered.sort(image, &mut places);
        Ok(places)
    }

    /// Where `image` is written to.
    pub(crate) fn target(&self, image: &Reference) -> Result<Candidate, RegistryError> {
        let blocked = |source| RegistryError::Blocked { image: image.to_string(), source };
        self.inner.conf.push(image).map_err(blocked)
    }

    /// What `attempt` gets of the first of `image`'s places that has it; manifests come this way.
    pub(crate) fn first<T>(
        &self,
        image: &Reference,
        mut attempt: impl FnMut(&Arc<Endpoint>, &Access) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut tried = Tried::new(image);
        let mut places = VecDeque::from(self.places(image)?);
        while let Some(place) = places.pop_front() {
            tried.warn();
            let access = Access { has_others: !places.is_empty(), ..Access::pull(&place) };
            match self.endpoint(&access).and_then(|endpoint| attempt(&endpoint, &access)) {
                Ok(found) => {
                    debug!(%image, place = %place.image, is_mirror = place.is_mirror, "found");
                    self.inner.remembered.note_source(image, &place.image);
                    return Ok(found);
                }
                Err(error) => {
                    self.inner.remembered.note_failure(&place, &error);
                    tried.add(&place, error)?;
                }
            }
        }
        Err(tried.into_error())
    }
}

/// The places that did not work.
#[derive(Debug)]
pub(crate) struct Tried {
    image: Reference,
    failures: Vec<Failure>,
}

#[derive(Debug)]
struct Failure {
    is_mirror: bool,
    error: RegistryError,
}

impl Tried {
    pub(crate) fn new(image: &Reference) -> Self {
        Self { image: image.clone(), failures: Vec::new() }
    }

    /// Notes that `place` gave `error`; fails with it when no other place is to be tried after that.
    pub(crate) fn add(&mut self, place: &Candidate, error: RegistryError) -> Result<(), RegistryError> {
        if matches!(error, RegistryError::Cancelled { .. }) {
            return Err(error);
        }
        self.failures.push(Failure { is_mirror: place.is_mirror, error });
        Ok(())
    }

    /// The image as it was asked for.
    pub(crate) fn image(&self) -> &Reference {
        &self.image
    }

    /// Says that another place is tried after the last one.
    pub(crate) fn warn(&self) {
        if let Some(Failure { error, .. }) = self.failures.last() {
            warn!(image = %self.image, error = with_causes(error), "trying the next place of the image");
        }
    }

    /// What went wrong: at each place, if there were several, at the image's own last.
    pub(crate) fn into_error(mut self) -> RegistryError {
        let image = self.image.to_string();
        self.failures.sort_by_key(|failure| !failure.is_mirror);
        let mut errors: Vec<_> = self.failures.into_iter().map(|failure| failure.error).collect();
        match (errors.pop(), errors.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                errors.push(last);
                RegistryError::NoPlace { image, tried: errors }
            }
            (None, _) => RegistryError::NotFound { image },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(image: &str, is_mirror: bool) -> Candidate {
        Candidate { image: image.parse().unwrap(), is_insecure: false, is_mirror }
    }

    /// The order of places after `remembered` has sorted them.
    fn sorted(remembered: &Remembered, image: &str) -> Vec<String> {
        let mut places =
            [place("m1.example/a:1", true), place("m2.example/a:1", true), place("own.example/a:1", false)];
        remembered.sort(&image.parse().unwrap(), &mut places);
        places.iter().map(|place| place.image.registry().to_owned()).collect()
    }

    #[test]
    fn the_source_of_a_manifest_comes_first_and_dead_mirrors_come_last() {
        let remembered = Remembered::default();
        assert_eq!(sorted(&remembered, "own.example/a:1"), ["m1.example", "m2.example", "own.example"]);
        remembered.note_source(&"own.example/a:1".parse().unwrap(), &"m2.example/a:1".parse().unwrap());
        assert_eq!(sorted(&remembered, "own.example/a:2"), ["m2.example", "m1.example", "own.example"]);
        assert_eq!(sorted(&remembered, "own.example/b:1"), ["m1.example", "m2.example", "own.example"]);
        let stopped = http::HttpError::Stopped { url: String::new() };
        let dead = RegistryError::Unreachable { image: String::new(), source: stopped };
        remembered.note_failure(&place("m1.example/a:1", true), &dead);
        remembered.note_failure(&place("own.example/a:1", false), &dead);
        assert_eq!(sorted(&remembered, "own.example/b:1"), ["m2.example", "own.example", "m1.example"]);
    }

    #[test]
    fn the_images_own_place_has_the_last_word() {
        let image: Reference = "own.example/a:1".parse().unwrap();
        let not_found = |image: &str| RegistryError::NotFound { image: image.to_owned() };
        let mut tried = Tried::new(&image);
        tried.add(&place("own.example/a:1", false), not_found("own")).unwrap();
        assert!(matches!(Tried::new(&image).into_error(), RegistryError::NotFound { .. }));
        tried.add(&place("m1.example/a:1", true), RegistryError::Cancelled { image: String::new() }).unwrap_err();
        tried.add(&place("m1.example/a:1", true), not_found("mirror")).unwrap();
        let RegistryError::NoPlace { tried, .. } = tried.into_error() else { panic!("only one place") };
        let last = tried.last().unwrap().to_string();
        assert!(last.starts_with("own: "), "{last}");
    }
}
