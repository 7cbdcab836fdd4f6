//! The lines of a log: when, how grave, in which phase, by which plugin, for which platform, what.
//!
//! Comes in: texts, objects and what the crates below tell by `tracing`. Goes out: lines in the style that was chosen.
//! What is the same for all lines of a while (style, phase, platform) is set once; a process writes one log.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::output;

/// How a build tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// One line per event, short
    #[value(alias = "tty")]
    Auto,
    /// One line per event, short
    Plain,
    /// One line per event: time, level, platform, phase and plugin, what
    Text,
    /// One line per event as atomic-reactor writes it
    Osbs,
    /// One JSON object per event
    Json,
    /// Nothing but warnings and errors
    Quiet,
}

impl Style {
    /// Whether only what is amiss is said.
    pub(crate) fn is_silent(self) -> bool {
        self == Self::Quiet
    }
}

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

impl Level {
    fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Info,
            _ => Self::Debug,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// What is the same for all lines of a while.
#[derive(Clone, Debug)]
struct Common {
    style: Style,
    /// The gravest level that is left out is the one below.
    least: Level,
    phase: String,
    platform: String,
}

static COMMON: Mutex<Common> =
    Mutex::new(Common { style: Style::Auto, least: Level::Info, phase: String::new(), platform: String::new() });

fn common() -> MutexGuard<'static, Common> {
    COMMON.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line.
struct Line<'l> {
    level: Level,
    phase: &'l str,
    plugin: Option<&'l str>,
    platform: &'l str,
    text: &'l str,
    /// What JSON has besides.
    fields: Map<String, Value>,
}

/// Starts the log: `is_verbose` adds what the crates below think.
pub(crate) fn start(style: Style, is_verbose: bool) {
    {
        let mut common = common();
        common.style = style;
        common.least = if is_verbose { Level::Debug } else { Level::Info };
    }
    tracing_subscriber::registry().with(Told).init();
}

/// From here on it is about `platform`, as Koji calls it: `x86_64`.
pub(crate) fn platform(platform: &str) {
    platform.clone_into(&mut common().platform);
}

/// From here on this phase goes on.
pub(crate) fn phase(phase: &str) {
    phase.clone_into(&mut common().phase);
}

/// The phase that goes on.
pub(crate) fn current_phase() -> String {
    common().phase.clone()
}

/// A line.
pub(crate) fn say(level: Level, text: &str) {
    write(level, None, text, Map::new());
}

/// A line about what a plugin did.
pub(crate) fn say_of(plugin: &str, text: &str) {
    write(Level::Info, Some(plugin), text, Map::new());
}

/// An event: an object where the style is JSON, and nothing elsewhere, where its listener says it in words.
pub(crate) fn event(fields: Value) {
    if let Value::Object(fields) = fields
        && common().style == Style::Json
    {
        write(Level::Info, None, "", fields);
    }
}

