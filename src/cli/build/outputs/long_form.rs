//! `--output type=…,dest=…,…` as docker and buildah take it.

use std::path::PathBuf;

use oci::Reference;
use transport::Location;

use super::{TreeOutput, Wish};

/// Keys and values; commas within double quotes divide nothing.
#[derive(Debug)]
pub(super) struct LongForm {
    kind: String,
    pairs: Vec<(String, String)>,
}

/// Keys of BuildKit whose work other options do here.
const ELSEWHERE: [(&str, &str); 6] = [
    ("compression", "say --compression"),
    ("compression-level", "say --compression NAME:LEVEL"),
    ("force-compression", "layers of the base stay as they are"),
    ("oci-mediatypes", "say --format oci or --format docker"),
    ("registry.insecure", "say --tls-verify=false"),
    ("push-by-digest", "every push has a name"),
];

impl LongForm {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut form = Self { kind: String::new(), pairs: Vec::new() };
        for field in fields(text)? {
            let (key, value) = field.split_once('=').ok_or_else(|| format!("`{field}` is not KEY=VALUE"))?;
            let key = key.trim().to_ascii_lowercase();
            let is_known = form.pairs.iter().any(|(known, _)| *known == key) || key == "type" && !form.kind.is_empty();
            if is_known {
                return Err(format!("`{key}` is there twice"));
            }
            if key == "type" { form.kind = value.to_owned() } else { form.pairs.push((key, value.to_owned())) }
        }
        if form.kind.is_empty() { Err("`type` is missing".to_owned()) } else { Ok(form) }
    }

    pub(super) fn wish(mut self) -> Result<Wish, String> {
        let wish = match self.kind.as_str() {
            "oci" => {
                let (tar, names) = (self.flag("tar")?.unwrap_or(true), self.names()?);
                let path = self.dest()?;
                match (tar, names.as_slice()) {
                    (true, _) => Wish::OciArchive(path, names),
                    (false, []) => Wish::Location(Location::Layout { path, name: None }),
                    (false, [name]) => Wish::Location(Location::Layout { path, name: Some(name.to_string()) }),
                    (false, _) => return Err("a layout takes one name here; say -o oci:DIR:NAME for each".to_owned()),
                }
            }
            "docker" => {
                let names = self.names()?;
                let path =
                    self.take("dest").ok_or("without `dest` it would load into a docker daemon; say dest=FILE")?;
                Wish::DockerArchive(file(path), names)
            }
            "image" | "registry" => {
                let names = self.names()?;
                let is_registry = self.kind == "registry";
                let push = self.flag("push")?.unwrap_or(is_registry);
                if push || is_registry { Wish::Push(names) } else { Wish::Keep(names) }
            }
            "tar" => match self.take("dest").ok_or("`dest` is missing")? {
                dest if dest == "-" => Wish::Tree(TreeOutput::Stdout),
                dest => Wish::Tree(TreeOutput::Tar(dest.into())),
            },
            "local" => match self.take("dest").ok_or("`dest` is missing")? {
                dest if dest == "-" => return Err("only type=tar writes to stdout".to_owned()),
                dest => Wish::Tree(TreeOutput::Local(dest.into())),
            },
            other => {
                return Err(format!("there is no type `{other}`; there are image, registry, oci, docker, tar, local"));
            }
        };
        self.end()?;
        Ok(wish)
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let position = self.pairs.iter().position(|(known, _)| known == key)?;
        Some(self.pairs.remove(position).1).filter(|value| !value.is_empty())
    }

    fn dest(&mut self) -> Result<PathBuf, String> {
        self.take("dest").map(file).ok_or_else(|| "`dest` is missing".to_owned())
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Ok(Some(true)),
            "false" | "0" | "f" => Ok(Some(false)),
            _ => Err(format!("`{key}={value}` is neither true nor false")),
        }
    }

    fn names(&mut self) -> Result<Vec<Reference>, String> {
        let value = self.take("name").unwrap_or_default();
        let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(|name| name.parse::<Reference>().map_err(|error| error.to_string())).collect()
    }

    fn end(&self) -> Result<(), String> {
        let Some((key, _)) = self.pairs.first() else { return Ok(()) };
        let hint = ELSEWHERE.iter().find(|(known, _)| known == key);
        let hint = hint.map(|(_, hint)| format!("; {hint}")).unwrap_or_default();
        Err(format!("type={} has no `{key}` here{hint}", self.kind))
    }
}

/// `-` is stdout.
fn file(dest: String) -> PathBuf {
    if dest == "-" { PathBuf::from("/dev/stdout") } else { dest.into() }
}

/// The fields of one line of CSV (RFC 4180).
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(field) = fields.last_mut() else { break };
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    if is_quoted { Err("a quote is not closed".to_owned()) } else { Ok(fields) }
}
