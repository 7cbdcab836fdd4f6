//! What is injected into steps or added to the image.
//!
//! atomic-reactor does it with instructions, this program with mounts and with files written after the last
//! instruction. Both are brought to one form: what is seen in which stages, what the image has and lacks, whose user it
//! ends with, and the instructions that remain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plugins::decisions;
use plugins::decisions::injected::{self, BuildInfo, BuildTarget, Effects, Hub, HubError, Parent, Repositories};
use serde_json::{Map, Value, json};

use super::{Outcome, failed, text};

/// Where atomic-reactor puts repository files into the context.
const REPOSITORIES: &str = "atomic-reactor-repos/";
const DIRECTORY: &str = "/etc/yum.repos.d/";

/// What comes of a case of these areas, and what is wanted, in one form.
pub(super) fn outcome(area: &str, case: &Value, wanted: &Value) -> Option<(Outcome, Value)> {
    let input = &case["input"];
    let found = match area {
        "yum_repos" => repositories(input, &case["expected"]),
        "yum_repo_proxy" => proxy(input),
        "hide_files" => hidden(input),
        "embed_dockerfile" => embedded(input),
        _ => return None,
    };
    let wanted = normal(wanted, input, found.as_ref().ok());
    Some((found, wanted))
}

fn parent(input: &Value) -> Parent {
    let env = super::publish::texts(&input["base_env"]).into_iter().map(|(name, value)| format!("{name}={value}"));
    let labels = input["base_labels"].as_object().map(|_| super::map(&input["base_labels"])).unwrap_or_default();
    Parent { user: text(input, "base_user").unwrap_or_default().to_owned(), env: env.collect(), labels }
}

/// The hub of a case: every target is built with one tag, whose repository has one number. The input does not say
/// which; the answer that atomic-reactor got is in what it made of it.
#[derive(Debug)]
struct CaseHub {
    tag: String,
    repository: u64,
}

impl CaseHub {
    fn of(expected: &Value) -> Self {
        let contents = expected["context_repo_files"].as_object().into_iter().flat_map(Map::values);
        let place =
            contents.filter_map(Value::as_str).find_map(|text| text.split_once("/repos/")?.1.split_once("/$basearch"));
        let (tag, number) = place.and_then(|(place, _)| place.split_once('/')).unwrap_or(("f40-build", "77"));
        Self { tag: tag.to_owned(), repository: number.parse().unwrap_or_default() }
    }
}

impl Hub for CaseHub {
    fn build(&self, _: &str) -> Result<Option<BuildInfo>, HubError> {
        Ok(None)
    }
    fn build_target(&self, name: &str) -> Result<Option<BuildTarget>, HubError> {
        let (name, build_tag) = (name.to_owned(), self.tag.clone());
        Ok(Some(BuildTarget { name, build_tag, destination_tag: String::new() }))
    }
    fn architectures(&self, _: &str) -> Result<Vec<String>, HubError> {
        Ok(Vec::new())
    }
    fn repository(&self, _: &str) -> Result<Option<u64>, HubError> {
        Ok(Some(self.repository))
    }
    fn next_release(&self, _: &str, _: &str) -> Result<String, HubError> {
        Ok(String::new())
    }
}

fn repositories(input: &Value, expected: &Value) -> Outcome {
    let site = decisions::site(&super::site(&input["config"], &context(), &BTreeSet::new())).map_err(failed)?;
    let mut urls: Vec<(String, Vec<u8>)> = pairs(&input["repo_urls"]);
    let mut without = BTreeSet::new();
    for (url, content) in &mut urls {
        let (whole, is_changed) = with_base_urls(&String::from_utf8_lossy(content));
        *content = whole.into_bytes();
        without.extend(decisions::repository_file_name(url).ok().filter(|_| is_changed));
    }
    // The first generation's cases have files that other plugins made.
    let files = input["repo_files"].as_array().into_iter().flatten().filter_map(Value::as_str);
    urls.extend(files.map(|name| (format!("http://files.example/{name}"), b"[a]\nbaseurl=u\n".to_vec())));
    let hub: Arc<dyn Hub> = Arc::new(CaseHub::of(expected));
    let wanted = Repositories {
        site: &site,
        urls,
        proxy: text(input, "inject_proxy").or(text(&input["plugin_args"], "inject_proxy")).map(str::to_owned),
        koji: text(input, "koji_target").map(|target| (target.to_owned(), hub)),
        include_koji_repo: is_koji_included(input, expected),
        is_scratch: input["scratch"] == true || input["user_params"]["scratch"] == true,
    };
    let effects = injected::repositories(text(input, "dockerfile").unwrap(), &parent(input), &wanted);
    shown_without(&effects.map_err(failed)?, &without)
}

