//! What the hub's answers say, taken out of them. Pure: values come in, ours go out.

use http::Secret;
use serde_json::Value;

use crate::{Archive, BuildInfo, BuildState, BuildTarget, HubError, MavenArchive, Reservation, TaskInfo, TaskState};

/// Characters of a value that are shown.
const SHOWN: usize = 80;

/// The complaint about a value that should be something else.
pub(super) fn odd(call: &'static str, expected: &str, found: &Value) -> HubError {
    let found: String = found.to_string().chars().take(SHOWN).collect();
    HubError::Remote { call, text: format!("the answer is not {expected} but {found}") }
}

/// A build; null for none.
pub(super) fn build(call: &'static str, answer: &Value) -> Result<Option<BuildInfo>, HubError> {
    if answer.is_null() {
        return Ok(None);
    }
    let wrong = || odd(call, "a build", answer);
    let id = answer["id"].as_u64().or_else(|| answer["build_id"].as_u64()).ok_or_else(wrong)?;
    let nvr = answer["nvr"].as_str().ok_or_else(wrong)?.to_owned();
    let state = match answer["state"].as_u64() {
        Some(0) => BuildState::Building,
        Some(1) => BuildState::Complete,
        Some(2) => BuildState::Deleted,
        Some(3) => BuildState::Failed,
        Some(4) => BuildState::Canceled,
        Some(_) | None => return Err(wrong()),
    };
    Ok(Some(BuildInfo { id, nvr, state, extra: json(&answer["extra"]) }))
}

/// JSON text of what is there.
fn json(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| value.to_string())
}

/// A target; null for none.
pub(super) fn build_target(call: &'static str, answer: &Value) -> Result<Option<BuildTarget>, HubError> {
    if answer.is_null() {
        return Ok(None);
    }
    let text = |key: &str| answer[key].as_str().map(str::to_owned).ok_or_else(|| odd(call, "a target", answer));
    let (name, build_tag) = (text("name")?, text("build_tag_name")?);
    Ok(Some(BuildTarget { name, build_tag, destination_tag: text("dest_tag_name")? }))
}

/// The archives of a build.
pub(super) fn archives(call: &'static str, answer: &Value) -> Result<Vec<Archive>, HubError> {
    let archive = |one: &Value| {
        let id = one["id"].as_u64().ok_or_else(|| odd(call, "an archive", one))?;
        let kind = one["btype"].as_str().unwrap_or_default().to_owned();
        Ok(Archive { id, kind, extra: json(&one["extra"]) })
    };
    answer.as_array().ok_or_else(|| odd(call, "a list of archives", answer))?.iter().map(archive).collect()
}

/// The files of a build that Maven knows.
pub(super) fn maven_archives(call: &'static str, answer: &Value) -> Result<Vec<MavenArchive>, HubError> {
    let archive = |one: &Value| {
        let number = |key: &str| one[key].as_u64().ok_or_else(|| odd(call, "an archive", one));
        let text = |key: &str| one[key].as_str().map(str::to_owned).ok_or_else(|| odd(call, "an archive", one));
        Ok(MavenArchive {
            id: number("id")?,
            filename: text("filename")?,
            size: number("size")?,
            checksum: text("checksum")?,
            checksum_type: number("checksum_type")?,
            group_id: text("group_id")?,
            artifact_id: text("artifact_id")?,
            version: text("version")?,
        })
    };
    answer.as_array().ok_or_else(|| odd(call, "a list of archives", answer))?.iter().map(archive).collect()
}

/// A reservation. The answer holds a secret, so it is shown in no complaint.
pub(super) fn reservation(call: &'static str, answer: &Value) -> Result<Reservation, HubError> {
    match (answer["build_id"].as_u64(), answer["token"].as_str()) {
        (Some(build_id), Some(token)) => Ok(Reservation { build_id, token: Secret::new(token) }),
        _ => Err(HubError::Remote { call, text: "the answer has no build_id and token".to_owned() }),
    }
}

/// A task; null for none.
pub(super) fn task(call: &'static str, answer: &Value) -> Result<Option<TaskInfo>, HubError> {
    if answer.is_null() {
        return Ok(None);
    }
    let wrong = || odd(call, "a task", answer);
    let state = match answer["state"].as_u64() {
        Some(0) => TaskState::Free,
        Some(1) => TaskState::Open,
        Some(2) => TaskState::Closed,
        Some(3) => TaskState::Canceled,
        Some(4) => TaskState::Assigned,
        Some(5) => TaskState::Failed,
        Some(_) | None => return Err(wrong()),
    };
    let id = answer["id"].as_u64().ok_or_else(wrong)?;
    Ok(Some(TaskInfo { id, method: answer["method"].as_str().unwrap_or_default().to_owned(), state }))
}
