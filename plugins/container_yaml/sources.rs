//! `remote_source`, `remote_sources` and `go`: sources that somebody fetched before the build. One of the three at most.

use pipeline::yaml::{Fault, Fields, Item};

use super::{one_of, read_some, text, texts};

/// Sources from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RemoteSources {
    /// `remote_source`; none where it says nothing.
    One(Option<RemoteSource>),
    /// `remote_sources`, by name.
    Many(Vec<(String, Option<RemoteSource>)>),
    /// `go`: the modules that the image is made of.
    Go(Vec<String>),
}

/// One repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteSource {
    /// Its URL.
    pub(crate) repo: String,
    /// The commit, 40 digits.
    pub(crate) reference: String,
}

const KEYS: [&str; 3] = ["remote_source", "remote_sources", "go"];

/// The first of the three that is there; that there are others is a complaint.
pub(super) fn read(top: &mut Fields<'_>, complaints: &mut Vec<Fault>) -> Result<Option<RemoteSources>, Fault> {
    top.read("remote_sources_version", version)?;
    let found: Vec<(&str, Item<'_>)> =
        KEYS.into_iter().filter_map(|key| top.take(key).map(|item| (key, item))).collect();
    if let [(first, _), (_, second), ..] = found.as_slice() {
        let text = format!("there is {first} already, and only one of {} can be", KEYS.join(", "));
        complaints.push(second.fault(&text).help("leave one of them out"));
    }
    let read = |(key, item): (&str, Item<'_>)| match key {
        "remote_source" => optional(&item).map(RemoteSources::One),
        "remote_sources" => many(&item).map(RemoteSources::Many),
        _ => go(&item).map(RemoteSources::Go),
    };
    let all = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().next())
}

fn version(item: &Item<'_>) -> Result<(), Fault> {
    let is_known = item.number().is_some_and(|number| (1.0..=2.0).contains(&number));
    if is_known { Ok(()) } else { Err(item.expected("1 or 2")) }
}

fn optional(item: &Item<'_>) -> Result<Option<RemoteSource>, Fault> {
    if item.is_nothing() { Ok(None) } else { one(item).map(Some) }
}

fn one(item: &Item<'_>) -> Result<RemoteSource, Fault> {
    const COMMIT: &str = "a commit, 40 digits and small letters";
    const MANAGERS: &[&str] = &["gomod", "rubygems", "pip", "yarn", "npm", "git-submodule"];
    let mut fields = item.fields()?;
    let repo = text(&fields.need("repo")?)?;
    let place = fields.need("ref")?;
    let reference = place.any_text(COMMIT)?;
    let is_commit = reference.len() == 40 && reference.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    if !is_commit {
        return Err(place.expected(COMMIT));
    }
    read_some(&mut fields, "pkg_managers", |item| item.each(|one| one_of(one, MANAGERS)))?;
    read_some(&mut fields, "flags", texts)?;
    read_some(&mut fields, "packages", packages)?;
    fields.refuse_rest()?;
    Ok(RemoteSource { repo, reference: reference.to_owned() })
}

fn packages(item: &Item<'_>) -> Result<(), Fault> {
    let one = |item: &Item<'_>| {
        let is_empty = item.fields()?.rest().next().is_none();
        if is_empty { Err(item.fault("expected at least one key, found none")) } else { Ok(()) }
    };
    item.fields()?.rest().try_for_each(|(_, item)| item.each(one).map(drop))
}

fn many(item: &Item<'_>) -> Result<Vec<(String, Option<RemoteSource>)>, Fault> {
    const NAME: &str = "a name of letters, digits, dashes and underscores";
    let one_of_many = |item: &Item<'_>| {
        let mut fields = item.fields()?;
        let place = fields.need("name")?;
        let name = place.any_text(NAME)?;
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !is_name {
            return Err(place.expected(NAME));
        }
        let source = optional(&fields.need("remote_source")?)?;
        fields.refuse_rest()?;
        Ok((name.to_owned(), source))
    };
    let all = item.each(one_of_many)?;
    if all.is_empty() { Err(item.fault("expected at least one source, found none")) } else { Ok(all) }
}

fn go(item: &Item<'_>) -> Result<Vec<String>, Fault> {
    let module = |item: &Item<'_>| {
        let mut fields = item.fields()?;
        let name = text(&fields.need("module")?)?;
        fields.read("archive", text)?;
        fields.read("path", text)?;
        fields.refuse_rest().map(|()| name)
    };
    let mut fields = item.fields()?;
    let modules = read_some(&mut fields, "modules", |item| item.each(module))?.unwrap_or_default();
    fields.refuse_rest()?;
    Ok(modules)
}