fn context() -> Value {
    json!({ "source_registry": "https://src.example", "registry": "https://out.example/v2" })
}

fn pairs(map: &Value) -> Vec<(String, Vec<u8>)> {
    let pairs = map.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap().as_bytes().to_vec())).collect()
}

fn proxy(input: &Value) -> Outcome {
    let site = decisions::site("version: 1\n").map_err(failed)?;
    let (content, is_changed) = with_base_urls(text(input, "content").unwrap());
    let wanted = Repositories {
        site: &site,
        urls: vec![("http://r.example/a.repo".to_owned(), content.into_bytes())],
        proxy: text(input, "proxy").map(str::to_owned),
        koji: None,
        include_koji_repo: false,
        is_scratch: false,
    };
    let effects = injected::repositories("FROM a\n", &Parent::default(), &wanted).map_err(failed)?;
    let made = effects.seen.values().next().cloned().unwrap_or_default();
    let drop = if is_changed { "baseurl" } else { "" };
    Ok(json!({ "content": sections(&made, drop) }))
}

/// Whether another plugin of atomic-reactor wants Koji's repository beside others; the answer, where the input does not
/// have it, is in what was made of it.
fn is_koji_included(input: &Value, expected: &Value) -> bool {
    let contents = expected["context_repo_files"].as_object().into_iter().flat_map(Map::values);
    let is_there = || contents.filter_map(Value::as_str).any(|text| text.contains("[atomic-reactor-koji-plugin-"));
    input["include_koji_repo"].as_bool().unwrap_or_else(is_there)
}

/// Sections of the cases need no base URL, those of repository files do: the same with one where there is none at all,
/// and whether that is another text.
fn with_base_urls(content: &str) -> (String, bool) {
    if ["baseurl", "mirrorlist", "metalink"].iter().any(|key| content.contains(key)) {
        return (content.to_owned(), false);
    }
    let is_header = |line: &&str| line.trim_start().starts_with('[');
    let lines =
        content.lines().map(|line| if is_header(&line) { format!("{line}\nbaseurl=u\n") } else { format!("{line}\n") });
    (lines.collect(), content.lines().any(|line| is_header(&line)))
}

fn hidden(input: &Value) -> Outcome {
    let given = [&input["hide_files"], &input["config"]["hide_files"]].into_iter().find(|one| one.is_object());
    let config = json!({ "hide_files": given });
    let site = decisions::site(&super::site(&config, &context(), &BTreeSet::new())).map_err(failed)?;
    shown(&injected::hidden(text(input, "dockerfile").unwrap(), &parent(input), &site).map_err(failed)?)
}

fn embedded(input: &Value) -> Outcome {
    let arguments = &input["plugin_args"];
    let arguments = (text(arguments, "nvr"), text(arguments, "destdir"), arguments["use_final_dockerfile"] == true);
    let dockerfile = text(input, "dockerfile").unwrap();
    let effects = injected::embedded(dockerfile, &parent(input), arguments).map_err(failed)?;
    let as_it_was = effects.added.values().flatten().all(|content| content == dockerfile.as_bytes());
    assert!(as_it_was, "another Dockerfile than the one at hand is put into the image");
    shown(&effects)
}

/// Our effects.
fn shown(effects: &Effects) -> Outcome {
    shown_without(effects, &BTreeSet::new())
}

/// Our effects, without the base URLs of these repository files.
fn shown_without(effects: &Effects, without: &BTreeSet<String>) -> Outcome {
    let added: Vec<Value> =
        effects.added.iter().map(|(path, content)| json!({ "path": path, "is_final": content.is_none() })).collect();
    let repositories = effects.seen.iter().filter_map(|(path, content)| Some((path.strip_prefix(DIRECTORY)?, content)));
    let files: BTreeMap<&str, Value> = repositories
        .map(|(name, content)| (name, sections(content, if without.contains(name) { "baseurl" } else { "" })))
        .collect();
    let hidden = if effects.stages.is_empty() { &[][..] } else { &effects.hidden };
    Ok(json!({
        "dockerfile": effects.dockerfile,
        "final_user": effects.final_user,
        "stages_with_repos": if effects.seen.is_empty() { &[][..] } else { &effects.stages },
        "context_repo_files": files,
        // No injected file is ever in a layer.
        "absent_from_final_image": effects.seen.keys().collect::<Vec<_>>(),
        "leaked_files": [],
        "hidden": hidden,
        "hidden_in": if hidden.is_empty() { &[][..] } else { &effects.stages },
        "added": added,
    }))
}

