//! The lists of plugins of a build request, with their arguments.
//!
//! Comes in: the lists as JSON. Goes out: [`Plugins`] as a site's configuration has them, where the site's
//! configuration is (`reactor_config`), and what is said of arguments. Nothing is dropped in silence.

use std::path::{Path, PathBuf};

use pipeline::site::{Plugins, Site};
use serde_json::{Map, Value, json};

use super::build_json::Source;
use crate::failure::{Failure, Status};

/// The plugin whose work is done before there are plugins.
const REACTOR_CONFIG: &str = "reactor_config";
/// Texts that atomic-reactor replaces in arguments, by what it knows while it builds.
const MAGIC: [&str; 4] = ["BUILT_IMAGE_ID", "BUILD_DOCKERFILE_PATH", "BUILD_SOURCE_PATH", "BASE_IMAGE"];

/// The lists of one build request.
#[derive(Debug)]
pub(super) struct Lists {
    /// What they are called in messages.
    name: String,
    lists: Map<String, Value>,
}

impl Lists {
    pub(super) fn new(name: &str, mut lists: Map<String, Value>) -> Self {
        // Both spellings of no arguments.
        for request in lists.values_mut().filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
            if request.get("args").is_some_and(Value::is_null) {
                request.remove("args");
            }
        }
        Self { name: name.to_owned(), lists }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The first arguments of the plugin called `key` that it has anywhere.
    pub(super) fn args(&self, key: &str) -> Option<&Map<String, Value>> {
        self.requests()
            .find(|request| request.get("name").and_then(Value::as_str) == Some(key))?
            .get("args")?
            .as_object()
    }

    /// Lets the parents be looked at before a plugin that names them exactly. The first atomic-reactors pulled the base
    /// image before any plugin ran, and their lists say nothing of it.
    pub(super) fn complete_parents(&mut self) -> Option<String> {
        const NEEDS: &str = "change_from_in_dockerfile";
        const LOOK: [&str; 2] = ["check_base_image", "pull_base_image"];
        let list = self.lists.get_mut("prebuild_plugins")?.as_array_mut()?;
        let name = |request: &Value| request.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let needs = list.iter().position(|request| name(request) == NEEDS)?;
        let looks = list.iter().position(|request| LOOK.contains(&name(request).as_str()));
        let request = match looks {
            Some(looks) if looks < needs => return None,
            Some(looks) => list.remove(looks),
            None => json!({ "name": LOOK[0] }),
        };
        let note = format!("{}: {} runs before {NEEDS}, which needs it", self.name, name(&request));
        list.insert(needs, request);
        Some(note)
    }

    /// Takes an argument of a plugin out, wherever the plugin is listed.
    pub(super) fn take_argument(&mut self, plugin: &str, argument: &str) {
        let all = self.lists.values_mut().filter_map(Value::as_array_mut).flatten();
        for request in all.filter(|request| request.get("name").and_then(Value::as_str) == Some(plugin)) {
            if let Some(args) = request.get_mut("args").and_then(Value::as_object_mut) {
                args.remove(argument);
            }
        }
    }

    fn requests(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.lists.values().filter_map(Value::as_array).flatten().filter_map(Value::as_object)
    }

    /// Takes `reactor_config` out; the file it names.
    pub(super) fn take_config(&mut self) -> Option<PathBuf> {
        let args = self.args(REACTOR_CONFIG).cloned().unwrap_or_default();
        for list in self.lists.values_mut().filter_map(Value::as_array_mut) {
            list.retain(|request| request.get("name").and_then(Value::as_str) != Some(REACTOR_CONFIG));
        }
        let text = |key: &str| args.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let basename = text("basename").unwrap_or(super::configuration::FILE);
        text("config_path").map(|folder| Path::new(folder).join(basename))
    }

    /// Replaces what atomic-reactor would: paths of a directory are known, the rest is left out and said.
    pub(super) fn replace_magic(&mut self, source: &Source) -> Vec<String> {
        let folder = match source {
            Source::Folder(path) => Some(path.clone()),
            Source::Git(_) | Source::Stdin | Source::Build => None,
        };
        let known = |word: &str| match word {
            "BUILD_SOURCE_PATH" => folder.as_ref().map(|folder| folder.display().to_string()),
            "BUILD_DOCKERFILE_PATH" => folder.as_ref().map(|folder| folder.join("Dockerfile").display().to_string()),
            _ => None,
        };
        let mut notes = Vec::new();
        for request in self.lists.values_mut().filter_map(Value::as_array_mut).flatten() {
            let plugin = request.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let Some(args) = request.get_mut("args").and_then(Value::as_object_mut) else { continue };
            args.retain(|key, value| {
                let Some(word) = value.as_str().filter(|word| MAGIC.contains(word)) else { return true };
                match known(word) {
                    Some(path) => *value = path.into(),
                    None => {
                        let place = format!("{}: plugin {plugin}, argument {key}", self.name);
                        notes.push(format!("{place}: {word} is not known before the build; left out"));
                        return false;
                    }
                }
                true
            });
        }
        notes
    }

    /// As JSON.
    pub(super) fn text(&self) -> String {
        Value::Object(self.lists.clone()).to_string()
    }

