//! Images kept in the store under a name.

use std::fs::File;
use std::path::{Path, PathBuf};

use oci::{Descriptor, Digest};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// What a name stands for: a manifest whose blob, config and layers are blobs of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// The name, as given with `-t`.
    pub name: String,
    /// The manifest.
    pub manifest: Descriptor,
}

impl Store {
    /// The image kept under `name`, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Record`] if its record is damaged.
    pub fn image(&self, name: &str) -> Result<Option<StoredImage>, StoreError> {
        let relative = record_name(name);
        match std::fs::read(self.path(&relative)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| StoreError::Record { path: self.shown().join(&relative), source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.error(&relative, "read the record of an image", source)),
        }
    }

    /// Keeps an image under its name; an older one of that name is forgotten.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn keep_image(&self, image: &StoredImage) -> Result<(), StoreError> {
        let relative = record_name(&image.name);
        let temporary = self.path(&self.scratch().fresh("record"));
        let write = || -> std::io::Result<()> {
            serde_json::to_writer(File::create_new(&temporary)?, image)?;
            std::fs::rename(&temporary, self.path(&relative))
        };
        write().map_err(|source| self.error(&relative, "write the record of an image", source))
    }
}

/// Names of images hold `/` and `:`; their hash holds neither.
fn record_name(name: &str) -> PathBuf {
    Path::new("images").join(format!("{}.json", Digest::of(name.as_bytes()).hex()))
}
