//! `add_labels_in_dockerfile`: labels that every image of the site has.
//!
//! Reads the labels of the Dockerfile and of the parent, `--label`, the site's `image_labels`, `image_equal_labels` and
//! `image_label_info_url_format`, the source. Returns one LABEL instruction for the end of the Dockerfile, and all
//! labels the image will have. What is known of the build beats the site, the site beats the Dockerfile, that beats
//! the parent; only two labels are the Dockerfile's where it has them, `distribution-scope` and
//! `com.redhat.license_terms`. What the Dockerfile says already is not repeated. Fails the build when the URL's format
//! names a label that is not there.

use pipeline::site::Site;
use pipeline::{Changes, Class, Edit, Fact, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};

use crate::labels::{self, ALIASES, Labels};

/// Labels of every build that are added by themselves.
const AUTOMATIC: [&str; 4] = ["architecture", "build-date", "vcs-ref", "vcs-type"];
/// Labels with which a Dockerfile has the last word.
const OF_THE_DOCKERFILE: [&str; 2] = ["distribution-scope", "com.redhat.license_terms"];
/// Labels that name a build: to replace those of the Dockerfile surprises.
const OF_THE_BUILD: [&str; 3] = ["name", "version", "release"];

#[derive(Debug)]
struct AddLabels {
    rules: Rules,
    /// The labels known of a build that are wanted.
    automatic: Vec<String>,
}

/// What the site says about labels.
#[derive(Clone, Debug, Default)]
struct Rules {
    labels: Labels,
    equal: Vec<Vec<String>>,
    url_format: Option<String>,
}

/// What is there before.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Of the image that the last stage is built on.
    pub parent: Labels,
    /// Of the Dockerfile alone.
    pub written: Labels,
    /// Known of this build.
    pub automatic: Labels,
    /// `--label`: the build adds them itself, after everything.
    pub demanded: Labels,
}

impl Rules {
    fn of(site: &Site) -> Self {
        Self {
            labels: site.image_labels.clone(),
            equal: site.image_equal_labels.clone(),
            url_format: site.image_label_info_url_format.clone(),
        }
    }
}

fn acts(site: &Site) -> bool {
    !site.image_labels.is_empty() || !site.image_equal_labels.is_empty() || site.image_label_info_url_format.is_some()
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    if setup.args.is_none() && !acts(setup.site) {
        return Ok(None);
    }
    let rules = Rules::of(setup.site);
    let automatic = setup.texts("auto_labels")?.unwrap_or_else(|| AUTOMATIC.map(str::to_owned).to_vec());
    Ok(Some(Box::new(AddLabels { rules, automatic })))
}

impl Plugin<PreBuild> for AddLabels {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let (automatic, mut warnings) = automatic(&self.automatic, &Known::of(view));
        let before = Before {
            parent: view.parent_config().map(|config| config.config.labels.clone()).unwrap_or_default(),
            written: view.written_labels()?,
            automatic,
            demanded: view.request.labels.iter().cloned().collect(),
        };
        warnings.extend(replaced(&self.rules, &before));
        let added = decide(&self.rules, &before)?;
        let all = union(&[&before.parent, &before.written, &added, &before.demanded]);
        let edits = edit(added).into_iter().collect();
        Ok(Changes { edits, facts: vec![Fact::Labels(all)], warnings })
    }
}

/// The edit that adds these labels; none for none.
fn edit(added: Labels) -> Option<Reasoned> {
    let reason = "labels of the site, of this build, and aliases".to_owned();
    (!added.is_empty()).then(|| Reasoned { edit: Edit::Labels(added.into_iter().collect()), reason })
}

/// The labels to add and the edit that adds them; `names` are those known of the build that are wanted.
pub(crate) fn decided(
    site: &Site,
    (known, names): (&Known, &[String]),
    before: Before,
) -> Result<(Labels, Option<Reasoned>), PluginError> {
    let before = Before { automatic: automatic(names, known).0, ..before };
    let added = decide(&Rules::of(site), &before)?;
    Ok((added.clone(), edit(added)))
}

/// What a build knows of itself.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The platform, under the site's name for it.
    pub platform: String,
    /// The time of the build, in seconds since 1970.
    pub epoch: u64,
    /// The commit of the source.
    pub commit: Option<String>,
    /// Where the source is.
    pub uri: Option<String>,
}

impl Known {
    fn of(view: &PreBuildView<'_>) -> Self {
        Self {
            platform: view.site.platform(&view.request.platform.architecture).to_owned(),
            epoch: view.request.epoch,
            commit: view.source.commit.clone(),
            uri: view.source.uri.clone(),
        }
    }
}

