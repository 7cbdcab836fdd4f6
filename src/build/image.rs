//! An image from the last byte of its layers to the gate.

mod publish;
mod size;

use std::io::Write;
use std::sync::Arc;

use oci::config::ContainerConfig;
use oci::layer::Written;
use oci::manifest::Format;
use oci::{Descriptor, DiffId, Digest, ImageConfig, Manifest};
use sandbox::Root;
use transport::{Location, PendingBlob, Sink, SourceImage};

use crate::graft::Graft;
use crate::smoke::{Trial, Tried};
use crate::stage::{self, Link, Stage, Stubs};
use crate::{BuildError, Layering, Request, Workshop, adjust, commit};

pub use publish::{Published, Stored};

/// Everything of an image, but no name anywhere. Dropped, it leaves nothing at its destinations.
#[derive(Debug)]
pub struct Image<'w> {
    workshop: Workshop<'w>,
    /// Its config.
    pub config: ImageConfig,
    /// The layers this build made.
    pub layers: Vec<NewLayer>,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    config_bytes: Vec<u8>,
    bases: Vec<(Arc<SourceImage>, Descriptor)>,
    outputs: Vec<Output<'w>>,
    root: Option<Root>,
    /// Where its files are.
    chain: Vec<Link>,
    /// Those that are in its layer only.
    grafts: Vec<Graft>,
}

/// A layer this build made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLayer {
    /// The stage whose changes it holds.
    pub stage: String,
    /// Its blob.
    pub descriptor: Descriptor,
    /// Its content.
    pub diff_id: DiffId,
    /// Bytes before compression.
    pub uncompressed: u64,
    /// Entries in its tar.
    pub entries: u64,
}

#[derive(Debug)]
struct Output<'w> {
    sink: Sink<'w>,
    /// Further names at the same place.
    further: Vec<Location>,
    /// One a new layer.
    blobs: Vec<PendingBlob<'w>>,
}

/// An image that passed the gate: only this can be published.
#[derive(Debug)]
pub struct Approved<'w>(Image<'w>);

impl<'w> Image<'w> {
    /// Writes a stage's new layers to all outputs and puts the image together.
    pub(crate) fn write(workshop: Workshop<'w>, request: &Request, mut stage: Stage<'_>) -> Result<Self, BuildError> {
        stage.prepare_for(&workshop)?;
        let mut outputs = open(&workshop)?;
        let chain = stage.whole_chain();
        let mut parts = Parts::default();
        let grafts = std::mem::take(&mut stage.grafts);
        let mut root = stage.take_root();
        let lacks_files = root.is_some() && stage.hides_files();
        if request.layering == Layering::Squashed && !chain.is_empty() {
            root = Some(parts.squash(&workshop, request, &stage, &mut outputs)?);
        } else {
            for (position, link) in chain.iter().enumerate() {
                let below = chain.get(..position).unwrap_or_default();
                // The stage's own changes are on top.
                let grafts = if position + 1 == chain.len() { grafts.as_slice() } else { &[] };
                parts.add(&workshop, request, (link, below, grafts), &mut outputs)?;
            }
            if lacks_files {
                // Whoever judges the image is shown all of it, not what its steps saw.
                let lowers = stage::lowers(&workshop, &chain)?;
                root = Some(stage::mount(&workshop, &lowers, &stage.label, Stubs::Absent)?.0);
            }
        }
        let annotations = adjust::annotations(request, &stage.inherited);
        let config = finish_config(stage, request, &parts);
        let config_bytes = config.to_bytes()?;
        let descriptor = Descriptor::new(request.format.config(), Digest::of(&config_bytes), config_bytes.len() as u64);
        let mut manifest = Manifest::new(request.format, descriptor, parts.layers);
        if request.format == Format::Oci {
            manifest.annotations = annotations;
        } else if !request.annotations.is_empty() {
            return Err(BuildError::Format { what: "annotations".to_owned() });
        }
        let manifest_bytes = manifest.to_bytes()?;
        let (bases, layers) = (parts.bases, parts.new);
        Ok(Self {
            workshop,
            config,
            layers,
            manifest,
            manifest_bytes,
            config_bytes,
            bases,
            outputs,
            root,
            chain,
            grafts,
        })
    }

    /// The image's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest the manifest will have.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest_bytes)
    }

    /// Where it goes, under which names.
    #[must_use]
    pub fn outputs(&self) -> &[Location] {
        self.workshop.outputs
    }

    /// The image's files, if the build had to unpack them. Those that [`Workshop::looked_at`] does not name may be
    /// missing.
    #[must_use]
    pub fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    /// The image this one's files are those of, if the build made no layer.
    #[must_use]
    pub fn base(&self) -> Option<&SourceImage> {
        self.bases.first().map(|(image, _)| image.as_ref())
    }

    /// Runs a command in the image as it is, on files of its own: nothing of what it does gets into the image.
    ///
    /// # Errors
    /// Where it cannot be run; a command that ran and failed is told in [`Tried`].
    pub fn try_command(&self, trial: &Trial) -> Result<Tried, BuildError> {
        crate::smoke::run(&self.workshop, (&self.config, &self.chain), trial)
    }

    /// Lets `gate` look at the image. If it objects, all that grew at the destinations is deleted.
    ///
    /// # Errors
    /// The gate's.
    pub fn approve<E>(self, gate: impl FnOnce(&Self) -> Result<(), E>) -> Result<Approved<'w>, E> {
        gate(&self)?;
        Ok(Approved(self))
    }
}

