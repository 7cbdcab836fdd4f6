//! What the Build object says of a build: atomic-reactor's annotations and labels, by its keys.
//!
//! Reads the record, the facts and where the image was published. Returns texts, most of them JSON. What cannot be said
//! truly is left out, or empty where readers count on the key: nothing is made up for an image that was not published.
//! It holds what the record holds, which is no secret, and stays well below the 256 KiB that an object's annotations
//! may have.

use std::collections::BTreeMap;

use oci::Reference;
use oci::manifest::media_type;
use pipeline::record::{BaseRecord, Record, Status};
use pipeline::{Facts, Tags};
use serde_json::{Map, Value, json};

/// Longest Dockerfile that is repeated, in bytes.
const DOCKERFILE: usize = 64 << 10;

/// Longest error that is repeated, in characters.
const ERROR: usize = 1000;

/// What annotations are decided from.
#[derive(Clone, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) record: &'a Record,
    pub(crate) tags: Option<&'a Tags>,
    /// Parents: as the Dockerfile had them, and where they really are; none where nobody looked.
    pub(crate) parents: Option<BTreeMap<String, String>>,
    pub(crate) published: Option<Pushed<'a>>,
    /// What the registry has for its name; none where nobody asked.
    pub(crate) media_types: Option<&'a [String]>,
}

/// An image that has its names.
#[derive(Clone, Debug)]
pub(crate) struct Pushed<'a> {
    pub(crate) digest: String,
    pub(crate) media_type: &'a str,
    /// Its names in registries.
    pub(crate) names: Vec<&'a Reference>,
}

/// The annotations, by atomic-reactor's keys.
pub(crate) fn decide(known: &Known<'_>) -> BTreeMap<String, String> {
    let record = known.record;
    let (base_name, base_id) = base(record);
    let image = record.image.as_ref().map(|image| image.config.clone());
    let mut all: BTreeMap<&str, String> = BTreeMap::new();
    all.insert("dockerfile", dockerfile(record));
    all.insert("repositories", repositories(known).to_string());
    all.insert("commit_id", record.source.commit.clone().unwrap_or_default());
    all.insert("base-image-id", base_id);
    all.insert("base-image-name", base_name);
    all.insert("parent_images", parents(known).to_string());
    all.insert("image-id", image.unwrap_or_default());
    all.insert("digests", digests(known).to_string());
    all.insert("plugins-metadata", plugins_metadata(record).to_string());
    match (known.media_types, &known.published) {
        (Some(types), _) => drop(all.insert("media-types", json!(types).to_string())),
        (None, Some(pushed)) => drop(all.insert("media-types", json!([pushed.media_type]).to_string())),
        (None, None) => {}
    }
    if let Some(help) = help_file(record) {
        all.insert("help_file", help.to_string());
    }
    all.into_iter().map(|(key, text)| (key.to_owned(), text)).collect()
}

/// The labels: what others find the build in Koji by.
pub(crate) fn labels(facts: &Facts) -> BTreeMap<String, String> {
    let all = [("koji-build-id", facts.koji_build()), ("filesystem-koji-task-id", facts.filesystem_task())];
    all.into_iter().filter_map(|(key, id)| Some((key.to_owned(), id?.to_string()))).collect()
}

/// The Dockerfile as it was executed; nothing before that is known, or where it is too long.
fn dockerfile(record: &Record) -> String {
    let text = record.source.executed.as_ref().map(|executed| executed.text.clone());
    text.filter(|text| text.len() <= DOCKERFILE).unwrap_or_default()
}

/// The names the image has, by what they are for. Those nobody classified are this build's own.
fn repositories(known: &Known<'_>) -> Value {
    let published = known.published.as_ref().map(|pushed| pushed.names.as_slice()).unwrap_or_default();
    let among = |names: &[Reference]| {
        let names = names.iter().filter(|name| published.contains(name));
        names.map(ToString::to_string).collect::<Vec<_>>()
    };
    match known.tags {
        Some(tags) => {
            json!({"primary": among(&tags.primary), "unique": among(&tags.unique), "floating": among(&tags.floating)})
        }
        None => {
            let names: Vec<String> = published.iter().map(ToString::to_string).collect();
            json!({"primary": [], "unique": names, "floating": []})
        }
    }
}

