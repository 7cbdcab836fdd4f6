//! Package URLs (ECMA-427) of the types `rpm` and `oci`.
//!
//! Comes in: names, versions, qualifiers. Goes out: the canonical text: percent-encoded, qualifiers sorted by key, those
//! without a value left out. It knows nothing of images and packages.

/// A package URL before it is text.
#[derive(Clone, Debug, Default)]
pub(super) struct Purl<'a> {
    /// The type.
    pub(super) kind: &'a str,
    /// One segment, where there is one.
    pub(super) namespace: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) version: Option<&'a str>,
    /// Key and value; keys are ours and in the order of their bytes.
    pub(super) qualifiers: &'a [(&'a str, Option<String>)],
}

impl Purl<'_> {
    /// The canonical text.
    pub(super) fn text(&self) -> String {
        let mut text = format!("pkg:{}/", self.kind);
        if let Some(namespace) = self.namespace.filter(|namespace| !namespace.is_empty()) {
            encode(&mut text, namespace);
            text.push('/');
        }
        encode(&mut text, self.name);
        if let Some(version) = self.version {
            text.push('@');
            encode(&mut text, version);
        }
        let mut separator = '?';
        for (key, value) in self.qualifiers {
            let Some(value) = value.as_ref().filter(|value| !value.is_empty()) else { continue };
            text.push(separator);
            text.push_str(key);
            text.push('=');
            encode(&mut text, value);
            separator = '&';
        }
        text
    }
}

/// Adds `part`: letters, digits, `.`, `-`, `_`, `~` and the colon stay, every other byte is encoded (ECMA-427, 5.4).
fn encode(text: &mut String, part: &str) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(purl: &Purl<'_>, text: &str) {
        assert_eq!(purl.text(), text);
    }

    #[test]
    fn the_examples_of_the_types_are_written_canonically() {
        let some = |value: &str| Some(value.to_owned());
        let qualifiers = [("arch", some("i386")), ("distro", some("fedora-25"))];
        let curl = Purl {
            kind: "rpm",
            namespace: Some("fedora"),
            name: "curl",
            version: Some("7.50.3-1.fc25"),
            qualifiers: &qualifiers,
        };
        check(&curl, "pkg:rpm/fedora/curl@7.50.3-1.fc25?arch=i386&distro=fedora-25");
        let qualifiers = [("arch", some("i686")), ("distro", some("fedora-25")), ("epoch", some("1"))];
        let version = Some("4.22.10-1.el6");
        let centerim = Purl { kind: "rpm", name: "centerim", version, qualifiers: &qualifiers, ..Purl::default() };
        check(&centerim, "pkg:rpm/centerim@4.22.10-1.el6?arch=i686&distro=fedora-25&epoch=1");
        let qualifiers = [("arch", some("amd64")), ("repository_url", some("docker.io/library/debian")), ("tag", None)];
        let version = Some("sha256:244fd47e07d10");
        let debian = Purl { kind: "oci", name: "debian", version, qualifiers: &qualifiers, ..Purl::default() };
        check(&debian, "pkg:oci/debian@sha256:244fd47e07d10?arch=amd64&repository_url=docker.io%2Flibrary%2Fdebian");
    }

    #[test]
    fn what_is_no_letter_digit_or_plain_mark_is_encoded_as_bytes() {
        for (name, encoded) in [
            ("libstdc++", "libstdc%2B%2B"),
            ("a~b^c", "a~b%5Ec"),
            ("a:b", "a:b"),
            ("a%b", "a%25b"),
            ("a@b?c#d", "a%40b%3Fc%23d"),
            ("a/b", "a%2Fb"),
            ("a b", "a%20b"),
            ("é", "%C3%A9"),
            ("a=b&c", "a%3Db%26c"),
        ] {
            check(&Purl { kind: "rpm", name, ..Purl::default() }, &format!("pkg:rpm/{encoded}"));
        }
    }

    #[test]
    fn an_empty_value_is_no_qualifier() {
        let qualifiers = [("arch", Some(String::new()))];
        check(&Purl { kind: "rpm", name: "a", qualifiers: &qualifiers, ..Purl::default() }, "pkg:rpm/a");
    }
}