fn open<'w>(workshop: &Workshop<'w>) -> Result<Vec<Output<'w>>, BuildError> {
    let mut outputs: Vec<Output<'w>> = Vec::new();
    for location in workshop.outputs {
        let is_same = |output: &&mut Output<'w>| output.sink.location().shares_place_with(location);
        if let Some(output) = outputs.iter_mut().find(is_same) {
            output.further.push(location.clone());
            continue;
        }
        let sink = workshop.transports.sink(location);
        let sink = sink.map_err(|source| BuildError::Publish { location: location.clone(), source })?;
        outputs.push(Output { sink, further: Vec::new(), blobs: Vec::new() });
    }
    Ok(outputs)
}

/// The layers of an image while they are put together.
#[derive(Default)]
struct Parts {
    layers: Vec<Descriptor>,
    diff_ids: Vec<DiffId>,
    bases: Vec<(Arc<SourceImage>, Descriptor)>,
    new: Vec<NewLayer>,
    /// The positions in the history of the instructions the new layers are from.
    changed_at: Vec<usize>,
}

impl Parts {
    fn add<'w>(
        &mut self,
        workshop: &Workshop<'w>,
        request: &Request,
        (link, below, grafts): (&Link, &[Link], &[Graft]),
        outputs: &mut [Output<'w>],
    ) -> Result<(), BuildError> {
        match link {
            Link::Base { image, position } => self.base(request.format, image, *position),
            Link::Upper { directory, stage, changed_at } => {
                let source =
                    commit::Source { grafts, ..commit::Source::of_stage(workshop, (directory, stage), below)? };
                self.write(workshop, request, (&source, *changed_at), outputs)
            }
        }
    }

    /// All files of the stage, those of its base too, as one layer; their tree is returned.
    fn squash<'w>(
        &mut self,
        workshop: &Workshop<'w>,
        request: &Request,
        stage: &Stage<'_>,
        outputs: &mut [Output<'w>],
    ) -> Result<Root, BuildError> {
        let lowers = stage::lowers(workshop, &stage.whole_chain())?;
        let (root, _) = stage::mount(workshop, &lowers, &stage.label, Stubs::Absent)?;
        let source = commit::Source::of_tree(workshop, &root, &stage.label)?;
        self.write(workshop, request, (&source, stage.config.history.len().checked_sub(1)), outputs)?;
        Ok(root)
    }

    fn write<'w>(
        &mut self,
        workshop: &Workshop<'w>,
        request: &Request,
        (source, changed_at): (&commit::Source<'_>, Option<usize>),
        outputs: &mut [Output<'w>],
    ) -> Result<(), BuildError> {
        let (sinks, mut blobs): (Vec<_>, Vec<_>) =
            outputs.iter_mut().map(|output| (&output.sink, &mut output.blobs)).unzip();
        let written = commit::write_layer(workshop, request, source, &sinks)?;
        let Some((written, pending)) = written else { return Ok(()) };
        for (blobs, blob) in blobs.iter_mut().zip(pending) {
            blobs.push(blob);
        }
        self.layers.push(written.descriptor.clone());
        self.diff_ids.push(written.diff_id.clone());
        self.changed_at.extend(changed_at);
        self.new.push(NewLayer {
            stage: source.stage.to_owned(),
            descriptor: written.descriptor,
            diff_id: written.diff_id,
            uncompressed: written.uncompressed,
            entries: written.entries,
        });
        Ok(())
    }

    fn base(&mut self, format: Format, image: &Arc<SourceImage>, position: usize) -> Result<(), BuildError> {
        let layer = image.manifest.layers.get(position);
        let (Some(layer), Some(diff_id)) = (layer, image.config.rootfs.diff_ids.get(position)) else { return Ok(()) };
        // The same bytes under the other family's name. An image opened here has only layers of known types.
        let media_type = layer.compression().and_then(|compression| format.layer(compression));
        let Some(media_type) = media_type else {
            return Err(BuildError::Format { what: format!("layer {} of the base (zstd)", layer.digest) });
        };
        self.layers.push(Descriptor::new(media_type, layer.digest.clone(), layer.size));
        self.diff_ids.push(diff_id.clone());
        self.bases.push((Arc::clone(image), layer.clone()));
        Ok(())
    }
}

fn finish_config(stage: Stage<'_>, request: &Request, parts: &Parts) -> ImageConfig {
    let mut config = stage.config;
    if request.layering == Layering::Squashed {
        config.history.iter_mut().for_each(|entry| entry.empty_layer = true);
    }
    for position in &parts.changed_at {
        if let Some(entry) = config.history.get_mut(*position) {
            entry.empty_layer = false;
        }
    }
    config.rootfs.diff_ids.clone_from(&parts.diff_ids);
    config.created = Some(commit::timestamp(request.epoch));
    let container: &mut ContainerConfig = &mut config.config;
    container.labels.extend(request.labels.iter().cloned());
    adjust::finish(&mut config, &request.config, &stage.inherited);
    config
}

impl Approved<'_> {
    /// Writes the image's files as one tar without layers, as a container would see them.
    ///
    /// # Errors
    /// [`BuildError::Layer`]; [`BuildError::Mount`] where nothing can be mounted.
    pub fn write_tree(&self, to: impl Write) -> Result<Written, BuildError> {
        let Self(image) = self;
        if let Some(root) = &image.root {
            // Nobody said that they would be wanted.
            image.grafts.iter().try_for_each(|graft| graft.plant(root.dir(), image.workshop.owners))?;
        }
        crate::tree::write(&image.workshop, &image.chain, to)
    }
}
