//! Carries out what plugins of the publish phase order.
//!
//! Comes in: an image whose parts are where it goes, its names, orders one after the other. Goes out: names that mean the
//! image, or the index it is in. Names that every build moves are touched by [`Order::Float`] alone, so that whatever fails
//! before leaves them where they were.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::build::{Approved, Stored};
use oci::Reference;
use pipeline::record::OutputRecord;
use pipeline::{Index, Order, PluginError, Tags};
use transport::{Location, TransportError, Transports, Which};

/// An image on its way to its names.
#[derive(Debug)]
pub(super) struct Publishing<'a, 'w> {
    transports: &'a Transports,
    tags: Option<Tags>,
    approved: Option<Approved<'w>>,
    /// What became of `approved`.
    stored: Option<Stored<'w>>,
    /// The index that the image is in.
    index: Option<Arc<Index>>,
    /// The names that mean it by now.
    named: Vec<Reference>,
    /// The repositories that its images are in by now, registries included.
    filled: BTreeSet<String>,
}

impl<'a, 'w> Publishing<'a, 'w> {
    pub(super) fn new(approved: Approved<'w>, tags: Option<&Tags>, transports: &'a Transports) -> Self {
        let (tags, approved) = (tags.cloned(), Some(approved));
        let (stored, index, named, filled) = (None, None, Vec::new(), BTreeSet::new());
        Self { transports, tags, approved, stored, index, named, filled }
    }

    /// The image, once it has names.
    pub(super) fn stored(&self) -> Option<&Stored<'w>> {
        self.stored.as_ref()
    }

    /// Where the index is, as the record has it.
    pub(super) fn index_outputs(&self) -> Vec<OutputRecord> {
        let digest = self.index.as_ref().map(|index| index.descriptor.digest.to_string()).unwrap_or_default();
        let output = |name: &Reference| {
            let location = Location::Registry(name.clone()).to_string();
            OutputRecord { location, digest: digest.clone() }
        };
        self.named.iter().map(output).collect()
    }

    /// Does what one order says. `before` is done with the image before it is stored.
    pub(super) fn carry_out(
        &mut self,
        order: &Order,
        before: &mut dyn FnMut(&Approved<'w>) -> Result<(), PluginError>,
    ) -> Result<(), PluginError> {
        match order {
            Order::Push => self.push(before),
            Order::Group(index) => {
                self.index = Some(Arc::clone(index));
                index.names.iter().try_for_each(|name| self.put(index, name))
            }
            Order::Float => self.float(),
        }
    }

    fn push(&mut self, before: &mut dyn FnMut(&Approved<'w>) -> Result<(), PluginError>) -> Result<(), PluginError> {
        let Some(approved) = self.approved.take() else { return Ok(()) };
        before(&approved)?;
        let mut stored = approved.store()?;
        let is_due = |name: &Location| !name.in_registry().is_some_and(|name| self.is_floating(name));
        stored.name(&is_due)?;
        self.stored = Some(stored);
        Ok(())
    }

    /// Moves the floating names. An index goes to a registry only.
    fn float(&mut self) -> Result<(), PluginError> {
        if let (Some(index), Some(tags)) = (self.index.clone(), self.tags.clone()) {
            tags.floating.iter().try_for_each(|name| self.put(&index, name))?;
        }
        match &mut self.stored {
            Some(stored) => Ok(stored.name(&|_| true)?),
            None => Ok(()),
        }
    }

    fn is_floating(&self, name: &Reference) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.floating.contains(name))
    }

    /// Puts the index under one name.
    fn put(&mut self, index: &Index, name: &Reference) -> Result<(), PluginError> {
        self.bring_images(index, name)?;
        let put = self.transports.registries().put_manifest(name, &index.descriptor.media_type, &index.bytes);
        put.map_err(TransportError::from)?;
        self.named.push(name.clone());
        Ok(())
    }

    /// Puts the images of an index into the repository of one of its names, where they are in another one.
    fn bring_images(&mut self, index: &Index, name: &Reference) -> Result<(), PluginError> {
        if !self.filled.insert(name.name()) {
            return Ok(());
        }
        for image in index.images.iter().filter(|image| image.name() != name.name()) {
            let Some(digest) = image.digest() else { continue };
            let sink = self.transports.sink(&Location::Registry(name.pinned(digest.clone())))?;
            self.transports.copy(&Location::Registry(image.clone()), Which::All, &sink, &|_| {})?;
        }
        Ok(())
    }
}