/// The labels of these names, and warnings about those that nobody could fill in.
fn automatic(names: &[String], known: &Known) -> (Labels, Vec<String>) {
    let (mut labels, mut warnings) = (Labels::new(), Vec::new());
    for name in names {
        let value = match name.as_str() {
            "architecture" => Some(known.platform.clone()),
            "build-date" => Some(build::timestamp(known.epoch)),
            "vcs-ref" => known.commit.clone(),
            "vcs-type" => known.commit.as_ref().map(|_| "git".to_owned()),
            "vcs-url" => known.uri.clone(),
            _ => {
                warnings.push(format!("nothing is known that the label {name} could say"));
                None
            }
        };
        labels.extend(value.map(|value| (name.clone(), value)));
    }
    (labels, warnings)
}

/// Labels that name the build and that the site replaces.
fn replaced(rules: &Rules, before: &Before) -> Vec<String> {
    let warning = |name: &str| {
        let (site, written) = (rules.labels.get(name)?, before.written.get(name)?);
        (site != written).then(|| {
            format!(
                "the label {name} is {site}, as the site's image_labels say; the Dockerfile's {written} has no effect"
            )
        })
    };
    OF_THE_BUILD.into_iter().filter_map(warning).collect()
}

/// The labels to add.
fn decide(rules: &Rules, before: &Before) -> Result<Labels, PluginError> {
    let mut added = union(&[&rules.labels, &before.automatic]);
    let explicit = union(&[&before.written, &added, &before.demanded]);
    added.extend(aliases(&before.parent, &explicit));
    added.extend(equal(&rules.equal, &before.parent, &explicit));
    if let Some(format) = &rules.url_format {
        let all = union(&[&before.parent, &before.written, &added, &before.demanded]);
        added.insert("url".to_owned(), labels::fill(format, &all, Class::Configuration)?);
    }
    added.retain(|name, value| {
        let stays = OF_THE_DOCKERFILE.contains(&name.as_str()) && before.written.contains_key(name);
        !stays && before.written.get(name) != Some(value) && !before.demanded.contains_key(name)
    });
    Ok(added)
}

/// What one of two names of a label is to be because of the other.
///
/// The new name gets what the old one says if it is missing, or if only the old one was said here; else the old name
/// gets what the new one says.
fn aliases(parent: &Labels, explicit: &Labels) -> Labels {
    let all = union(&[parent, explicit]);
    let mut added = Labels::new();
    for (new, old) in ALIASES {
        let Some(old_value) = all.get(old) else { continue };
        let is_older = explicit.contains_key(old) && !explicit.contains_key(new);
        match all.get(new) {
            Some(new_value) if new_value == old_value => {}
            Some(new_value) if !is_older => drop(added.insert(old.to_owned(), new_value.clone())),
            Some(_) | None => drop(added.insert(new.to_owned(), old_value.clone())),
        }
    }
    added
}

/// What the labels of each group are to be because of the first that was said here, else of the first the parent has.
fn equal(groups: &[Vec<String>], parent: &Labels, explicit: &Labels) -> Labels {
    let mut added = Labels::new();
    for group in groups {
        let first = |labels: &Labels| group.iter().find_map(|name| labels.get(name).cloned());
        let (value, is_explicit) = match (first(explicit), first(parent)) {
            (Some(value), _) => (value, true),
            (None, Some(value)) => (value, false),
            (None, None) => continue,
        };
        let is_settled = |name: &String| match parent.get(name) {
            Some(inherited) => explicit.contains_key(name) || !is_explicit || *inherited == value,
            None => explicit.contains_key(name),
        };
        let rest = group.iter().filter(|name| !is_settled(name));
        added.extend(rest.map(|name| (name.clone(), value.clone())));
    }
    added
}

