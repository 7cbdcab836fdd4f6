//! Builds of single Dockerfiles, by different people.

use super::binary::Outcome;
use super::image::Image;
use super::scratch::{Person, Scratch};
use super::testdata;

/// Builds Dockerfiles on the small base of `testdata`, to a layout.
pub(crate) struct Builder {
    pub(crate) scratch: Scratch,
    pub(crate) base: String,
}

impl Builder {
    pub(crate) fn new(person: Person) -> Option<Self> {
        let scratch = Scratch::of(person)?;
        let base = scratch.copy(&testdata("base/oci"), "base");
        Some(Self { base: format!("base=oci:{base}:42"), scratch })
    }

    pub(crate) fn build(&self, dockerfile: &str) -> Outcome {
        self.build_with(dockerfile, &[])
    }

    pub(crate) fn build_with(&self, dockerfile: &str, more: &[&str]) -> Outcome {
        let context = self.scratch.context("context", dockerfile);
        let image = self.scratch.at("image");
        let output = format!("oci:{image}");
        // A layout takes any number of images without a name; here there is to be one.
        if std::fs::exists(&image).unwrap() {
            std::fs::remove_dir_all(&image).unwrap();
        }
        self.scratch
            .stratum(&["build", "--build-context", &self.base, "-o", &output])
            .args(more)
            .args(&[&context])
            .run()
    }

    pub(crate) fn image(&self) -> Image {
        Image::in_layout(self.scratch.path().join("image"), None)
    }
}

/// Runs a test as everybody there is.
pub(crate) fn as_everyone(test: impl Fn(&Builder)) {
    for person in [Person::Me, Person::WithSubids, Person::Plain] {
        if let Some(builder) = Builder::new(person) {
            test(&builder);
        }
    }
}
