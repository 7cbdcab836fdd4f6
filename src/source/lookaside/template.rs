//! Where a lookaside cache keeps a file.

use http::Url;

use super::SourceFile;

/// fedpkg's layout, below a base address.
const LAYOUT: &str = "{name}/{filename}/{hashtype}/{hash}/{filename}";

/// A lookaside cache's address, with places for what a file is.
///
/// The places are `{name}` (the package with its namespace, if it has one), `{namespace}` and `{package}` (the two
/// parts of it), `{filename}`, `{hashtype}` (`sha512`) and `{hash}`; fedpkg's spelling `%(name)s` means the same. An
/// address without any place is a base, below which files are as fedpkg puts them:
/// `{name}/{filename}/{hashtype}/{hash}/{filename}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookaside {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Name,
    Namespace,
    Package,
    FileName,
    HashType,
    Hash,
}

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not an address with places.
    #[error("the lookaside cache's address {why}")]
    Template {
        /// What is wrong.
        why: &'static str,
    },
    /// A place nobody knows.
    #[error(
        "the lookaside cache's address has a place `{place}`; there are name, namespace, package, filename, \
         hashtype and hash"
    )]
    Place {
        /// What stood between the braces.
        place: String,
    },
    /// The package's name cannot be part of an address.
    #[error("`{package}` is not a package's name with or without a namespace")]
    Package {
        /// The name.
        package: String,
    },
    /// The address has a place for a namespace.
    #[error("`{package}` has no namespace, but the lookaside cache's address needs one")]
    NoNamespace {
        /// The package.
        package: String,
    },
}

impl Lookaside {
    /// Parses an address.
    ///
    /// # Errors
    /// [`TemplateError`] for anything but an http or https address with places only in path and query.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let bad = |why| Err(TemplateError::Template { why });
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return bad("holds a blank or a control character");
        }
        let mut pieces = split(text)?;
        if !pieces.iter().any(|piece| matches!(piece, Piece::Place(_))) {
            pieces = split(&format!("{}/{LAYOUT}", text.trim_end_matches('/')))?;
        }
        let has = |wanted| pieces.contains(&Piece::Place(wanted));
        if !has(Place::Hash) && !has(Place::FileName) {
            return bad("is the same for all files: it needs {hash} or {filename}");
        }
        let base = match pieces.first() {
            Some(Piece::Text(start)) => start.split_once("://").map(|(_, rest)| rest),
            Some(Piece::Place(_)) | None => None,
        };
        if !base.is_some_and(|rest| rest.contains('/')) {
            return bad("does not start with http://HOST/ or https://HOST/");
        }
        let lookaside = Self { pieces };
        let url = lookaside.fill(|_| "x".to_owned())?;
        if !matches!(url.scheme(), "http" | "https") {
            return bad("does not start with http://HOST/ or https://HOST/");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return bad("holds a user or password, which would not be sent");
        }
        if url.fragment().is_some() {
            return bad("holds a `#`");
        }
        Ok(lookaside)
    }

    /// Where `file` of `package`, which is a name with or without a namespace (`containers/httpd`), is kept.
    ///
    /// # Errors
    /// [`TemplateError::Package`] and [`TemplateError::NoNamespace`].
    pub fn url(&self, package: &str, file: &SourceFile) -> Result<Url, TemplateError> {
        let is_bad = |part: &str| matches!(part, "" | "." | "..") || part.chars().any(char::is_control);
        if package.split('/').any(is_bad) {
            return Err(TemplateError::Package { package: package.chars().take(80).collect() });
        }
        let (namespace, name) = package.rsplit_once('/').unwrap_or(("", package));
        if namespace.is_empty() && self.pieces.contains(&Piece::Place(Place::Namespace)) {
            return Err(TemplateError::NoNamespace { package: package.to_owned() });
        }
        self.fill(|place| match place {
            Place::Name => encode(package),
            Place::Namespace => encode(namespace),
            Place::Package => encode(name),
            Place::FileName => encode(file.name()),
            Place::HashType => file.algorithm().as_str().to_owned(),
            Place::Hash => file.hex().to_owned(),
        })
    }

    fn fill(&self, value: impl Fn(Place) -> String) -> Result<Url, TemplateError> {
        let text: String = self
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Place(place) => value(*place),
            })
            .collect();
        Url::parse(&text).map_err(|_| TemplateError::Template { why: "is not a URL" })
    }
}