/// All labels; the later beats the earlier.
fn union(layers: &[&Labels]) -> Labels {
    layers.iter().flat_map(|labels| labels.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::of;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    #[track_caller]
    fn check(site: Pairs<'_>, parent: Pairs<'_>, written: Pairs<'_>, expected: Pairs<'_>) {
        let rules = Rules { labels: of(site), ..Rules::default() };
        let before = Before { parent: of(parent), written: of(written), ..Before::default() };
        assert_eq!(decide(&rules, &before).unwrap(), of(expected));
    }

    #[test]
    fn the_site_beats_the_dockerfile_but_for_the_scope() {
        let site = [("distribution-scope", "public"), ("vendor", "corp")];
        check(&site, &[], &[("distribution-scope", "private"), ("vendor", "me")], &[("vendor", "corp")]);
        check(&site, &[("distribution-scope", "private")], &[], &site);
        check(&[("release", "6")], &[], &[("release", "5")], &[("release", "6")]);
    }

    #[test]
    fn what_the_dockerfile_says_is_not_repeated() {
        check(&[("vendor", "corp")], &[], &[("vendor", "corp")], &[]);
        check(&[], &[], &[("name", "n"), ("version", "1")], &[]);
        check(&[("vendor", "corp")], &[("vendor", "corp")], &[], &[("vendor", "corp")]);
    }

    #[test]
    fn an_old_name_gives_the_new_one_its_value() {
        check(&[], &[], &[("Name", "n")], &[("name", "n")]);
        check(&[], &[("Name", "n")], &[], &[("name", "n")]);
        check(&[], &[("name", "basename"), ("Name", "basename")], &[("Name", "old")], &[("name", "old")]);
        check(&[], &[("name", "base")], &[("Name", "old")], &[("name", "old")]);
    }

    #[test]
    fn where_both_names_differ_the_new_one_wins() {
        check(&[], &[], &[("Name", "old"), ("name", "new")], &[("Name", "new")]);
        check(&[], &[("Name", "old"), ("name", "new")], &[], &[("Name", "new")]);
        check(&[], &[("Name", "old")], &[("name", "new")], &[("Name", "new")]);
        check(&[("name", "site")], &[], &[("Name", "old")], &[("name", "site"), ("Name", "site")]);
        check(&[], &[], &[("Name", "same"), ("name", "same")], &[]);
    }

    #[test]
    fn what_is_known_of_the_build_beats_the_site() {
        let rules = Rules { labels: of(&[("architecture", "any")]), ..Rules::default() };
        let before = Before { automatic: of(&[("architecture", "x86_64")]), ..Before::default() };
        assert_eq!(decide(&rules, &before).unwrap(), of(&[("architecture", "x86_64")]));
    }

    #[test]
    fn what_is_demanded_is_the_builds_to_add_and_gives_its_aliases() {
        let rules = Rules { labels: of(&[("vendor", "corp")]), ..Rules::default() };
        let before = Before { demanded: of(&[("vendor", "me"), ("Release", "7")]), ..Before::default() };
        assert_eq!(decide(&rules, &before).unwrap(), of(&[("release", "7")]));
    }

    #[test]
    fn the_url_is_made_of_other_labels_aliases_too() {
        let rules = Rules { url_format: Some("https://c.example/{name}-{version}".to_owned()), ..Rules::default() };
        let before = Before { written: of(&[("Name", "n"), ("version", "1")]), ..Before::default() };
        assert_eq!(decide(&rules, &before).unwrap(), of(&[("name", "n"), ("url", "https://c.example/n-1")]));
        let error = decide(&rules, &Before::default()).unwrap_err();
        assert_eq!(error.text, "`https://c.example/{name}-{version}`: the image has no label name");
    }

    #[test]
    fn equal_labels_get_the_value_of_the_first_that_is_ours_else_of_the_first_inherited() {
        let rules = Rules { equal: vec![vec!["description".into(), "summary".into()]], ..Rules::default() };
        let decided = |parent: Pairs<'_>, written: Pairs<'_>| {
            let before = Before { parent: of(parent), written: of(written), ..Before::default() };
            decide(&rules, &before).unwrap()
        };
        assert_eq!(decided(&[], &[("summary", "s")]), of(&[("description", "s")]));
        assert_eq!(decided(&[("description", "s")], &[("summary", "s")]), of(&[]));
        assert_eq!(decided(&[("description", "p")], &[("summary", "s")]), of(&[("description", "s")]));
        assert_eq!(decided(&[("description", "p")], &[]), of(&[("summary", "p")]));
        assert_eq!(decided(&[("description", "p"), ("summary", "q")], &[]), of(&[]));
        assert_eq!(decided(&[], &[]), of(&[]));
    }

    #[test]
    fn a_build_knows_its_platform_time_and_commit() {
        let names = ["architecture", "build-date", "vcs-ref", "vcs-type", "vcs-url", "nosuch"].map(str::to_owned);
        let known = Known {
            platform: "aarch64".to_owned(),
            epoch: 1_767_323_045,
            commit: Some("0123".to_owned()),
            uri: Some("https://git.example/r.git".to_owned()),
        };
        let expected = of(&[
            ("architecture", "aarch64"),
            ("build-date", "2026-01-02T03:04:05Z"),
            ("vcs-ref", "0123"),
            ("vcs-type", "git"),
            ("vcs-url", "https://git.example/r.git"),
        ]);
        let warnings = vec!["nothing is known that the label nosuch could say".to_owned()];
        assert_eq!(automatic(&names, &known), (expected, warnings));
        let (labels, _) = automatic(&names, &Known::default());
        assert!(!labels.contains_key("vcs-type"));
    }

    #[test]
    fn a_release_that_the_site_replaces_is_mentioned() {
        let rules = Rules { labels: of(&[("release", "6"), ("version", "1"), ("vendor", "corp")]), ..Rules::default() };
        let written = of(&[("release", "5"), ("version", "1"), ("vendor", "me")]);
        let warnings = replaced(&rules, &Before { written, ..Before::default() });
        let expected = "the label release is 6, as the site's image_labels say; the Dockerfile's 5 has no effect";
        assert_eq!(warnings, [expected]);
    }
}
