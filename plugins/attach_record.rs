//! `attach_record`: the record of the build, beside the image in its registry.
//!
//! Reads the record and where the image was pushed. Puts the record there as an artifact whose subject is the image,
//! once for each repository; does nothing for an image that was not pushed. Fails the build when a registry refuses it;
//! the others get it all the same.

use pipeline::record::MEDIA_TYPE;
use pipeline::{Class, Exit, ExitView, Made, Plugin, PluginError, Setup};

use crate::artifact::{self, Document};

#[derive(Debug)]
struct AttachRecord;

pub(crate) fn make(setup: &Setup<'_>) -> Made<Exit> {
    let acts = setup.wanted.pushes_record || setup.site.record.push;
    Ok(if acts { Some(Box::new(AttachRecord)) } else { None })
}

impl Plugin<Exit> for AttachRecord {
    fn run(&self, view: &ExitView<'_>) -> Result<(), PluginError> {
        let record = serde_json::to_vec(view.record).map_err(|error| PluginError::of(Class::Bug, &error))?;
        let help = "the image is published all the same; --record writes the record to a file";
        artifact::attach(view, &Document { name: "the record", media_type: MEDIA_TYPE, bytes: &record, help })
    }
}