/// A repository file as dnf reads it: the keys of each section.
fn sections(content: &str, without: &str) -> Value {
    let sections = injected::sections(content).into_iter().map(|(id, mut entries)| {
        entries.remove(without);
        json!([id, entries])
    });
    sections.collect()
}

/// What is wanted, in the form of [`shown`]; of what atomic-reactor writes into the Dockerfile its effects.
fn normal(wanted: &Value, input: &Value, found: Option<&Value>) -> Value {
    let mut normal = Map::new();
    for (key, value) in wanted.as_object().into_iter().flatten() {
        match key.as_str() {
            "dockerfile" => normal.extend(effects_of(value.as_str().unwrap(), input)),
            "dockerfile_instructions" => {
                let lines: Vec<&str> = value.as_array().unwrap().iter().filter_map(Value::as_str).collect();
                normal.extend(effects_of(&lines.join("\n"), input));
            }
            "context_repo_files" => {
                let files = value.as_object().unwrap().iter();
                let files = files.map(|(name, content)| (name.clone(), sections(content.as_str().unwrap(), "")));
                normal.insert(key.clone(), Value::Object(files.collect()));
            }
            "content" => {
                normal.insert(key.clone(), sections(value.as_str().unwrap(), ""));
            }
            "effects" => {}
            // There is no context that is copied from.
            "context_files" | "dockerignore" => {}
            _ => {
                normal.insert(key.clone(), value.clone());
            }
        }
    }
    // What is stated counts more than what was concluded.
    normal.extend(wanted["effects"].as_object().cloned().unwrap_or_default());
    // More than is wanted may be absent: of what is injected nothing is ever there, whatever its name.
    let added = found.map_or(&Value::Null, |found| &found["added"]).as_array().into_iter().flatten();
    let added: BTreeSet<&str> = added.filter_map(|one| text(one, "path")).collect();
    if normal.get("absent_from_final_image").is_some_and(|wanted| super::set(wanted).is_disjoint(&added)) {
        let absent = found.map_or(Value::Null, |found| found["absent_from_final_image"].clone());
        normal.insert("absent_from_final_image".to_owned(), absent);
    }
    Value::Object(normal)
}

/// What the instructions of atomic-reactor in a Dockerfile come to, and the others.
fn effects_of(dockerfile: &str, input: &Value) -> Map<String, Value> {
    let bundle = text(&input["config"], "builder_ca_bundle").and_then(|path| path.rsplit('/').next());
    // Where its lines got into a heredoc, it made no Dockerfile.
    let lines = decisions::instructions(dockerfile)
        .unwrap_or_else(|_| dockerfile.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect());
    let (mut others, mut stages, mut hidden_in) = (Vec::<String>::new(), BTreeSet::new(), BTreeSet::new());
    let (mut hidden, mut added) = (Vec::new(), Vec::new());
    let mut stage = 0;
    let mut lines = lines.into_iter().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        stage += usize::from(words[0] == "FROM");
        let is_copy = matches!(words[0], "COPY" | "ADD");
        if is_copy && words[1].starts_with(REPOSITORIES) {
            stages.insert(stage - 1);
        } else if is_copy && bundle == Some(words[1]) {
            continue;
        } else if is_copy && words[1].starts_with("Dockerfile") && words[2].contains("/Dockerfile-") {
            added.push(json!({ "path": words[2], "is_final": words[1] == "Dockerfile" }));
        } else if words[0] == "RUN" && is_moving(&words[1..], bundle) {
            if words[1..3] == ["mv", "-f"] {
                hidden_in.insert(stage - 1);
                hidden.extend((!hidden.contains(&words[3].to_owned())).then(|| words[3].to_owned()));
            }
            // The user is root for it and the one from before again, unless a further such line follows.
            if others.last().is_some_and(|last| last == "USER root")
                && lines.peek().is_some_and(|next| next.starts_with("USER "))
            {
                others.pop();
                lines.next();
            }
        } else {
            others.push(line);
        }
    }
    let values = json!({
        "dockerfile": format!("{}\n", others.join("\n")),
        "stages_with_repos": stages,
        "hidden": hidden,
        "hidden_in": hidden_in,
        "added": added,
    });
    values.as_object().unwrap().clone()
}

/// Whether a command of RUN removes or moves what was injected or is to be hidden.
fn is_moving(words: &[&str], bundle: Option<&str>) -> bool {
    let is_removed =
        |word: &&str| word.trim_matches('\'').starts_with(DIRECTORY) || bundle.is_some_and(|name| word.ends_with(name));
    match words {
        ["rm", "-f", files @ ..] => files.iter().any(is_removed),
        ["mv", "-f" | "-fZ", _, _, "||", ":"] => true,
        _ => false,
    }
}
