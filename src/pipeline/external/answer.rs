//! What a program gets when it asks for something. What cannot be had is an answer too, not an end.

use std::path::{Component, Path};

use serde_json::{Value, json};

use super::error::ExternalError;
use super::message::{Message, Wanted};
use super::{packages, text};
use crate::{PluginError, PostBuildView, PreBuildView};

/// An answer, or that the phase has none.
pub(super) type Reply = Result<Value, ExternalError>;

/// In phases where there is nothing to ask for.
pub(super) fn nothing(_: &Wanted) -> Option<Result<Value, PluginError>> {
    None
}

/// In phase pre-build: files of the context, and labels as far as they are known.
pub(super) fn pre_build(view: &PreBuildView<'_>, wanted: &Wanted) -> Option<Result<Value, PluginError>> {
    match wanted {
        Wanted::ContextFile(path) => Some(context_file(view, path)),
        Wanted::Labels => Some(view.preview().map(|config| json!(config.config.labels))),
        Wanted::Packages => None,
    }
}

fn context_file(view: &PreBuildView<'_>, path: &str) -> Result<Value, PluginError> {
    let is_below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !is_below || path.contains('\0') {
        let text = format!("{:?} is no path in the context: relative, without `..`", text::line(path, 300));
        return Err(PluginError::new(crate::Class::Source, text));
    }
    Ok(view.context_file(path)?.map_or(Value::Null, Value::String))
}

/// In phase post-build: the image's labels and packages.
pub(super) fn post_build(view: &PostBuildView<'_>, wanted: &Wanted) -> Option<Result<Value, PluginError>> {
    match wanted {
        Wanted::ContextFile(_) => None,
        Wanted::Labels => Some(Ok(json!(view.image.config.config.labels))),
        Wanted::Packages => Some(match view.facts.packages() {
            Some(report) => Ok(packages::listed(report)),
            None => (view.examine)().map(|report| packages::listed(&report)),
        }),
    }
}

/// The line that goes to the program.
pub(super) fn line(wanted: Wanted, reply: Option<Result<Value, PluginError>>) -> Reply {
    let name = wanted.name();
    match reply {
        Some(Ok(value)) => Ok(json!({ "get": name, "value": value })),
        Some(Err(error)) => Ok(json!({ "get": name, "error": error.text })),
        None => Err(ExternalError::WrongPhase { message: Message::Get(wanted).name() }),
    }
}
