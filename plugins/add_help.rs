//! `add_help`: the manual page of an image.
//!
//! Reads a Markdown file of the context (argument `help_file`, else `help.md`) and the labels name and maintainer.
//! Returns the page as a file of the image, `/help.1`, and the file's name as a fact; nothing where there is no such
//! file. Fails the build when the file cannot be read. No other program is needed.

use pipeline::{Added, Changes, Edit, Fact, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};

use crate::labels::{self, Labels};
use crate::manual::{self, Names};

/// The file, where no argument says otherwise.
const USUAL: &str = "help.md";
/// Where the page is in the image.
const PAGE: &str = "/help.1";

#[derive(Debug)]
struct AddHelp {
    file: String,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    if setup.args.is_none() && setup.site.registry.is_none() {
        return Ok(None);
    }
    let file = setup.text("help_file")?.unwrap_or_else(|| USUAL.to_owned());
    Ok(Some(Box::new(AddHelp { file })))
}

impl Plugin<PreBuild> for AddHelp {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let Some(text) = view.context_file(&self.file)? else {
            return Ok(Changes { facts: vec![Fact::Help(None)], ..Changes::default() });
        };
        let edit = Edit::Add(decide(&text, &labels::in_force(view)?, view.request.epoch));
        let reason = format!("{} is the image's manual", self.file);
        let facts = vec![Fact::Help(Some(self.file.clone()))];
        Ok(Changes { edits: vec![Reasoned { edit, reason }], facts, ..Changes::default() })
    }
}

/// The page of an image with these labels and this time.
pub(crate) fn decide(text: &str, all: &Labels, epoch: u64) -> Added {
    let name = labels::value(all, "name").unwrap_or_default();
    let maintainer = labels::value(all, "maintainer").unwrap_or_default();
    let page = manual::page(text, Names { name, maintainer, epoch });
    Added { path: PAGE.into(), content: page.into_bytes(), mode: 0o644 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_image_and_its_maintainer() {
        let labels = labels::of(&[("Name", "app"), ("maintainer", "Ada")]);
        let added = decide("# NAME\napp\n", &labels, 0);
        assert_eq!((added.path.to_str(), added.mode), (Some("/help.1"), 0o644));
        let text = String::from_utf8(added.content).unwrap();
        assert!(text.contains(".TH \"app\" \"1\" \"January 1, 1970\" \"Ada\""), "{text}");
    }
}