    /// As a configuration has them, with what is said of their keys.
    pub(super) fn parse(&self) -> Result<(Plugins, Vec<String>), Failure> {
        let text = self.text();
        match Site::parse(Path::new(&self.name), text.as_bytes()) {
            Ok((site, notes)) => {
                let notes = notes.into_iter().map(|note| format!("{}: {}: {}", self.name, note.key, note.text));
                Ok((site.plugins, notes.collect()))
            }
            Err(error) => {
                let failure = Failure::new(Status::Usage, format!("{}: {}", self.name, error.message));
                Err(Failure { help: error.help, ..failure })
            }
        }
    }
}

/// `site`'s lists, but for phases that `request` has a list for.
pub(super) fn merge(site: Plugins, request: Plugins) -> Plugins {
    Plugins {
        source: request.source.or(site.source),
        prebuild: request.prebuild.or(site.prebuild),
        build: request.build.or(site.build),
        prepublish: request.prepublish.or(site.prepublish),
        postbuild: request.postbuild.or(site.postbuild),
        publish: request.publish.or(site.publish),
        exit: request.exit.or(site.exit),
        // Which programs run is for the site alone to say.
        directory: site.directory,
        timeout: site.timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(json: Value) -> Lists {
        Lists::new("build.json", json.as_object().unwrap().clone())
    }

    #[test]
    fn the_configuration_is_where_reactor_config_says() {
        let mut all = lists(json!({"prebuild_plugins": [
            {"name": "reactor_config", "args": {"config_path": "/etc/reactor"}}, {"name": "koji"},
        ]}));
        assert_eq!(all.take_config(), Some("/etc/reactor/config.yaml".into()));
        let names: Vec<_> = all.parse().unwrap().0.prebuild.unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["koji"]);
        let mut none = lists(json!({"prebuild_plugins": [{"name": "reactor_config"}]}));
        assert_eq!((none.take_config(), none.parse().unwrap().0.prebuild.unwrap().len()), (None, 0));
        let args = json!({"config_path": "/a", "basename": "b.yaml"});
        let mut named = lists(json!({"prebuild_plugins": [{"name": "reactor_config", "args": args}]}));
        assert_eq!(named.take_config(), Some("/a/b.yaml".into()));
    }

    #[test]
    fn arguments_requirements_and_notes_are_kept() {
        let all = lists(json!({"exit_plugins": [
            {"name": "a", "args": {"k": [1, "ü\"\\"]}, "required": false, "is_allowed_to_fail": true, "odd": 1},
            {"name": "b", "args": null},
        ]}));
        let (plugins, notes) = all.parse().unwrap();
        let [a, b] = plugins.exit.as_deref().unwrap() else { panic!("two plugins") };
        assert_eq!(json!(a.args), json!({"k": [1, "ü\"\\"]}));
        assert_eq!((a.required, a.is_allowed_to_fail, b.args.len()), (false, Some(true), 0));
        assert_eq!(notes, ["build.json: exit_plugins[0].odd: unknown key"]);
        assert_eq!(plugins.prebuild, None);
    }

    #[test]
    fn parents_are_looked_at_before_they_are_named() {
        let of = |names: &[&str]| {
            let list: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            let mut all = lists(json!({ "prebuild_plugins": list }));
            let note = all.complete_parents();
            let names = all.parse().unwrap().0.prebuild.unwrap().into_iter().map(|one| one.name);
            (names.collect::<Vec<_>>().join(" "), note)
        };
        let said =
            |plugin: &str| Some(format!("build.json: {plugin} runs before change_from_in_dockerfile, which needs it"));
        let added = "koji check_base_image change_from_in_dockerfile";
        assert_eq!(of(&["koji", "change_from_in_dockerfile"]), (added.to_owned(), said("check_base_image")));
        let moved = "pull_base_image change_from_in_dockerfile koji";
        let late = ["change_from_in_dockerfile", "koji", "pull_base_image"];
        assert_eq!(of(&late), (moved.to_owned(), said("pull_base_image")));
        assert_eq!(of(&["pull_base_image", "change_from_in_dockerfile", "koji"]), (moved.to_owned(), None));
        assert_eq!(of(&["koji"]), ("koji".to_owned(), None));
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        let failure = lists(json!({"exit_plugins": [{"args": {}}]})).parse().unwrap_err();
        assert_eq!(failure.text, "build.json: exit_plugins[0]: name is missing");
        let failure = lists(json!({"exit_plugins": {}})).parse().unwrap_err();
        assert_eq!(failure.text, "build.json: exit_plugins: expected a list, found a map");
    }

    #[test]
    fn magic_words_are_replaced_where_their_value_is_known() {
        let request = json!({"prebuild_plugins": [
            {"name": "a", "args": {"path": "BUILD_SOURCE_PATH", "file": "BUILD_DOCKERFILE_PATH", "image": "BUILT_IMAGE_ID"}},
        ]});
        let mut known = lists(request.clone());
        let notes = known.replace_magic(&Source::Folder("/src".into()));
        let expected = json!({"path": "/src", "file": "/src/Dockerfile"});
        assert_eq!(json!(known.args("a").unwrap()), expected);
        let what = "build.json: plugin a, argument image: BUILT_IMAGE_ID is not known before the build; left out";
        assert_eq!(notes, [what]);
        let mut unknown = lists(request);
        assert_eq!(unknown.replace_magic(&Source::Stdin).len(), 3);
        assert!(unknown.args("a").unwrap().is_empty());
    }
}
