//! Plugins that lists of atomic-reactor name and this program does without.
//!
//! Comes in: the table that [`crate::Registry`] has, the plugins a site lists. Goes out: what is to be said of those that
//! are in the table. A list that ran before runs on; what it does no longer is said, and never refused.

use crate::site::PluginRequest;

/// A plugin that exists elsewhere and not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Its key.
    pub key: &'static str,
    /// What its absence means.
    pub without: Without,
}

/// What the absence of a plugin means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Nothing is missing: what takes its place, or why nothing has to.
    Loss(&'static str),
    /// What a build that lists it may count on does not happen: what that is.
    Effect(&'static str),
}

/// What is to be said about the plugins of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// What somebody should know.
    pub(crate) notes: Vec<String>,
    /// What somebody should change.
    pub(crate) warnings: Vec<String>,
}

impl Said {
    /// Says what `request` names, if that is one of `known`; whether it is.
    pub(crate) fn about(&mut self, request: &PluginRequest, known: &[Absent]) -> bool {
        let Some(absent) = known.iter().find(|absent| absent.key == request.name) else { return false };
        let name = &request.name;
        match absent.without {
            Without::Loss(text) => self.notes.push(format!("plugin {name} is not needed: {text}")),
            Without::Effect(text) if request.required => {
                self.warnings.push(format!("plugin {name} is required and does not act: {text}"));
            }
            Without::Effect(text) => self.notes.push(format!("plugin {name} does not act: {text}")),
        }
        true
    }

    /// Notes the arguments of a plugin that takes none but `takes`.
    pub(crate) fn arguments(&mut self, request: &PluginRequest, takes: &[&str]) {
        let others = request.args.keys().map(String::as_str).filter(|name| !takes.contains(name));
        let others = others.collect::<Vec<_>>().join(", ");
        if others.is_empty() {
            return;
        }
        let known = if takes.is_empty() { "none".to_owned() } else { takes.join(", ") };
        self.notes.push(format!("plugin {} does without the arguments {others}; it takes {known}", request.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Absent; 2] = [
        Absent { key: "old", without: Without::Loss("the build does it") },
        Absent { key: "later", without: Without::Effect("no mail is sent") },
    ];

    fn request(name: &str, required: bool) -> PluginRequest {
        let args = serde_json::from_str(r#"{"path": "/x", "secret": "s"}"#).unwrap();
        PluginRequest { name: name.to_owned(), args, required, is_allowed_to_fail: None, timeout: None, line: 1 }
    }

    #[test]
    fn only_what_a_build_counts_on_is_warned_of() {
        let mut said = Said::default();
        for (name, required, is_known) in [("old", true, true), ("later", false, true), ("nobody", true, false)] {
            assert_eq!(said.about(&request(name, required), &KNOWN), is_known, "{name}");
        }
        let notes = ["plugin old is not needed: the build does it", "plugin later does not act: no mail is sent"];
        assert_eq!(said, Said { notes: notes.map(str::to_owned).to_vec(), warnings: vec![] });
        said.about(&request("later", true), &KNOWN);
        assert_eq!(said.warnings, ["plugin later is required and does not act: no mail is sent"]);
    }

    #[test]
    fn an_argument_nobody_reads_is_named_but_not_its_value() {
        let mut said = Said::default();
        said.arguments(&request("old", true), &["path", "format"]);
        said.arguments(&request("other", true), &["path", "secret"]);
        assert_eq!(said.notes, ["plugin old does without the arguments secret; it takes path, format"]);
    }
}
