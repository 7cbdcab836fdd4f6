//! Text from elsewhere, made fit to be shown: no credentials, no control characters.

/// `text` with each of `secrets`, and what stands between `://` and `@` in any URL, as `***`.
pub(super) fn mask(text: &str, secrets: &[String]) -> String {
    let mut shown = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        shown = shown.replace(secret.as_str(), "***");
    }
    let mut parts = shown.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("://");
        masked.push_str(&without_user(part));
    }
    masked.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

/// What follows `://`, its user and password masked.
fn without_user(rest: &str) -> String {
    let end = rest.find(|c: char| c == '/' || c.is_whitespace() || "'\"<>".contains(c)).unwrap_or(rest.len());
    let Some((authority, path)) = rest.split_at_checked(end) else { return rest.to_owned() };
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}{path}"),
        None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked_wherever_they_stand() {
        let secrets = ["hunter2".to_owned(), String::new()];
        let text = "fatal: unable to access 'https://a:b@host.example/x.git/': hunter2 at http://c@proxy:1\x1b[2J";
        let shown = "fatal: unable to access 'https://***@host.example/x.git/': *** at http://***@proxy:1?[2J";
        assert_eq!(mask(text, &secrets), shown);
        assert_eq!(mask("see https://host.example/a@b and c@d", &[]), "see https://host.example/a@b and c@d");
    }
}