/// Name and id of the image the last stage is built on in the end; nothing for scratch.
fn base(record: &Record) -> (String, String) {
    let mut stage = record.stages.last();
    let mut base = None;
    // Stages are built on earlier ones only, so there are no more rounds than stages.
    for _ in &record.stages {
        let Some(here) = stage else { break };
        base = Some(here.base.as_str());
        stage = record.stages.iter().find(|one| one.name.eq_ignore_ascii_case(&here.base));
    }
    let Some(name) = base.filter(|name| !name.eq_ignore_ascii_case("scratch")) else {
        return (String::new(), String::new());
    };
    // A name with variables is only found when there is nothing else it could mean.
    let only = || if let [only] = record.bases.as_slice() { Some(only) } else { None };
    match record.bases.iter().find(|base| base.name == name).or_else(only) {
        Some(base) => (base.name.clone(), base.config.clone()),
        None => (name.to_owned(), String::new()),
    }
}

/// Each parent as it was written, and where it was taken from.
fn parents(known: &Known<'_>) -> Value {
    if let Some(parents) = &known.parents {
        return json!(parents);
    }
    let place = |base: &BaseRecord| base.location.strip_prefix("docker://").unwrap_or(&base.location).to_owned();
    let parents: BTreeMap<&str, String> =
        known.record.bases.iter().map(|base| (base.name.as_str(), place(base))).collect();
    json!(parents)
}

/// Each name with the digest it stands for.
fn digests(known: &Known<'_>) -> Value {
    let Some(pushed) = &known.published else { return json!([]) };
    let is_oci = [media_type::OCI_MANIFEST, media_type::OCI_INDEX].contains(&pushed.media_type);
    let one = |name: &&Reference| {
        json!({
            "registry": name.registry(),
            "repository": name.repository(),
            "tag": name.tag().unwrap_or("latest"),
            "digest": pushed.digest,
            "version": if is_oci { "oci" } else { "v2" },
        })
    };
    pushed.names.iter().map(one).collect()
}

/// What plugins did: errors, when they began, how many seconds they took. A failure that is no plugin's is that of
/// `build`, for it is here that people look for the reason.
fn plugins_metadata(record: &Record) -> Value {
    let (mut errors, mut timestamps, mut durations) = (Map::new(), Map::new(), Map::new());
    let started = seconds(&record.started);
    for run in &record.plugins {
        if let Some(error) = &run.error {
            errors.insert(run.plugin.clone(), shortened(error).into());
        }
        if let Some(started) = started {
            timestamps.insert(run.plugin.clone(), timestamp(started, run.began).into());
        }
        durations.insert(run.plugin.clone(), json!(run.milliseconds as f64 / 1000.0));
    }
    if let Some(error) = own_error(record) {
        errors.insert("build".to_owned(), shortened(&error).into());
    }
    json!({"errors": errors, "timestamps": timestamps, "durations": durations})
}

/// Why the build failed, unless a plugin's error says so already.
fn own_error(record: &Record) -> Option<String> {
    let error = record.result.error.as_deref().unwrap_or("no reason is known");
    match record.result.status {
        Status::Running | Status::Succeeded => None,
        Status::Cancelled if error.starts_with("cancelled") => Some(error.to_owned()),
        Status::Cancelled => Some(format!("cancelled: {error}")),
        Status::Failed => {
            let is_plugin_s = record.plugins.iter().any(|run| error.starts_with(&format!("plugin {}: ", run.plugin)));
            (!is_plugin_s).then(|| error.to_owned())
        }
    }
}

