//! The rules of registries.conf (containers-registries.conf(5), version 2) about where images are read and written.
//!
//! Comes in: the text of a file. Goes out: the places of an image. It reads no files, and knows the `[[registry]]`
//! tables only.

use std::collections::BTreeMap;

use oci::Reference;
use serde::Deserialize;

/// Bytes in the largest file read.
const MAX_FILE: usize = 1 << 20;

/// Rules by prefix of the image's name; none by default, and then every image has one place, its own.
#[derive(Clone, Debug, Default)]
pub struct RegistriesConf {
    label: String,
    rules: Vec<Rule>,
    /// Hosts that need not prove who they are, whatever the rules say.
    insecure: Vec<String>,
    /// Names without a registry, and what they stand for.
    aliases: BTreeMap<String, String>,
    /// Registries that names without one may mean.
    search: Vec<String>,
    is_permissive: bool,
}

/// A name without a registry that may mean more than one image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} may mean an image of {}: write the registry out, or make it an alias in registries.conf", .registries.join(", ")
)]
pub struct Ambiguous {
    /// The name.
    pub name: String,
    /// The registries that are searched.
    pub registries: Vec<String>,
}

/// A place that may have an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The image's name there.
    pub image: Reference,
    /// Whether the registry there need not prove who it is, nor speak TLS.
    pub is_insecure: bool,
    /// Whether it is a copy, and not the registry itself.
    pub is_mirror: bool,
}

/// An image that must be neither read nor written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{prefix} is blocked by registries.conf ({label}): remove `blocked` there, or use another registry")]
pub struct Blocked {
    /// The prefix of the rule.
    pub prefix: String,
    /// The file.
    pub label: String,
}

/// Why a registries.conf cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegistriesConfError {
    /// The file is larger than any such file.
    #[error("{label}: larger than 1 MiB, which no registries.conf is")]
    TooLarge {
        /// The file.
        label: String,
    },
    /// The text is not TOML, or not of the right shape.
    #[error("{label}: not a registries.conf (version 2): {why}")]
    Malformed {
        /// The file.
        label: String,
        /// What the parser says, with the line.
        why: String,
    },
    /// A rule names no registry, or something that is none.
    #[error("{label}: `{location}` is no registry, nor part of one")]
    BadLocation {
        /// The file.
        label: String,
        /// The value of `location` or `prefix`.
        location: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    #[serde(default)]
    registry: Vec<RawRule>,
    #[serde(default)]
    unqualified_search_registries: Vec<String>,
    short_name_mode: Option<ShortNameMode>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
}

/// What becomes of a name that may mean several images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ShortNameMode {
    Enforcing,
    Permissive,
    Disabled,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawRule {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<RawMirror>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawMirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: Serves,
}

/// What a mirror is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Serves {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Clone, Debug)]
struct Rule {
    prefix: String,
    /// Empty for the image's own.
    location: String,
    is_insecure: bool,
    is_blocked: bool,
    mirrors: Vec<Mirror>,
}

#[derive(Clone, Debug)]
struct Mirror {
    location: String,
    is_insecure: bool,
    serves: Serves,
}

impl RegistriesConf {
    /// The rules in `text`; `label` names the file in errors.
    ///
    /// # Errors
    /// [`RegistriesConfError`].
    pub fn parse(label: &str, text: &str) -> Result<Self, RegistriesConfError> {
        if text.len() > MAX_FILE {
            return Err(RegistriesConfError::TooLarge { label: label.to_owned() });
        }
        let malformed = |error: toml::de::Error| {
            let why = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            RegistriesConfError::Malformed { label: label.to_owned(), why }
        };
        let raw: Raw = toml::from_str(text).map_err(malformed)?;
        let rules = raw.registry.into_iter().map(|rule| rule.read(label)).collect::<Result<_, _>>()?;
        Ok(Self {
            label: label.to_owned(),
            rules,
            insecure: Vec::new(),
            aliases: raw.aliases,
            search: raw.unqualified_search_registries,
            is_permissive: matches!(raw.short_name_mode, Some(ShortNameMode::Permissive | ShortNameMode::Disabled)),
        })
    }

