//! YAML files of a source: read with places, so that whoever wrote them finds what is wrong.
//!
//! Comes in: a file's name and text, what its keys mean, and a function that reads them. Goes out: what that function
//! makes of it, or an error with file, line, column, path of the key, what the key means, and the nearest key that is
//! known. The limits on size and depth are those of the site's configuration. It opens no file.

use crate::site::read_tree;
pub use crate::site::{Fault, Fields, Item};
use crate::{Class, PluginError};

/// Paths of keys (`compose.packages`) and what they mean.
pub type Meanings = [(&'static str, &'static str)];

/// Reads `text`, the content of the file `name`, with `read`, which gets none for a file that says nothing.
///
/// # Errors
/// [`Class::Source`] at the first thing that is wrong.
pub fn read<T>(
    file: (&str, &str),
    meanings: &Meanings,
    read: impl FnOnce(Option<Item<'_>>) -> Result<T, Fault>,
) -> Result<T, PluginError> {
    read_with_complaints(file, meanings, |item, _| read(item)).map(|(found, _)| found)
}

/// The same for a function that goes on after some of what is wrong: what it complained of comes too, in its order.
///
/// # Errors
/// [`Class::Source`] at the first thing that it did not go on after.
pub fn read_with_complaints<T>(
    (name, text): (&str, &str),
    meanings: &Meanings,
    read: impl FnOnce(Option<Item<'_>>, &mut Vec<Fault>) -> Result<T, Fault>,
) -> Result<(T, Vec<PluginError>), PluginError> {
    let error = |fault: Fault| {
        let error = fault.meaning(meanings).of(name, text.as_bytes());
        let failed = PluginError::of(Class::Source, &error);
        error.help.into_iter().fold(failed, PluginError::help)
    };
    let mut complaints = Vec::new();
    let read = |complaints: &mut Vec<Fault>| {
        let node = read_tree(text.as_bytes())?;
        read(node.as_ref().map(Item::root).filter(|item| !item.is_nothing()), complaints)
    };
    let found = read(&mut complaints).map_err(error)?;
    Ok((found, complaints.into_iter().map(error).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEANINGS: &Meanings = &[("list", "what is wanted"), ("list.name", "what it is called")];

    fn names(item: Option<Item<'_>>) -> Result<Vec<String>, Fault> {
        let Some(item) = item else { return Ok(Vec::new()) };
        let mut top = item.fields()?;
        let name = |one: &Item<'_>| {
            let mut fields = one.fields()?;
            let name = fields.need("name")?.text()?.to_owned();
            fields.refuse_rest().map(|()| name)
        };
        let names = top.read("list", |list| list.each(name))?;
        top.refuse_rest()?;
        Ok(names.unwrap_or_default())
    }

    #[track_caller]
    fn refused(text: &str, expected: &str, help: &str) {
        let error = read(("a.yaml", text), MEANINGS, names).unwrap_err();
        assert_eq!((error.text.as_str(), error.help.as_deref().unwrap_or_default()), (expected, help));
    }

    #[test]
    fn what_is_wrong_has_a_place_and_what_the_key_means() {
        assert_eq!(read(("a.yaml", "list: [{name: b}]"), MEANINGS, names).unwrap(), ["b"]);
        refused("list: 5", "a.yaml:1:7: list: expected a list, found the number 5", "list: what is wanted");
        let text = "a.yaml:2:10: list[0].name: expected a text, found the number 1";
        refused("list:\n - name: 1", text, "put it in quotes (list.name: what it is called)");
        refused("- a", "a.yaml:1:1: the file: expected a map of keys and values, found a list", "");
    }

    #[test]
    fn a_slip_finds_the_key_and_its_meaning() {
        refused("lits: []", "a.yaml:1:1: lits: unknown key", "did you mean list? (list: what is wanted)");
        refused("other: []", "a.yaml:1:1: other: unknown key", "known keys are list");
    }

    #[test]
    fn a_file_that_says_nothing_is_none() {
        for text in ["", "---\n", "# c\n", "null\n"] {
            assert_eq!(read(("a.yaml", text), MEANINGS, names).unwrap(), [""; 0], "{text:?}");
        }
    }
}
