//! `stratum migrate`: what carries over from another builder's configuration.

mod meaning;

use std::path::PathBuf;

use pipeline::site::PluginRequest;
use pipeline::{Phase, Registered, Registry, Without};
use serde_json::{Value, json};

use crate::failure::{Failure, Status};
use crate::site::Configuration;
use crate::{output, site};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say key by key what carries over from atomic-reactor
    AtomicReactor(Arguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The reactor configuration map, build.json or ATOMIC_REACTOR_PLUGINS, as YAML or JSON
    #[arg(value_name = "CONFIG", required = true)]
    files: Vec<PathBuf>,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// End with 2 if anything is not known here
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It means here what it meant there.
    Kept,
    /// It means something else here, for the better.
    Changed,
    /// It is accepted, and has no effect.
    Unused,
    /// Nobody knows it.
    Unknown,
}

/// A row of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    key: String,
    fate: Fate,
    text: String,
}

/// The report on one file.
#[derive(Debug)]
struct Report {
    file: String,
    rows: Vec<Row>,
    /// What the file lacks to be as good as it could be.
    advice: Vec<&'static str>,
}

/// Reports on all files.
pub(crate) fn run(command: &Command, registry: &Registry) -> Result<(), Failure> {
    let Command::AtomicReactor(arguments) = command;
    let reports = arguments.files.iter().map(|file| report(file, registry));
    let reports = reports.collect::<Result<Vec<Report>, Failure>>()?;
    match arguments.format {
        Format::Table => reports.iter().for_each(table),
        Format::Json => {
            let all: Value = reports.iter().map(object).collect();
            output::result(&format!("{all:#}"));
        }
    }
    let unknown = reports.iter().flat_map(|report| &report.rows).filter(|row| row.fate == Fate::Unknown).count();
    if arguments.strict && unknown > 0 {
        return Err(Failure::new(Status::Usage, format!("{unknown} keys are not known here")));
    }
    Ok(())
}

fn report(file: &std::path::Path, registry: &Registry) -> Result<Report, Failure> {
    let configuration = site::read(Some(file))?;
    let shown = file.display().to_string();
    let keys = pipeline::site::outline(&shown, &configuration.bytes);
    let keys = keys.map_err(|error| Failure::of(Status::Usage, &error))?;
    let mut rows: Vec<Row> = keys.iter().filter_map(|key| row(&configuration, &key.path, key.line)).collect();
    rows.extend(configuration.site.plugins.listed().map(|request| plugin(registry, request)));
    rows.sort_by_key(|row| row.line);
    Ok(Report { file: shown, rows, advice: meaning::advice(&configuration.site) })
}

/// What becomes of a key; none for one whose parent's row says it all, or whose own rows follow.
fn row(configuration: &Configuration, path: &str, line: usize) -> Option<Row> {
    let row = |fate, text: &str| Some(Row { line, key: path.to_owned(), fate, text: text.to_owned() });
    let is_about = |note: &&site::Notice| note.key == path;
    if let Some(note) = configuration.notices.iter().find(is_about) {
        let fate = if note.text.starts_with("unknown key") { Fate::Unknown } else { Fate::Unused };
        return row(fate, &note.text);
    }
    let parent = path.rsplit_once('.').map(|(parent, _)| parent);
    match (meaning::of(path), parent) {
        (Some((fate, text)), _) => row(fate, text),
        (None, None) if path.ends_with("_plugins") || path == "plugins" => None,
        (None, None) => row(Fate::Kept, "as before"),
        (None, Some(_)) => None,
    }
}

fn plugin(registry: &Registry, request: &PluginRequest) -> Row {
    let found = [
        known(&registry.source, &request.name),
        known(&registry.pre_build, &request.name),
        known(&registry.post_build, &request.name),
        known(&registry.publish, &request.name),
        known(&registry.exit, &request.name),
    ];
    let absent = registry.absent.iter().find(|absent| absent.key == request.name);
    let absent = absent.map(|absent| {
        (
            Fate::Unused,
            match absent.without {
                Without::Loss(text) | Without::Effect(text) => text.to_owned(),
            },
        )
    });
    let (fate, text) = found.into_iter().flatten().next().or(absent).unwrap_or_else(|| {
        let text = if request.required { "unknown plugin, and it is required" } else { "unknown plugin" };
        (Fate::Unknown, text.to_owned())
    });
    Row { line: request.line, key: format!("plugin {}", request.name), fate, text }
}

fn known<P: Phase>(registered: &[Registered<P>], name: &str) -> Option<(Fate, String)> {
    let found = registered.iter().find(|one| one.key == name || one.also.contains(&name))?;
    let phase = P::NAME.as_str();
    Some(if found.key == name {
        (Fate::Kept, format!("{phase}: {}", found.text))
    } else {
        (Fate::Changed, format!("{phase}, as {}: {}", found.key, found.text))
    })
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Changed => "changed",
            Self::Unused => "unused",
            Self::Unknown => "unknown",
        }
    }
}

fn object(report: &Report) -> Value {
    let row = |row: &Row| json!({"line": row.line, "key": row.key, "fate": row.fate.name(), "text": row.text});
    let rows: Value = report.rows.iter().map(row).collect();
    json!({"file": report.file, "rows": rows, "advice": report.advice})
}

fn table(report: &Report) {
    output::result(&format!("{}:", report.file));
    let width = report.rows.iter().map(|row| row.key.chars().count()).max().unwrap_or_default();
    for row in &report.rows {
        let fate = row.fate.name();
        output::result(&format!("{:5}  {fate:7}  {:width$}  {}", row.line, row.key, row.text));
    }
    for advice in &report.advice {
        output::result(&format!("       advice   {advice}"));
    }
    let count = |fate| report.rows.iter().filter(|row| row.fate == fate).count();
    output::result(&format!(
        "{} kept, {} changed, {} unused, {} unknown",
        count(Fate::Kept),
        count(Fate::Changed),
        count(Fate::Unused),
        count(Fate::Unknown)
    ));
}
