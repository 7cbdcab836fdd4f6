//! What a server wants to be shown: the `WWW-Authenticate` header (RFC 9110, section 11.6.1).

/// One challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password (RFC 7617).
    Basic,
    /// A token from another server (distribution's token authentication specification).
    Bearer(Bearer),
    /// A scheme that registries do not use, in lower case.
    Other(String),
}

/// Where to get a token, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bearer {
    /// The URL of the token server.
    pub realm: String,
    /// The registry's name for that server.
    pub service: Option<String>,
    /// The scopes wanted, such as `repository:a/b:pull`.
    pub scopes: Vec<String>,
    /// Why the token that was sent is not enough, such as `insufficient_scope`.
    pub error: Option<String>,
}

/// The challenges in the value of one `WWW-Authenticate` field.
///
/// What does not follow the grammar is skipped; a bearer challenge without a realm is [`Challenge::Other`].
#[must_use]
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut scanner = Scanner { rest: header };
    let mut challenges = Vec::new();
    while let Some(scheme) = scanner.scheme() {
        let parameters = std::iter::from_fn(|| scanner.parameter()).collect();
        challenges.push(challenge(scheme, parameters));
    }
    challenges
}

fn challenge(scheme: &str, parameters: Vec<(String, String)>) -> Challenge {
    if scheme.eq_ignore_ascii_case("basic") {
        return Challenge::Basic;
    }
    let other = || Challenge::Other(scheme.to_ascii_lowercase());
    if !scheme.eq_ignore_ascii_case("bearer") {
        return other();
    }
    let mut bearer = Bearer::default();
    for (name, value) in parameters {
        match name.as_str() {
            "realm" => bearer.realm = value,
            "service" => bearer.service = Some(value),
            "scope" => bearer.scopes.extend(value.split_ascii_whitespace().map(str::to_owned)),
            "error" => bearer.error = Some(value),
            _ => {}
        }
    }
    if bearer.realm.is_empty() { other() } else { Challenge::Bearer(bearer) }
}

struct Scanner<'h> {
    rest: &'h str,
}

impl<'h> Scanner<'h> {
    /// The next authentication scheme, after whatever cannot be one.
    fn scheme(&mut self) -> Option<&'h str> {
        self.skip(|c| !is_token(c));
        let scheme = self.take(is_token);
        if scheme.is_empty() { None } else { Some(scheme) }
    }

    /// The next `name=value` of the current challenge, the name in lower case; `None` where another challenge starts.
    fn parameter(&mut self) -> Option<(String, String)> {
        let start = self.rest;
        self.skip(|c| matches!(c, ' ' | '\t' | ','));
        let name = self.take(is_token).to_ascii_lowercase();
        self.skip(is_blank);
        let Some(rest) = self.rest.strip_prefix('=').filter(|_| !name.is_empty()) else {
            self.rest = start;
            return None;
        };
        self.rest = rest;
        self.skip(is_blank);
        let value = match self.rest.strip_prefix('"') {
            Some(rest) => self.quoted(rest),
            // Slash, plus and equals signs are no token, but unquoted values with them are seen in the wild.
            None => self.take(|c| is_token(c) || matches!(c, '/' | ':' | '=')).to_owned(),
        };
        Some((name, value))
    }

    /// The text up to the closing quote, or to the end where there is none.
    fn quoted(&mut self, text: &'h str) -> String {
        let mut value = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => break,
                '\\' => value.extend(characters.next()),
                _ => value.push(character),
            }
        }
        self.rest = characters.as_str();
        value
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(is_skipped);
    }

    fn take(&mut self, is_taken: impl Fn(char) -> bool) -> &'h str {
        let end = self.rest.find(|c| !is_taken(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// RFC 9110, section 5.6.2.
fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: &str, scopes: &[&str]) -> Challenge {
        Challenge::Bearer(Bearer {
            realm: realm.to_owned(),
            service: Some(service.to_owned()),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            error: None,
        })
    }

    #[track_caller]
    fn check(header: &str, expected: &[Challenge]) {
        assert_eq!(parse(header), expected);
    }

    #[test]
    fn the_docker_hub_challenge_is_read() {
        let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push repository:c:pull""#;
        let scopes = ["repository:a/b:pull,push", "repository:c:pull"];
        check(header, &[bearer("https://auth.docker.io/token", "registry.docker.io", &scopes)]);
    }

    #[test]
    fn several_challenges_in_one_field_are_told_apart() {
        let header = r#"Negotiate abc==, basic realm="a, b=\"c\"", BEARER Realm = https://t/x , service="s""#;
        check(header, &[Challenge::Other("negotiate".to_owned()), Challenge::Basic, bearer("https://t/x", "s", &[])]);
    }

    #[test]
    fn a_bearer_challenge_without_a_realm_is_of_no_use() {
        check("Bearer service=\"x\"", &[Challenge::Other("bearer".to_owned())]);
    }

    #[test]
    fn nonsense_gives_no_challenge_to_answer() {
        for header in ["", ",,,", "=", "\"", "\u{e4}"] {
            check(header, &[]);
        }
        check(
            "Bearer realm=\"unclosed",
            &[Challenge::Bearer(Bearer { realm: "unclosed".into(), ..Bearer::default() })],
        );
    }
}