/// The file that help was made of; null where there is none, nothing where nobody looked.
fn help_file(record: &Record) -> Option<Value> {
    let ran = record.plugins.iter().any(|run| run.plugin == "add_help" && run.error.is_none());
    let is_added = record.edits.iter().any(|edit| edit.plugin == "add_help" && edit.kind == "file");
    ran.then(|| if is_added { json!("help.md") } else { Value::Null })
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ERROR) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(started: u64, milliseconds: u64) -> String {
    let whole = build::timestamp(started + milliseconds / 1000);
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), milliseconds % 1000)
}

/// Seconds since 1970 of a time as the record has it: `2026-01-02T03:04:05Z`.
fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator| text.split(separator).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
    let (date, time) = (numbers(date, '-').ok()?, numbers(time, ':').ok()?);
    let ([year, month, day], [hours, minutes, seconds]) = (date.as_slice(), time.as_slice()) else { return None };
    if !(1970..10_000).contains(year) || !(1..=12).contains(month) || !(1..=31).contains(day) {
        return None;
    }
    // Years that start in March end with their leap day.
    let (year, month) = if *month < 3 { (year - 1, month + 9) } else { (*year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use pipeline::record::{EditRecord, Executed, ImageRecord, Outcome, PluginRun, StageRecord};

    use super::*;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn run(plugin: &str, began: u64, error: Option<&str>) -> PluginRun {
        let (plugin, phase) = (plugin.to_owned(), "pre-build".to_owned());
        PluginRun { plugin, phase, milliseconds: 1500, error: error.map(str::to_owned), began }
    }

    fn stage(name: &str, base: &str) -> StageRecord {
        StageRecord { name: name.to_owned(), base: base.to_owned(), ..StageRecord::default() }
    }

    fn base_record(name: &str, digit: &str) -> BaseRecord {
        BaseRecord {
            name: name.to_owned(),
            location: format!("docker://r.example/{name}@sha256:{}", digit.repeat(64)),
            config: format!("sha256:{}", digit.repeat(64)),
            ..BaseRecord::default()
        }
    }

    fn record() -> Record {
        let mut record = Record { started: "2026-01-02T03:04:05Z".to_owned(), ..Record::default() };
        record.source.commit = Some("c".repeat(40));
        record.source.executed = Some(Executed { digest: String::new(), text: "FROM base\n".to_owned() });
        record.stages = vec![stage("tools", "go"), stage("below", "base"), stage("2", "below")];
        record.bases = vec![base_record("go", "1"), base_record("base", "2")];
        record.image = Some(ImageRecord { config: "sha256:33".to_owned(), ..ImageRecord::default() });
        record.plugins = vec![run("check_base_image", 61_007, None)];
        record.result = Outcome { status: Status::Succeeded, exit_code: 0, error: None };
        record
    }

    fn of(record: &Record) -> BTreeMap<String, String> {
        decide(&Known { record, tags: None, parents: None, published: None, media_types: None })
    }

    fn json_of(all: &BTreeMap<String, String>, key: &str) -> Value {
        serde_json::from_str(all.get(key).unwrap()).unwrap()
    }

    #[test]
    fn a_published_image_is_said_whole() {
        let record = record();
        let names = [reference("r.example/webd:1-2"), reference("r.example/webd:latest")];
        let tags = Tags {
            unique: vec![reference("r.example/webd:me-1")],
            primary: vec![names[0].clone()],
            floating: vec![names[1].clone()],
            group: None,
        };
        let media_type = "application/vnd.docker.distribution.manifest.v2+json";
        let pushed = Pushed { digest: "sha256:44".to_owned(), media_type, names: names.iter().collect() };
        let all = decide(&Known {
            record: &record,
            tags: Some(&tags),
            parents: None,
            published: Some(pushed),
            media_types: None,
        });
        let keys = [
            "base-image-id",
            "base-image-name",
            "commit_id",
            "digests",
            "dockerfile",
            "image-id",
            "media-types",
            "parent_images",
            "plugins-metadata",
            "repositories",
        ];
        assert_eq!(all.keys().collect::<Vec<_>>(), keys);
        let repositories =
            json!({"primary": ["r.example/webd:1-2"], "unique": [], "floating": ["r.example/webd:latest"]});
        assert_eq!(json_of(&all, "repositories"), repositories, "the unique name was not published");
        let digest = |tag: &str| json!({"registry": "r.example", "repository": "webd", "tag": tag, "digest": "sha256:44", "version": "v2"});
        assert_eq!(json_of(&all, "digests"), json!([digest("1-2"), digest("latest")]));
        assert_eq!(json_of(&all, "media-types"), json!([media_type]));
        let parents = json!({
            "base": format!("r.example/base@sha256:{}", "2".repeat(64)),
            "go": format!("r.example/go@sha256:{}", "1".repeat(64)),
        });
        assert_eq!(json_of(&all, "parent_images"), parents);
        assert_eq!((all["base-image-name"].as_str(), all["image-id"].as_str()), ("base", "sha256:33"));
        assert_eq!(all["base-image-id"], format!("sha256:{}", "2".repeat(64)));
        let plugins = json!({
            "errors": {},
            "timestamps": {"check_base_image": "2026-01-02T03:05:06.007Z"},
            "durations": {"check_base_image": 1.5},
        });
        assert_eq!(json_of(&all, "plugins-metadata"), plugins);
    }

    #[test]
    fn a_build_that_ended_early_says_so_and_makes_nothing_up() {
        let result = Outcome { status: Status::Failed, exit_code: 3, error: Some("no such branch".to_owned()) };
        let record = Record { started: "2026-01-02T03:04:05Z".to_owned(), result, ..Record::default() };
        let all = of(&record);
        assert!(!all.contains_key("media-types") && !all.contains_key("help_file"));
        assert_eq!(json_of(&all, "repositories"), json!({"primary": [], "unique": [], "floating": []}));
        assert_eq!((all["dockerfile"].as_str(), all["base-image-name"].as_str()), ("", ""));
        assert_eq!(json_of(&all, "plugins-metadata")["errors"], json!({"build": "no such branch"}));
    }

    #[track_caller]
    fn check_errors(status: Status, error: &str, plugins: Vec<PluginRun>, expected: Value) {
        let result = Outcome { status, exit_code: 1, error: Some(error.to_owned()) };
        let record = Record { result, plugins, ..Record::default() };
        assert_eq!(json_of(&of(&record), "plugins-metadata")["errors"], expected);
    }

    #[test]
    fn the_reason_is_said_once_and_a_cancelled_build_says_that_it_was() {
        let failed = || vec![run("koji_parent", 0, Some("it differs"))];
        check_errors(Status::Failed, "plugin koji_parent: it differs", failed(), json!({"koji_parent": "it differs"}));
        let both = json!({"koji_parent": "it differs", "build": "RUN false ended with 1"});
        check_errors(Status::Failed, "RUN false ended with 1", failed(), both);
        check_errors(Status::Cancelled, "cancelled", Vec::new(), json!({"build": "cancelled"}));
        check_errors(Status::Cancelled, "RUN x", Vec::new(), json!({"build": "cancelled: RUN x"}));
        check_errors(
            Status::Failed,
            &"é".repeat(2000),
            Vec::new(),
            json!({"build": format!("{}…", "é".repeat(ERROR))}),
        );
    }

    #[test]
    fn an_image_from_scratch_has_no_base() {
        let mut record = record();
        record.stages.push(stage("last", "scratch"));
        let all = of(&record);
        assert_eq!((all["base-image-name"].as_str(), all["base-image-id"].as_str()), ("", ""));
    }

    #[test]
    fn help_is_named_where_somebody_looked_for_it() {
        let mut record = record();
        record.plugins.push(run("add_help", 0, None));
        assert_eq!(of(&record)["help_file"], "null");
        let (plugin, kind) = ("add_help".to_owned(), "file".to_owned());
        record.edits.push(EditRecord { plugin, kind, ..EditRecord::default() });
        assert_eq!(of(&record)["help_file"], "\"help.md\"");
    }

    #[test]
    fn times_of_the_record_are_counted_in_seconds() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        assert_eq!(seconds("2026-13-02T03:04:05Z"), None);
        assert_eq!(seconds("now"), None);
    }
}
