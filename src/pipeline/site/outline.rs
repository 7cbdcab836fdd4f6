//! The keys of a configuration file with their lines, for those who compare it with what is read of it.

use super::error::{Fault, SiteError};
use super::tree::{self, Node, Value, join};

/// A key and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its path: `koji.hub_url`.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
}

/// The keys of `bytes`, the text of the file called `file`: those of the document, and of the maps right below.
///
/// # Errors
/// [`SiteError`] where it is no YAML.
pub fn outline(file: &str, bytes: &[u8]) -> Result<Vec<Key>, SiteError> {
    let root = tree::read(bytes).map_err(|fault: Fault| fault.of(file, bytes))?;
    let mut keys = Vec::new();
    if let Some(root) = root {
        add(&mut keys, "", &root, 2);
    }
    Ok(keys)
}

fn add(keys: &mut Vec<Key>, path: &str, node: &Node, depth: usize) {
    let Value::Map(entries) = &node.value else { return };
    for entry in entries {
        let path = join(path, &entry.key);
        keys.push(Key { path: path.clone(), line: entry.place.line });
        if depth > 1 {
            add(keys, &path, &entry.node, depth - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_with_their_lines() {
        let keys = outline("c.yaml", b"version: 1\nkoji:\n  hub_url: h\n  auth: {a: b}\n").unwrap();
        let keys: Vec<(&str, usize)> = keys.iter().map(|key| (key.path.as_str(), key.line)).collect();
        assert_eq!(keys, [("version", 1), ("koji", 2), ("koji.hub_url", 3), ("koji.auth", 4)]);
        assert_eq!(outline("c.yaml", b"").unwrap(), []);
        assert_eq!(outline("c.yaml", b"a: [").unwrap_err().line, 1);
    }
}
