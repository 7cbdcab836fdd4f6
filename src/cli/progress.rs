//! What happens, on stderr, while it happens.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use build::Event;
use gateway::{Exchange, What};
use serde_json::json;

use crate::log::{self, Style};
use crate::output;
use crate::size;

/// Listens to a build and shows it.
#[derive(Debug)]
pub(crate) struct Progress {
    style: Style,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The unfinished line of each stage's output.
    open: BTreeMap<String, Vec<u8>>,
    /// When the running step of each stage began.
    began: BTreeMap<String, Instant>,
    pulls: BTreeMap<String, Instant>,
}

/// Characters of an instruction that are shown.
const LINE: usize = 160;

impl Progress {
    pub(crate) fn new(style: Style, start: Instant) -> Self {
        Self { style, start, state: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes one event.
    pub(crate) fn event(&self, event: Event<'_>) {
        let mut state = self.lock();
        state.remember(event);
        match self.style {
            Style::Json => self.json(event),
            Style::Quiet => {
                if let Event::Warning(text) = event {
                    output::warning(text);
                }
            }
            Style::Auto | Style::Plain | Style::Text | Style::Osbs => state.plain(event),
        }
        state.forget(event);
    }

    fn json(&self, event: Event<'_>) {
        let mut object = object(event);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("elapsed".to_owned(), json!(self.start.elapsed().as_secs_f64()));
        }
        log::event(object);
    }
}

fn object(event: Event<'_>) -> serde_json::Value {
    match event {
        Event::Resolved { name, image } => {
            json!({"event": "resolved", "name": name, "location": image.location.to_string()})
        }
        Event::PullStarted { layer } => json!({"event": "pull-started", "layer": layer.digest, "size": layer.size}),
        Event::PullDone { layer, entries } => json!({"event": "pull-done", "layer": layer, "entries": entries}),
        Event::StageStarted { stage, base, steps } => {
            json!({"event": "stage-started", "stage": stage, "base": base, "steps": steps})
        }
        Event::StepStarted { stage, number, steps, line } => {
            json!({"event": "step-started", "stage": stage, "step": number, "steps": steps, "line": line})
        }
        Event::Output { stage, stream, bytes } => {
            let stream = format!("{stream:?}").to_lowercase();
            json!({"event": "output", "stage": stage, "stream": stream, "text": String::from_utf8_lossy(bytes)})
        }
        Event::Copied { files } => json!({"event": "copied", "files": files.len()}),
        Event::Fetched { what, digest, bytes } => {
            json!({"event": "fetched", "url": what, "digest": digest, "size": bytes})
        }
        Event::Traffic { stage, exchanges } => {
            let fetched: u64 = exchanges.iter().map(|exchange| exchange.fetched).sum();
            json!({"event": "network", "stage": stage, "requests": exchanges.len(), "fetched": fetched})
        }
        Event::StepDone { stage, number } => json!({"event": "step-done", "stage": stage, "step": number}),
        Event::StageDone { stage } => json!({"event": "stage-done", "stage": stage}),
        Event::LayerStarted { stage } => json!({"event": "layer-started", "stage": stage}),
        Event::LayerDone { stage, layer, diff_id, uncompressed, entries } => json!({
            "event": "layer-done", "stage": stage, "layer": layer.digest, "size": layer.size,
            "diff_id": diff_id, "uncompressed": uncompressed, "entries": entries,
        }),
        Event::Publishing { location } => json!({"event": "publishing", "location": location.to_string()}),
        Event::PublishDone { location, digest } => {
            json!({"event": "published", "location": location.to_string(), "digest": digest})
        }
        Event::Warning(text) => json!({"event": "warning", "text": text}),
    }
}

impl State {
    fn remember(&mut self, event: Event<'_>) {
        let now = Instant::now();
        if let Event::StepStarted { stage, .. } = event {
            self.began.insert(stage.to_owned(), now);
        }
        if let Event::PullStarted { layer } = event {
            self.pulls.insert(layer.digest.to_string(), now);
        }
    }