    /// These rules and those of a file that counts more: of two for one prefix the later stays
    /// (containers-registries.conf.d(5)).
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.rules.retain(|rule| !later.rules.iter().any(|other| other.prefix == rule.prefix));
        self.rules.extend(later.rules);
        self.insecure.extend(later.insecure);
        self.aliases.extend(later.aliases);
        if !later.search.is_empty() {
            self.search = later.search;
        }
        self.is_permissive |= later.is_permissive;
        let label = if self.label.is_empty() { later.label } else { format!("{}, {}", self.label, later.label) };
        Self { label, ..self }
    }

    /// These rules, and `host` (with its port) need not prove who it is, nor speak TLS.
    #[must_use]
    pub fn with_insecure(mut self, host: &str) -> Self {
        self.insecure.push(host.to_owned());
        self
    }

    fn candidate(&self, image: Reference, is_insecure: bool, is_mirror: bool) -> Candidate {
        let is_listed = self.insecure.iter().any(|host| host == image.registry());
        Candidate { image, is_insecure: is_insecure || is_listed, is_mirror }
    }

    /// `name` with the registry that a name without one stands for: an alias, the only registry that is searched,
    /// docker.io where none is (containers-registries.conf(5), "SHORT NAMES").
    ///
    /// # Errors
    /// [`Ambiguous`], unless the configuration is permissive: then it is the first registry that is searched.
    pub fn full_name(&self, name: &str) -> Result<String, Ambiguous> {
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        if name.split_once('/').is_some_and(|(first, _)| is_host(first)) {
            return Ok(name.to_owned());
        }
        let end = name.find('@').or_else(|| name.rfind(':')).unwrap_or(name.len());
        let (repository, rest) = name.split_at_checked(end).unwrap_or((name, ""));
        let repository = repository.rsplit_once(':').map_or(repository, |(before, _)| before);
        let tag = name.get(repository.len()..).unwrap_or(rest);
        if let Some(alias) = self.aliases.get(repository).filter(|alias| !alias.is_empty()) {
            return Ok(format!("{alias}{tag}"));
        }
        match self.search.as_slice() {
            [] => Ok(name.to_owned()),
            [first, others @ ..] if others.is_empty() || self.is_permissive => Ok(format!("{first}/{name}")),
            _ => Err(Ambiguous { name: name.to_owned(), registries: self.search.clone() }),
        }
    }

    /// Where `image` is read from, best first; never empty.
    ///
    /// # Errors
    /// [`Blocked`].
    pub fn pull(&self, image: &Reference) -> Result<Vec<Candidate>, Blocked> {
        let own = self.push(image)?;
        let Some(rule) = self.rule(image) else { return Ok(vec![own]) };
        let is_asked = |mirror: &&Mirror| match mirror.serves {
            Serves::All => true,
            Serves::DigestOnly => image.digest().is_some(),
            Serves::TagOnly => image.digest().is_none(),
        };
        let candidate = |mirror: &Mirror| {
            let image = rule.rewritten(image, &mirror.location)?;
            Some(self.candidate(image, mirror.is_insecure, true))
        };
        Ok(rule.mirrors.iter().filter(is_asked).filter_map(candidate).chain([own]).collect())
    }

    /// Where `image` is written to.
    ///
    /// # Errors
    /// [`Blocked`].
    pub fn push(&self, image: &Reference) -> Result<Candidate, Blocked> {
        let Some(rule) = self.rule(image) else {
            return Ok(self.candidate(image.clone(), false, false));
        };
        if rule.is_blocked {
            return Err(Blocked { prefix: rule.prefix.clone(), label: self.label.clone() });
        }
        let place = rule.rewritten(image, &rule.location).unwrap_or_else(|| image.clone());
        Ok(self.candidate(place, rule.is_insecure, false))
    }

    /// The rule with the longest prefix of the image's name.
    fn rule(&self, image: &Reference) -> Option<&Rule> {
        let rules = self.rules.iter().filter(|rule| rule.rest(image).is_some());
        rules.max_by_key(|rule| rule.prefix.len())
    }
}

impl RawRule {
    fn read(self, label: &str) -> Result<Rule, RegistriesConfError> {
        let location = self.location.unwrap_or_default();
        let prefix = self.prefix.filter(|prefix| !prefix.is_empty()).unwrap_or_else(|| location.clone());
        let bad = |location: &str| RegistriesConfError::BadLocation {
            label: label.to_owned(),
            location: location.to_owned(),
        };
        let is_place = |text: &str| format!("{text}/x").parse::<Reference>().is_ok();
        if !is_place(prefix.strip_prefix("*.").unwrap_or(&prefix)) {
            return Err(bad(&prefix));
        }
        let mirrors = self.mirror.iter().map(|mirror| &mirror.location);
        if let Some(location) = mirrors.chain([&location]).find(|text| !text.is_empty() && !is_place(text)) {
            return Err(bad(location));
        }
        let mirror = |mirror: RawMirror| Mirror {
            location: mirror.location,
            is_insecure: mirror.insecure,
            serves: if self.mirror_by_digest_only { Serves::DigestOnly } else { mirror.pull_from_mirror },
        };
        Ok(Rule {
            prefix,
            location,
            is_insecure: self.insecure,
            is_blocked: self.blocked,
            mirrors: self.mirror.into_iter().map(mirror).collect(),
        })
    }
}