fn write(level: Level, plugin: Option<&str>, text: &str, fields: Map<String, Value>) {
    let common = common().clone();
    let is_wanted = if common.style == Style::Quiet { level <= Level::Warning } else { level <= common.least };
    // An empty line parts a summary from what is above it, for people.
    let is_empty = text.is_empty() && fields.is_empty();
    let is_short = matches!(common.style, Style::Auto | Style::Plain | Style::Quiet);
    if !is_wanted || (is_empty && !is_short) {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = Line { level, phase: &common.phase, plugin, platform: &common.platform, text, fields };
    output::lines(&render(common.style, now, line));
}

/// A line, or as many as its text has, without the last line's end. `now` is since 1970.
fn render(style: Style, now: Duration, line: Line<'_>) -> String {
    // JSON has a spelling of its own, and a program may want the text as it was.
    let shown = if style == Style::Json { String::new() } else { output::visible(line.text) };
    let line = if style == Style::Json { line } else { Line { text: &shown, ..line } };
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let each = |prefix: &str| {
        let lines: Vec<String> = line.text.split('\n').map(|line| format!("{prefix}{line}")).collect();
        lines.join("\n")
    };
    match style {
        Style::Auto | Style::Plain | Style::Quiet => {
            let whose = line.plugin.map_or_else(String::new, |plugin| format!("{plugin}: "));
            match line.level {
                Level::Info => format!("{whose}{}", line.text),
                Level::Error | Level::Warning | Level::Debug => {
                    format!("{}: {whose}{}", line.level.name(), line.text)
                }
            }
        }
        Style::Text => {
            let whose = line.plugin.map_or_else(String::new, |plugin| format!("/{plugin}"));
            let (level, platform, phase) = (line.level.name(), or_dash(line.platform), or_dash(line.phase));
            each(&format!("{} {level:7} {platform} {phase}{whose}: ", timestamp(now, b'T', '.', "Z")))
        }
        Style::Osbs => {
            let name = ["stratum", line.phase].into_iter().chain(line.plugin).filter(|part| !part.is_empty());
            let name = name.collect::<Vec<_>>().join(".");
            let (level, platform) = (line.level.name().to_uppercase(), or_dash(line.platform));
            each(&format!("{} platform:{platform} - {name} - {level} - ", timestamp(now, b' ', ',', "")))
        }
        Style::Json => json_of(now, line),
    }
}

fn json_of(now: Duration, line: Line<'_>) -> String {
    let mut object = line.fields;
    object.entry("event").or_insert_with(|| json!("log"));
    object.insert("time".to_owned(), json!(timestamp(now, b'T', '.', "Z")));
    object.insert("level".to_owned(), json!(line.level.name()));
    for (key, value) in [("phase", line.phase), ("platform", line.platform), ("text", line.text)] {
        if !value.is_empty() {
            object.entry(key).or_insert_with(|| json!(value));
        }
    }
    if let Some(plugin) = line.plugin {
        object.insert("plugin".to_owned(), json!(plugin));
    }
    let mut shown = String::new();
    for c in Value::Object(object).to_string().chars() {
        // All of them are in the first plane, and JSON has them in texts alone.
        if output::is_harmful(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A time in UTC with milliseconds.
fn timestamp(now: Duration, between: u8, point: char, end: &str) -> String {
    let whole = ::build::timestamp(now.as_secs());
    let between = char::from(between);
    let whole = whole.trim_end_matches('Z').replace('T', &between.to_string());
    format!("{whole}{point}{:03}{end}", now.subsec_millis())
}

/// What the crates below tell.
struct Told;

/// The plugin and the phase a span is about.
#[derive(Clone, Debug, Default)]
struct Work {
    plugin: Option<String>,
}

impl<S: tracing::Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Told {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        // Libraries are not heard: what they say is for those who write them.
        let is_ours = metadata.target().split("::").next().is_some_and(|krate| krate.starts_with("stratum"));
        let common = common();
        let least = match common.style {
            Style::Auto | Style::Plain | Style::Quiet if common.least == Level::Info => Level::Warning,
            Style::Auto | Style::Plain | Style::Quiet | Style::Text | Style::Osbs | Style::Json => common.least,
        };
        is_ours && (metadata.is_span() || Level::of(*metadata.level()) <= least)
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            let plugin = (attributes.metadata().name() == "plugin").then(|| fields.take("key")).flatten();
            span.extensions_mut().insert(Work { plugin });
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut text = fields.take("message").unwrap_or_default();
        for (name, value) in &fields.0 {
            text = format!("{text} {name}={value}");
        }
        let spans = context.event_scope(event).into_iter().flatten();
        let plugin = spans.filter_map(|span| span.extensions().get::<Work>().and_then(|work| work.plugin.clone()));
        let plugin = plugin.last();
        write(Level::of(*event.metadata().level()), plugin.as_deref(), text.trim_start(), Map::new());
    }
}

/// The fields of an event as texts, in their order.
#[derive(Debug, Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<String> {
        let position = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(position).1)
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_735_689_599_041);

    #[track_caller]
    fn check(style: Style, plugin: Option<&str>, text: &str, expected: &str) {
        let line =
            Line { level: Level::Warning, phase: "pre-build", plugin, platform: "x86_64", text, fields: Map::new() };
        assert_eq!(render(style, NOW, line), expected);
    }

    #[test]
    fn a_line_says_when_how_grave_where_and_by_whom() {
        check(Style::Plain, Some("koji_parent"), "late", "warning: koji_parent: late");
        let text = "2024-12-31T23:59:59.041Z warning x86_64 pre-build/koji_parent: late";
        check(Style::Text, Some("koji_parent"), "late", text);
        let osbs = "2024-12-31 23:59:59,041 platform:x86_64 - stratum.pre-build.koji_parent - WARNING - late";
        check(Style::Osbs, Some("koji_parent"), "late", osbs);
        let json = "{\"event\":\"log\",\"level\":\"warning\",\"phase\":\"pre-build\",\"platform\":\"x86_64\",\
                    \"plugin\":\"koji_parent\",\"text\":\"late\",\"time\":\"2024-12-31T23:59:59.041Z\"}";
        check(Style::Json, Some("koji_parent"), "late", json);
    }

    #[test]
    fn each_line_of_a_text_has_its_own_beginning() {
        let start = "2024-12-31T23:59:59.041Z warning x86_64 pre-build: ";
        check(Style::Text, None, "one\ntwo", &format!("{start}one\n{start}two"));
    }

    #[test]
    fn what_a_repository_or_a_server_says_moves_no_cursor_and_forges_no_line() {
        let said = "key\r\u{1b}[2Jx\u{0}\u{9b}\u{202e}\u{2028}\ty";
        let shown = r"key\u{d}\u{1b}[2Jx\u{0}\u{9b}\u{202e}\u{2028}";
        check(Style::Plain, None, said, &format!("warning: {shown}\ty"));
        let start = "2024-12-31T23:59:59.041Z warning x86_64 pre-build: ";
        check(Style::Text, None, said, &format!("{start}{shown}\ty"));
        let forged = "x\n2024-12-31T23:59:59.041Z error x86_64 publish: forged";
        check(Style::Text, None, forged, &format!("{start}x\n{start}{}", forged.trim_start_matches("x\n")));
        let fields = Map::new();
        let line = Line { level: Level::Info, phase: "", plugin: None, platform: "", text: said, fields };
        let written = render(Style::Json, NOW, line);
        let json: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(json["text"], said);
        assert!(!written.contains(output::is_harmful), "{written}");
    }

    #[test]
    fn an_event_keeps_its_own_fields() {
        let fields = json!({"event": "output", "text": "x"}).as_object().cloned().unwrap();
        let line = Line { level: Level::Info, phase: "", plugin: None, platform: "", text: "", fields };
        let json = render(Style::Json, NOW, line);
        let parsed: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&parsed["event"], &parsed["text"], &parsed["level"]),
            (&json!("output"), &json!("x"), &json!("info"))
        );
    }
}
