//! `fetch-artifacts-pnc.yaml`: files of PNC, another build system, whose builds are not fetched from.
//!
//! Comes in: the file's text. Goes out: whether it is one, so that a slip in it is told with its place. It is not used
//! for more: the plugin refuses a repository that has this file.

use pipeline::PluginError;
use pipeline::yaml::{self, Fault, Item, Meanings};

/// The file's name, beside the Dockerfile.
pub(crate) const NAME: &str = "fetch-artifacts-pnc.yaml";

const MEANINGS: &Meanings = &[
    ("metadata", "what somebody wants to say of the file, a map"),
    ("builds", "the builds of PNC, and which of their files are wanted"),
    ("builds.build_id", "the number of a build, a text"),
    ("builds.artifacts", "the files that are wanted of it"),
    ("builds.artifacts.id", "the number of a file, a text"),
    ("builds.artifacts.target", "where the file goes, below the folder artifacts"),
];

/// Reads the text of the file; an empty one asks for nothing.
///
/// # Errors
/// [`pipeline::Class::Source`] names what is wrong, with file, line and column.
pub(crate) fn parse(text: &str) -> Result<(), PluginError> {
    yaml::read((NAME, text), MEANINGS, |item| item.map_or(Ok(()), |item| top(&item)))
}

/// Keys besides these two may stand there, and say nothing.
fn top(item: &Item<'_>) -> Result<(), Fault> {
    let mut fields = item.fields()?;
    fields.read("metadata", |item| item.fields().map(drop))?;
    fields.read("builds", |item| item.each(build))?;
    Ok(())
}

fn build(item: &Item<'_>) -> Result<(), Fault> {
    let mut fields = item.fields()?;
    fields.need("build_id")?.any_text("a text")?;
    fields.need("artifacts")?.each(artifact)?;
    fields.refuse_rest()
}

fn artifact(item: &Item<'_>) -> Result<(), Fault> {
    let mut fields = item.fields()?;
    for key in ["id", "target"] {
        fields.need(key)?.any_text("a text")?;
    }
    fields.refuse_rest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(parse(text).unwrap_err().text, format!("{NAME}:{expected}"));
    }

    #[test]
    fn builds_and_their_files_are_named() {
        for text in ["", "{}", "builds: []", "metadata: {a: [b]}\nother: 1\n"] {
            parse(text).unwrap();
        }
        parse("builds:\n- build_id: '1'\n  artifacts: [{id: '2', target: lib/a.jar}]\n").unwrap();
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        refused("[]", "1:1: the file: expected a map of keys and values, found a list");
        refused("metadata: a", "1:11: metadata: expected a map of keys and values, found the text \"a\"");
        refused("builds: [{artifacts: []}]", "1:10: builds[0]: build_id is missing");
        refused(
            "builds: [{build_id: 1, artifacts: []}]",
            "1:21: builds[0].build_id: expected a text, found the number 1",
        );
        let text = "builds: [{build_id: a, artifacts: [{id: b}]}]";
        refused(text, "1:36: builds[0].artifacts[0]: target is missing");
        refused("builds: [{build_id: a, artifacts: [], x: 1}]", "1:39: builds[0].x: unknown key");
    }
}