    fn plain(&mut self, event: Event<'_>) {
        match event {
            Event::Resolved { name, image } => output::note(&format!("FROM {name} is {}", image.location)),
            Event::PullStarted { layer } => {
                output::note(&format!("pulling {} ({})", layer.digest, size::bytes(layer.size)));
            }
            Event::PullDone { layer, entries } => {
                let began = self.pulls.get(layer.as_str());
                let took = began.map_or(String::new(), |began| format!(" in {}", size::time(began.elapsed())));
                output::note(&format!("unpacked {layer}: {entries} entries{took}"));
            }
            Event::StepStarted { stage, number, steps, line } => {
                output::note(&format!("[{stage} {number}/{steps}] {}", shortened(line)));
            }
            Event::Output { stage, bytes, .. } => self.output(stage, bytes),
            Event::Traffic { stage, exchanges } => traffic(stage, exchanges),
            Event::StepDone { stage, number } => self.step_done(stage, number),
            Event::LayerDone { stage, layer, uncompressed, .. } => {
                let (blob, tar) = (size::bytes(layer.size), size::bytes(uncompressed));
                output::note(&format!("[{stage}] layer {}: {blob}, {tar} unpacked", layer.digest));
            }
            Event::Fetched { what, digest, .. } => output::note(&format!("fetched {what} ({digest})")),
            Event::Publishing { location } => output::note(&format!("writing {location}")),
            Event::Warning(text) => output::warning(text),
            Event::StageStarted { .. }
            | Event::Copied { .. }
            | Event::StageDone { .. }
            | Event::LayerStarted { .. }
            | Event::PublishDone { .. } => {}
        }
    }

    /// Whole lines are shown as they come, with the seconds since the step began, the last one when it ends.
    fn output(&mut self, stage: &str, bytes: &[u8]) {
        let seconds = self.began.get(stage).map_or(Duration::ZERO, Instant::elapsed).as_secs_f64();
        let open = self.open.entry(stage.to_owned()).or_default();
        for byte in bytes {
            if *byte == b'\n' {
                output::note(&format!("[{stage}] {seconds:.1} | {}", printable(open)));
                open.clear();
            } else if open.len() < 64 << 10 {
                open.push(*byte);
            }
        }
    }

    fn step_done(&mut self, stage: &str, number: usize) {
        let took = self.began.get(stage).map_or(Duration::ZERO, Instant::elapsed);
        if let Some(open) = self.open.remove(stage).filter(|open| !open.is_empty()) {
            output::note(&format!("[{stage}] {:.1} | {}", took.as_secs_f64(), printable(&open)));
        }
        if took >= Duration::from_millis(500) {
            output::note(&format!("[{stage} {number}] took {}", size::time(took)));
        }
    }

    fn forget(&mut self, event: Event<'_>) {
        if let Event::StepDone { stage, .. } = event {
            self.began.remove(stage);
        }
    }
}

/// What a step got through the gateway, in one line; what was refused, in one line each.
fn traffic(stage: &str, exchanges: &[Exchange]) {
    if exchanges.is_empty() {
        return;
    }
    let fetched: u64 = exchanges.iter().map(|exchange| exchange.fetched).sum();
    let bytes: u64 = exchanges.iter().map(|exchange| exchange.bytes).sum();
    let (bytes, fetched) = (size::bytes(bytes), size::bytes(fetched));
    output::note(&format!("[{stage}] gateway: {} requests, {bytes}, {fetched} of it fetched now", exchanges.len()));
    for exchange in exchanges {
        if let What::Refused { why } = &exchange.what {
            output::note(&format!("[{stage}] gateway refused {}: {why}", exchange.url));
        }
    }
}

/// Output of a step without what would move a terminal's cursor about.
fn printable(line: &[u8]) -> String {
    // Of a line that was drawn over itself the last state counts.
    let last = line.rsplit(|byte| *byte == b'\r').find(|part| !part.is_empty()).unwrap_or_default();
    String::from_utf8_lossy(last).chars().filter(|c| *c == '\t' || !c.is_control()).collect()
}

pub(crate) fn shortened(line: &str) -> String {
    let mut text: String = line.chars().filter(|c| !c.is_control()).take(LINE).collect();
    if line.chars().count() > LINE {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(printable(b"\x1b[2Jred\x07 \xff"), "[2Jred \u{fffd}");
        assert_eq!(printable(b"10%\r50%\r100%\r"), "100%");
    }
}
