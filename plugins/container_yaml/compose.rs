//! `compose`: which packages a build wants from elsewhere.

use std::collections::BTreeMap;

use pipeline::yaml::{Fault, Item};

use super::{one_of, read_some, text, texts};

/// What `compose` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compose {
    /// `packages`; an empty list is the whole tag, none is no such compose.
    pub(crate) packages: Option<Vec<String>>,
    /// `pulp_repos`: whether the content sets of `content_sets.yml` are used.
    pub(crate) pulp_repos: bool,
    /// `modules`.
    pub(crate) modules: Vec<String>,
    /// `signing_intent`.
    pub(crate) signing_intent: Option<String>,
    /// `inherit`: whether what the parent used is used too.
    pub(crate) inherit: bool,
    /// `ignore_absent_pulp_repos`.
    pub(crate) ignore_absent_pulp_repos: bool,
    /// `include_unpublished_pulp_repos`.
    pub(crate) include_unpublished_pulp_repos: bool,
    /// `multilib_method`.
    pub(crate) multilib_method: Vec<String>,
    /// `multilib_arches`.
    pub(crate) multilib_arches: Vec<String>,
    /// `modular_koji_tags`.
    pub(crate) modular_koji_tags: Option<KojiTags>,
    /// `module_resolve_tags`.
    pub(crate) module_resolve_tags: Option<KojiTags>,
    /// `build_only_content_sets`, by platform.
    pub(crate) build_only_content_sets: BTreeMap<String, Vec<String>>,
}

/// Tags of Koji.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KojiTags {
    /// `true`: that of the Koji target.
    OfTarget,
    /// These.
    Named(Vec<String>),
}

impl Compose {
    pub(super) fn read(item: &Item<'_>) -> Result<Self, Fault> {
        const METHODS: &[&str] = &["none", "iso", "runtime", "devel", "all"];
        let mut fields = item.fields()?;
        let mut flag = |key| fields.read(key, Item::boolean).map(Option::unwrap_or_default);
        let (pulp_repos, inherit) = (flag("pulp_repos")?, flag("inherit")?);
        let ignore_absent_pulp_repos = flag("ignore_absent_pulp_repos")?;
        let include_unpublished_pulp_repos = flag("include_unpublished_pulp_repos")?;
        let method = |item: &Item<'_>| one_of(item, METHODS).map(str::to_owned);
        let compose = Self {
            packages: fields.read("packages", texts_or_nothing)?,
            pulp_repos,
            modules: read_some(&mut fields, "modules", texts)?.unwrap_or_default(),
            signing_intent: fields.read("signing_intent", text)?,
            inherit,
            ignore_absent_pulp_repos,
            include_unpublished_pulp_repos,
            multilib_method: read_some(&mut fields, "multilib_method", |item| item.each(method))?.unwrap_or_default(),
            multilib_arches: read_some(&mut fields, "multilib_arches", texts)?.unwrap_or_default(),
            modular_koji_tags: read_some(&mut fields, "modular_koji_tags", koji_tags)?.flatten(),
            module_resolve_tags: read_some(&mut fields, "module_resolve_tags", koji_tags)?.flatten(),
            build_only_content_sets: read_some(&mut fields, "build_only_content_sets", content_sets)?
                .unwrap_or_default(),
        };
        fields.refuse_rest()?;
        Ok(compose)
    }
}

/// A list that is empty where the key has no value: that it is there means something.
fn texts_or_nothing(item: &Item<'_>) -> Result<Vec<String>, Fault> {
    if item.is_nothing() { Ok(Vec::new()) } else { texts(item) }
}

fn koji_tags(item: &Item<'_>) -> Result<Option<KojiTags>, Fault> {
    match item.boolean() {
        Ok(is_wanted) => Ok(is_wanted.then_some(KojiTags::OfTarget)),
        Err(_) if item.list().is_ok() => texts(item).map(|tags| Some(KojiTags::Named(tags))),
        Err(_) => Err(item.expected("true, false or a list of texts")),
    }
}

/// Keys that are no platforms are nobody's business, as in the reference's schema.
fn content_sets(item: &Item<'_>) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    const KIND: &str = "the name of a content set, a text that ends in -rpms";
    let name = |item: &Item<'_>| {
        let text = item.any_text(KIND)?;
        if text.ends_with("-rpms") { Ok(text.to_owned()) } else { Err(item.expected(KIND)) }
    };
    let is_platform = |key: &str| key.starts_with(|first: char| first.is_ascii_lowercase());
    let mut all = BTreeMap::new();
    for (key, item) in item.fields()?.rest().filter(|(key, _)| is_platform(key)) {
        let names = item.each(name)?;
        if names.is_empty() {
            return Err(item.fault("expected at least one content set, found none"));
        }
        all.insert(key.to_owned(), names);
    }
    Ok(all)
}