/// Both spellings of places.
fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let (at, start, end) = match (rest.find('{'), rest.find("%(")) {
            (Some(brace), Some(percent)) if percent < brace => (percent, "%(", ")s"),
            (Some(brace), _) => (brace, "{", "}"),
            (None, Some(percent)) => (percent, "%(", ")s"),
            (None, None) => break,
        };
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let inner = after.strip_prefix(start).unwrap_or_default();
        let (name, tail) =
            inner.split_once(end).ok_or(TemplateError::Template { why: "has a place without an end" })?;
        pieces.push(Piece::Place(place(name)?));
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn place(name: &str) -> Result<Place, TemplateError> {
    match name {
        "name" => Ok(Place::Name),
        "namespace" => Ok(Place::Namespace),
        "package" => Ok(Place::Package),
        "filename" => Ok(Place::FileName),
        "hashtype" => Ok(Place::HashType),
        "hash" => Ok(Place::Hash),
        _ => Err(TemplateError::Place { place: name.chars().take(80).collect() }),
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3) and `/`.
fn encode(text: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().map(|byte| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookaside::parse_sources;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn url(template: &str, package: &str, name: &str) -> Result<String, TemplateError> {
        let files = parse_sources("sources", format!("{MD5}  {name}").as_bytes()).unwrap();
        Ok(Lookaside::parse(template)?.url(package, &files[0])?.to_string())
    }

    #[test]
    fn a_base_means_fedpkgs_layout() {
        let expected = format!("https://src.example/repo/pkgs/rpms/vim/a%2B1.tgz/md5/{MD5}/a%2B1.tgz");
        for base in ["https://src.example/repo/pkgs", "https://src.example/repo/pkgs/"] {
            assert_eq!(url(base, "rpms/vim", "a+1.tgz").unwrap(), expected);
        }
    }

    #[test]
    fn places_have_two_spellings() {
        let expected = format!("https://src.example/containers/vim/x/md5/{MD5}?f=x");
        for template in [
            "https://src.example/{namespace}/{package}/{filename}/{hashtype}/{hash}?f={filename}",
            "https://src.example/%(name)s/%(filename)s/%(hashtype)s/{hash}?f=%(filename)s",
        ] {
            assert_eq!(url(template, "containers/vim", "x").unwrap(), expected);
        }
    }

    #[test]
    fn names_cannot_change_the_address() {
        let template = "https://src.example/{package}/{filename}";
        assert_eq!(url(template, "vim", "a?b#c%2e").unwrap(), "https://src.example/vim/a%3Fb%23c%252e");
        for package in ["", "..", "a/../b", "/a", "a//b", "a\nb"] {
            assert!(matches!(url(template, package, "x"), Err(TemplateError::Package { .. })), "{package}");
        }
        let no_namespace = url("https://src.example/{namespace}/{filename}", "vim", "x");
        assert_eq!(no_namespace, Err(TemplateError::NoNamespace { package: "vim".to_owned() }));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let bad = [
            "",
            "src.example/{hash}",
            "{hash}",
            "https://{hash}/x",
            "ftp://src.example/{hash}",
            "file:///srv/{hash}",
            "https://u:p@src.example/{hash}",
            "https://src.example/{package}",
            "https://src.example/{hash",
            "https://src.example/%(hash)",
            "https://src.example/#{hash}",
            "https://src.example/{user}/{hash}",
            "https://src.example/ {hash}",
        ];
        for template in bad {
            assert!(Lookaside::parse(template).is_err(), "{template}");
        }
    }
}
