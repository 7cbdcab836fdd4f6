//! `add_image_content_manifest`: which content sets an image is made of, for scanners.
//!
//! Reads `content_sets.yml` of the context, the labels com.redhat.component, version and release, and the parent's
//! layers. Returns a file for the image, `/root/buildinfo/content_manifests/COMPONENT-VERSION-RELEASE.json`
//! (atomic-reactor, `content_manifest.json`). What remote sources brought is not known, so `image_contents` is empty.
//! Where a list of the site names it, the build fails without the labels; by itself it warns where there are content
//! sets and rests where there are none.

use build::{Layering, Plan};
use dockerfile::Base;
use pipeline::{Added, Changes, Class, Edit, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};
use serde_json::json;

use crate::add_dockerfile::{self, FOLDER};
use crate::content_sets;
use crate::labels::{self, Labels};

/// The file of the context with the content sets.
const CONTENT_SETS: &str = "content_sets.yml";
/// The folder of manifests below the one of the build's files.
const MANIFESTS: &str = "content_manifests";
/// What describes the file, by its published address.
const SPECIFICATION: &str = "https://raw.githubusercontent.com/containerbuildsystem/atomic-reactor/\
                             master/atomic_reactor/schemas/content_manifest.json";

#[derive(Debug)]
struct AddImageContentManifest {
    folder: String,
    platform: Option<String>,
    is_listed: bool,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    if setup.args.is_none() && setup.site.registry.is_none() {
        return Ok(None);
    }
    let folder = setup.text("destdir")?.unwrap_or_else(|| FOLDER.to_owned());
    let platform = setup.wanted.task.platform.clone();
    Ok(Some(Box::new(AddImageContentManifest { folder, platform, is_listed: setup.args.is_some() })))
}

impl Plugin<PreBuild> for AddImageContentManifest {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let text = view.context_file(CONTENT_SETS)?;
        let name = match file_name(&labels::in_force(view)?) {
            Ok(name) => name,
            Err(error) if self.is_listed => return Err(error),
            Err(_) if text.is_none() => return Ok(Changes::default()),
            Err(error) => {
                let warnings = vec![format!("no content manifest is put into the image: {}", error.text)];
                return Ok(Changes { warnings, ..Changes::default() });
            }
        };
        let usual = view.site.platform(&view.request.platform.architecture);
        // What OSBS would not accept of it is check_user_settings' to say.
        let (mut all, _) = text.map(|text| content_sets::read(&text)).transpose()?.unwrap_or_default();
        let sets = all.remove(self.platform.as_deref().unwrap_or(usual)).unwrap_or_default();
        let base = view.parent_config().map_or(0, |config| config.rootfs.diff_ids.len());
        let content = decide(&sets, layer(base, view.plan, view.request.layering));
        let path = add_dockerfile::path(&format!("{}/{MANIFESTS}", self.folder.trim_end_matches('/')), &name)?;
        let edit = Edit::Add(Added { path, content, mode: 0o644 });
        let reason = "the image says which content sets it is made of".to_owned();
        Ok(Changes { edits: vec![Reasoned { edit, reason }], ..Changes::default() })
    }
}

/// The name of the file: the image's in Koji.
pub(crate) fn file_name(all: &Labels) -> Result<String, PluginError> {
    let component = labels::value(all, "com.redhat.component").or_else(|| labels::value(all, "name"));
    let parts = [component, labels::value(all, "version"), labels::value(all, "release")];
    let names = ["com.redhat.component", "version", "release"];
    let missing: Vec<&str> =
        names.iter().zip(&parts).filter(|(_, part)| part.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        let text = format!("its content manifest is named by labels, and it has no {}", missing.join(", no "));
        let wanted = missing.iter().map(|name| format!("{name}=…")).collect::<Vec<_>>().join(" ");
        return Err(PluginError::new(Class::Source, text).help(format!("add `LABEL {wanted}` to the Dockerfile")));
    }
    Ok(format!("{}.json", parts.into_iter().flatten().collect::<Vec<_>>().join("-")))
}

/// The position of the image's own layer over `base` ones of its parent and those of the stages between.
pub(crate) fn layer(base: usize, plan: &Plan<'_>, layering: Layering) -> usize {
    if layering == Layering::Squashed {
        return 0;
    }
    let mut at = plan.target();
    let mut between = 0;
    while let Some(Base::Stage(below)) = plan.needed.iter().find(|stage| stage.index == at).map(|stage| &stage.base) {
        (at, between) = (*below, between + 1);
    }
    base + between
}

/// The manifest.
pub(crate) fn decide(content_sets: &[String], layer: usize) -> Vec<u8> {
    let manifest = json!({
        "metadata": { "icm_version": 1, "icm_spec": SPECIFICATION, "image_layer_index": layer },
        "content_sets": content_sets,
        "image_contents": [],
    });
    format!("{manifest:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_content_sets_and_layer() {
        let made: serde_json::Value = serde_json::from_slice(&decide(&["a-rpms".to_owned()], 3)).unwrap();
        assert_eq!(made["content_sets"], json!(["a-rpms"]));
        assert_eq!(made["metadata"]["image_layer_index"], 3);
        assert_eq!(made["metadata"]["icm_version"], 1);
    }

    #[test]
    fn the_file_is_named_as_in_koji() {
        let labels =
            [("com.redhat.component", "app-container"), ("name", "ns/app"), ("version", "1"), ("release", "2")];
        assert_eq!(file_name(&labels::of(&labels)).unwrap(), "app-container-1-2.json");
        let error = file_name(&labels::of(&[("name", "a")])).unwrap_err();
        assert_eq!(error.text, "its content manifest is named by labels, and it has no version, no release");
    }
}
