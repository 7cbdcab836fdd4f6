//! The way back from [`rewrite`](crate::rewrite), for repository files that a step changed.

use crate::ADDRESS;
use crate::pattern::unescape;
use crate::rewrite::TAKEN_OUT;
use crate::sources::{Kind, Sources};

/// `content` with the gateway's URLs replaced by what they stand for; unknown ones stay.
pub(crate) fn restore(content: &[u8], sources: &Sources) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
    text.split_inclusive('\n').map(|line| restore_line(line, sources)).collect::<String>().into_bytes()
}

fn restore_line(line: &str, sources: &Sources) -> String {
    if let Some(taken_out) = line.strip_prefix(TAKEN_OUT) {
        return taken_out.to_owned();
    }
    let start = format!("http://{ADDRESS}/");
    if !line.contains(&start) {
        return line.to_owned();
    }
    let (key, value) = match line.split_once('=') {
        Some((key, value)) if key.trim() == "baseurl" => (Some(key), value),
        Some(_) | None => (None, line),
    };
    let (mut lists, mut rest) = (String::new(), String::new());
    for piece in value.split_inclusive(is_delimiter) {
        let word = piece.trim_end_matches(is_delimiter);
        let apart = piece.strip_prefix(word).unwrap_or_default();
        match word.strip_prefix(&start).and_then(|path| original(path, sources)) {
            Some((kind @ (Kind::Metalink | Kind::Mirrorlist), url)) if key.is_some() => {
                let name = if kind == Kind::Metalink { "metalink" } else { "mirrorlist" };
                let space = key.map(|key| key.replacen("baseurl", name, 1)).unwrap_or_default();
                lists.push_str(&format!("{space}={url}\n"));
            }
            Some((_, url)) => rest.push_str(&format!("{url}{apart}")),
            None => rest.push_str(piece),
        }
    }
    let end = line.get(line.trim_end().len()..).unwrap_or_default();
    match key {
        Some(_) if rest.trim().is_empty() => format!("{}{end}", lists.trim_end()),
        Some(key) => format!("{lists}{key}={rest}"),
        None => rest,
    }
}

/// What `<letter>/<id>/…` stands for.
fn original(path: &str, sources: &Sources) -> Option<(Kind, String)> {
    let (letter, rest) = path.split_once('/')?;
    let (id, rest) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
    let kind = Kind::of(letter)?;
    let written = sources.written(id)?;
    let text = match kind {
        Kind::Base => {
            format!("{rest}{}", sources.written_query(id).map(|query| format!("?{query}")).unwrap_or_default())
        }
        Kind::Metalink | Kind::Mirrorlist | Kind::Key => unescape(rest.trim_matches('/'))?,
    };
    Some((kind, format!("{written}{text}")))
}

/// What ends a URL in a text; our own hold no comma where they stand in a list.
fn is_delimiter(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | '"' | '\'')
}
