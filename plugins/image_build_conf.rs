//! `FROM koji/image-build[:CONF]`: a base image that Koji makes of packages, as a file of the repository says.
//!
//! Comes in: what FROM names, and the file's text. Goes out: which file counts, what is in it, and the Dockerfile's
//! edits once there is an archive of the file system. Nobody is asked for anything here.

use std::collections::BTreeMap;

use dockerfile::Span;
use pipeline::{Class, Edit, PluginError, Reasoned};

use crate::check_base_image::BY_KOJI;
use crate::ini;

/// The file where FROM names none.
const USUAL: &str = "image-build.conf";
/// The section that must be there.
const SECTION: &str = "image-build";

/// What such a file says (koji, `image-build`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageBuildConf {
    /// `[image-build]`: name, version, arches, target, install_tree, format, disk_size, repo, ksurl, kickstart, ….
    pub(crate) options: BTreeMap<String, String>,
    /// `[factory-parameters]`.
    pub(crate) factory_parameters: Vec<(String, String)>,
    /// `[ova-options]`.
    pub(crate) ova_options: Vec<(String, String)>,
}

/// Reads the text of the file `name`.
///
/// # Errors
/// [`Class::Source`] names the line that is wrong.
pub(crate) fn parse(name: &str, text: &str) -> Result<ImageBuildConf, PluginError> {
    let mut conf = ImageBuildConf::default();
    let mut has_section = false;
    for section in ini::parse(name, text)? {
        let pairs = section.options.iter().map(|option| (option.key.clone(), option.value.clone()));
        match section.name.as_str() {
            SECTION => {
                has_section = true;
                let size = section.options.iter().find(|option| option.key == "disk_size");
                if let Some(size) = size.filter(|size| size.value.parse::<u32>().is_err()) {
                    let text = format!(
                        "{name}:{}:1: disk_size: expected a whole number of GB, found `{}`",
                        size.line, size.value
                    );
                    return Err(PluginError::new(Class::Source, text));
                }
                conf.options = pairs.collect();
            }
            "factory-parameters" => conf.factory_parameters = pairs.collect(),
            "ova-options" => conf.ova_options = pairs.collect(),
            _ => {}
        }
    }
    if has_section {
        Ok(conf)
    } else {
        Err(PluginError::new(Class::Source, format!("{name}: there is no section [{SECTION}]")))
    }
}

/// The file that a base image is made by; none for any other image.
pub(crate) fn named_by(base: &str) -> Option<&str> {
    match base.strip_prefix(BY_KOJI)?.strip_prefix(':') {
        None if base == BY_KOJI => Some(USUAL),
        None => None,
        Some("" | "latest") => Some(USUAL),
        Some(name) => Some(name),
    }
}

/// The one file that the stages of a Dockerfile name, by what their FROM says and where; none where none does.
///
/// # Errors
/// [`Class::Source`] where two stages name different files: Koji makes one file system for a build.
pub(crate) fn of<'b>(bases: impl Iterator<Item = (&'b str, Span)>) -> Result<Option<&'b str>, PluginError> {
    let mut found: Option<&str> = None;
    for (base, span) in bases {
        let Some(name) = named_by(base) else { continue };
        match found {
            Some(first) if first != name => {
                let text =
                    format!("{base}: an earlier stage has {first}, and one image has one file for Koji's image-build");
                return Err(PluginError::new(Class::Source, text).at(span));
            }
            Some(_) | None => found = Some(name),
        }
    }
    Ok(found)
}

/// The edits that put the archive `archive` of the context in the place of what Koji makes, in every stage that is
/// based on it; `bases` has what each stage's FROM says, by number.
pub(crate) fn edits<'b>(bases: impl Iterator<Item = (usize, &'b str)>, archive: &str) -> Vec<Reasoned> {
    let mut edits = Vec::new();
    for (stage, base) in bases.filter(|(_, base)| named_by(base).is_some()) {
        let reason = format!("Koji made the file system that {base} stands for");
        let add = Edit::Instruction { stage, line: format!("ADD {archive} /") };
        edits.push(Reasoned { edit: Edit::From { stage, image: "scratch".to_owned() }, reason: reason.clone() });
        edits.push(Reasoned { edit: add, reason });
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_koji_is_to_make() {
        let text = "[image-build]\nname = base\nArches = x86_64,s390x\ndisk_size = 10\n\n[factory-parameters]\na = b\n\n[ova-options]\nc = d\n";
        let conf = parse("image-build.conf", text).unwrap();
        assert_eq!(conf.options["arches"], "x86_64,s390x");
        let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        assert_eq!((conf.factory_parameters, conf.ova_options), (pair("a", "b"), pair("c", "d")));
        let error = parse("a.conf", "[image-build]\ndisk_size = ten\n").unwrap_err();
        assert_eq!(error.text, "a.conf:2:1: disk_size: expected a whole number of GB, found `ten`");
        assert_eq!(parse("a.conf", "[other]\n").unwrap_err().text, "a.conf: there is no section [image-build]");
    }

    #[test]
    fn from_names_the_file() {
        assert_eq!(named_by("koji/image-build"), Some("image-build.conf"));
        assert_eq!(named_by("koji/image-build:latest"), Some("image-build.conf"));
        assert_eq!(named_by("koji/image-build:my.conf"), Some("my.conf"));
        for base in ["koji/image-builder", "koji/image-build/x", "fedora", "koji/image-builder:1"] {
            assert_eq!(named_by(base), None, "{base}");
        }
    }

    #[test]
    fn one_image_has_one_such_file() {
        let at = Span::at(0);
        let conf = |bases: &[&'static str]| of(bases.iter().map(|base| (*base, at))).map_err(|error| error.text);
        assert_eq!(conf(&["fedora"]), Ok(None));
        assert_eq!(
            conf(&["koji/image-build", "fedora", "koji/image-build:image-build.conf"]),
            Ok(Some("image-build.conf"))
        );
        let text =
            "koji/image-build:b.conf: an earlier stage has a.conf, and one image has one file for Koji's image-build";
        assert_eq!(conf(&["koji/image-build:a.conf", "koji/image-build:b.conf"]), Err(text.to_owned()));
    }
}