impl Rule {
    /// What of the image's name is behind the prefix; `None` where the rule does not apply.
    fn rest(&self, image: &Reference) -> Option<String> {
        let name = image.name();
        let rest = match self.prefix.strip_prefix('*') {
            Some(domain) => {
                let (host, path) = name.split_once('/')?;
                host.strip_suffix(domain).filter(|host| !host.is_empty())?;
                format!("/{path}")
            }
            None => name.strip_prefix(&self.prefix)?.to_owned(),
        };
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// `image` at `location`; `None` when that gives no name.
    fn rewritten(&self, image: &Reference, location: &str) -> Option<Reference> {
        if location.is_empty() {
            return Some(image.clone());
        }
        let tag = image.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = image.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{location}{}{tag}{digest}", self.rest(image)?).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        unqualified-search-registries = ["registry.example"]
        [[registry]]
        location = "registry.example"
        [[registry.mirror]]
        location = "mirror.example:5000/copy"
        insecure = true
        [[registry.mirror]]
        location = "pinned.example"
        pull-from-mirror = "digest-only"
        [[registry]]
        prefix = "registry.example/old"
        location = "other.example/new"
        [[registry]]
        prefix = "*.evil.example"
        blocked = true
    "#;

    #[track_caller]
    fn check(image: &str, places: &[&str]) {
        let conf = RegistriesConf::parse("registries.conf", TEXT).unwrap();
        let candidates = conf.pull(&image.parse().unwrap()).unwrap();
        let shown: Vec<String> = candidates.iter().map(|candidate| candidate.image.to_string()).collect();
        assert_eq!(shown, places);
    }

    #[test]
    fn the_longest_prefix_decides_where_an_image_is() {
        check("registry.example/a/b:1", &["mirror.example:5000/copy/a/b:1", "registry.example/a/b:1"]);
        check("registry.example/old/b:1", &["other.example/new/b:1"]);
        check("registry.example/older:1", &["mirror.example:5000/copy/older:1", "registry.example/older:1"]);
        check("registry.example.org/a:1", &["registry.example.org/a:1"]);
        let digest = oci::Digest::of(b"");
        let at = |place: &str| format!("{place}/a@{digest}");
        let places = ["mirror.example:5000/copy", "pinned.example", "registry.example"].map(at);
        check(&at("registry.example"), &places.each_ref().map(String::as_str));
    }

    #[test]
    fn a_blocked_registry_says_by_which_rule() {
        let conf = RegistriesConf::parse("registries.conf", TEXT).unwrap();
        let error = conf.push(&"very.evil.example/a:1".parse().unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("*.evil.example is blocked by registries.conf (registries.conf)"));
        assert!(conf.push(&"evil.example/a:1".parse().unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_such_file_is_named() {
        for text in ["[[registry]]", "[[registry]]\nlocation = \"a b\"", "[[registry]]\nblocked = 1", "="] {
            let error = RegistriesConf::parse("r.conf", text).unwrap_err().to_string();
            assert!(error.starts_with("r.conf: ") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_name_without_a_registry_is_an_alias_or_searched_for() {
        let conf = |text: &str| RegistriesConf::parse("f", text).unwrap();
        let full = |text: &str, name: &str| conf(text).full_name(name).map_err(|error| error.to_string());
        let one = "unqualified-search-registries = ['r.example']\n[aliases]\nfedora = 'f.example/fedora'\n";
        for (name, expected) in [
            ("busybox", "r.example/busybox"),
            ("a/b:1", "r.example/a/b:1"),
            ("fedora:42", "f.example/fedora:42"),
            ("fedora:42@sha256:0", "f.example/fedora:42@sha256:0"),
            ("fedora", "f.example/fedora"),
            ("h.example/x", "h.example/x"),
            ("localhost/x", "localhost/x"),
        ] {
            assert_eq!(full(one, name).as_deref(), Ok(expected));
        }
        assert_eq!(full("", "busybox").as_deref(), Ok("busybox"));
        let two = "unqualified-search-registries = ['a.example', 'b.example']\n";
        let said = "x may mean an image of a.example, b.example: write the registry out, or make it an alias in registries.conf";
        assert_eq!(full(two, "x"), Err(said.to_owned()));
        assert_eq!(full(&format!("{two}short-name-mode = 'permissive'\n"), "x").as_deref(), Ok("a.example/x"));
    }

    #[test]
    fn of_two_files_the_later_counts() {
        let first = RegistriesConf::parse("a", "[[registry]]\nlocation = 'r.example'\nblocked = true\n").unwrap();
        let later = RegistriesConf::parse("b", "[[registry]]\nlocation = 'r.example'\ninsecure = true\n").unwrap();
        let place = first.and(later).push(&"r.example/x:1".parse().unwrap()).unwrap();
        assert!(place.is_insecure);
        let listed = RegistriesConf::default().with_insecure("r.example:5000");
        assert!(listed.push(&"r.example:5000/x:1".parse().unwrap()).unwrap().is_insecure);
        assert!(!listed.push(&"r.example/x:1".parse().unwrap()).unwrap().is_insecure);
    }
}
