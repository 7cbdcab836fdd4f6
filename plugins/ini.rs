//! INI files (Python, `configparser`): sections in brackets, `key = value` or `key: value` below them.
//!
//! Comes in: the text of a file. Goes out: its sections in their order, or the first line that is none. Keys are in
//! small letters; a line that begins with white space continues the value above it; `#` and `;` begin a comment that
//! has a line of its own. Nothing is interpolated.

use pipeline::{Class, PluginError};

/// Bytes of the largest file.
const MAX_BYTES: usize = 1 << 20;

/// A section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// What stands in the brackets.
    pub(crate) name: String,
    /// Its keys.
    pub(crate) options: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Where it stands, from 1.
    pub(crate) line: usize,
}

/// Reads `text`, the content of the file `name`.
///
/// # Errors
/// [`Class::Source`] names the line that is wrong.
pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<Section>, PluginError> {
    if text.len() > MAX_BYTES {
        return Err(PluginError::new(Class::Source, format!("{name}: larger than {MAX_BYTES} bytes")));
    }
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let column = line.len() - line.trim_start().len() + 1;
        let wrong = |what: &str| PluginError::new(Class::Source, format!("{name}:{number}:{column}: {what}"));
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if sections.iter().any(|known| known.name == section) {
                return Err(wrong(&format!("the section [{section}] is there already")));
            }
            sections.push(Section { name: section.to_owned(), options: Vec::new() });
            continue;
        }
        let section = sections.last_mut().ok_or_else(|| wrong("expected a section such as [name] first"))?;
        if let (true, Some(above)) = (column > 1, section.options.last_mut()) {
            above.value = format!("{}\n{trimmed}", above.value);
            continue;
        }
        let (key, value) = trimmed.split_once(['=', ':']).ok_or_else(|| wrong("expected `key = value`"))?;
        let key = key.trim().to_ascii_lowercase();
        if key.is_empty() {
            return Err(wrong("expected a key before `=`"));
        }
        if section.options.iter().any(|known| known.key == key) {
            return Err(wrong(&format!("{key} is there already")));
        }
        section.options.push(Entry { key, value: value.trim().to_owned(), line: number });
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(parse("a.conf", text).unwrap_err().text, expected);
    }

    #[test]
    fn keys_are_read_by_section() {
        let found = parse("a.conf", "# c\n[one]\nA = b=c\nlong: x\n  y\n\n[two]\n").unwrap();
        let option = |key: &str, value: &str, line| Entry { key: key.to_owned(), value: value.to_owned(), line };
        let options = vec![option("a", "b=c", 3), option("long", "x\ny", 4)];
        let two = Section { name: "two".to_owned(), options: Vec::new() };
        assert_eq!(found, [Section { name: "one".to_owned(), options }, two]);
    }

    #[test]
    fn what_is_no_line_of_such_a_file_is_refused_at_its_place() {
        refused("a = b\n", "a.conf:1:1: expected a section such as [name] first");
        refused("[a]\nb\n", "a.conf:2:1: expected `key = value`");
        refused("[a]\n= b\n", "a.conf:2:1: expected a key before `=`");
        refused("[a]\nb=1\nB=2\n", "a.conf:3:1: b is there already");
        refused("[a]\n[a]\n", "a.conf:2:1: the section [a] is there already");
    }
}
