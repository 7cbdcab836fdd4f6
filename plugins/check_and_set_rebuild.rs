//! `check_and_set_rebuild`: whether a new parent triggered the build.
//!
//! Reads what the build system demands (`is_autorebuild`) and the label of that name on the Build object, or the one
//! that the arguments name. Returns that as a fact. Never fails, and sets no label: what sets it is the BuildConfig's
//! owner.

use pipeline::{Fact, Found, Made, Plugin, PluginError, Setup, Source, SourceView, Task};

/// The label that says so.
const LABEL: &str = "is_autorebuild";
/// Its value.
const VALUE: &str = "true";

#[derive(Debug)]
struct CheckAndSetRebuild {
    is_autorebuild: bool,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Source> {
    let key = setup.text("label_key")?;
    let value = setup.text("label_value")?;
    let is_autorebuild = decide(&setup.wanted.task, key.as_deref().unwrap_or(LABEL), value.as_deref().unwrap_or(VALUE));
    if setup.args.is_none() && !is_autorebuild {
        return Ok(None);
    }
    Ok(Some(Box::new(CheckAndSetRebuild { is_autorebuild })))
}

impl Plugin<Source> for CheckAndSetRebuild {
    fn run(&self, _: &SourceView<'_>) -> Result<Found, PluginError> {
        Ok(Fact::Autorebuild(self.is_autorebuild).into())
    }
}

/// Whether what is demanded, or the label `key` of the Build object, says so.
pub(crate) fn decide(task: &Task, key: &str, value: &str) -> bool {
    let label = task.build.as_ref().and_then(|build| build.labels.get(key));
    task.is_autorebuild || label.is_some_and(|found| found == value)
}

/// The same where nobody names another label.
pub(crate) fn is_autorebuild(task: &Task) -> bool {
    decide(task, LABEL, VALUE)
}

#[cfg(test)]
mod tests {
    use pipeline::BuildObject;

    use super::*;

    #[test]
    fn the_task_or_the_label_says_so() {
        let labelled = |key: &str, value: &str| Task {
            build: Some(BuildObject { labels: [(key.to_owned(), value.to_owned())].into(), ..BuildObject::default() }),
            ..Task::default()
        };
        assert!(is_autorebuild(&Task { is_autorebuild: true, ..Task::default() }));
        assert!(is_autorebuild(&labelled("is_autorebuild", "true")));
        assert!(!is_autorebuild(&labelled("is_autorebuild", "false")));
        assert!(decide(&labelled("client", "trigger"), "client", "trigger"));
        assert!(!is_autorebuild(&Task::default()));
    }
}
