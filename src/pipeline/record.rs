//! The record of a build: everything that came in, by digest; what was done, by whom, how long; what went out.
//!
//! The document is JSON and versioned; `docs/build-record.schema.json` is its schema. It is enough to repeat the
//! build, and it holds no secret: user names, passwords and tokens are taken out where values enter it.

mod koji;
mod recorder;

use serde::{Deserialize, Serialize};

pub use koji::{ComposesRecord, KojiRecord, ParentBuildRecord};
pub use recorder::Recorder;
pub(crate) use recorder::milliseconds;

/// The version of the document; it rises when a reader of the old one would misread the new one.
pub const VERSION: u32 = 1;

/// The media type a record has as an artifact in a registry.
pub const MEDIA_TYPE: &str = "application/vnd.stratum.build-record.v1+json";

/// A build from its first input to its last output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`VERSION`].
    pub record_version: u32,
    /// The program.
    pub builder: Builder,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// How it ended.
    pub result: Outcome,
    /// The source.
    pub source: SourceRecord,
    /// The site's configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<InputFile>,
    /// The files that packages' signatures were verified with.
    pub keys: Vec<InputFile>,
    /// What was asked for; none where the build ended before the source was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<Options>,
    /// How steps were isolated.
    pub isolation: Isolation,
    /// The plugins that ran, in order.
    pub plugins: Vec<PluginRun>,
    /// What they changed, in order.
    pub edits: Vec<EditRecord>,
    /// The images this one is built on or copies from.
    pub bases: Vec<BaseRecord>,
    /// The stages, in order.
    pub stages: Vec<StageRecord>,
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRecord>,
    /// The packages in the image, if somebody looked.
    pub packages: Vec<PackageRecord>,
    /// What was to be said of the image.
    pub findings: Vec<FindingRecord>,
    /// What somebody should know.
    pub warnings: Vec<String>,
    /// Where the image is now.
    pub outputs: Vec<OutputRecord>,
    /// What Koji and the compose service said; none where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub koji: Option<KojiRecord>,
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builder {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How a build ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Whether it did.
    pub status: Status,
    /// The exit code of the program.
    pub exit_code: u8,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The ends a build can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It has not ended.
    #[default]
    Running,
    /// There is an image.
    Succeeded,
    /// There is none.
    Failed,
    /// It was told to stop.
    Cancelled,
}

/// A file that came in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Its name or path as it was given.
    pub name: String,
    /// Of its bytes.
    pub digest: String,
}

/// Where the source comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRecord {
    /// The repository, or the directory.
    pub location: String,
    /// The commit, which names every file of the context but `fetched`; none for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// SOURCE_DATE_EPOCH, seconds since 1970.
    pub epoch: u64,
    /// The Dockerfile as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<InputFile>,
    /// The Dockerfile as executed: edited by plugins, every FROM pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed: Option<Executed>,
    /// Files fetched into the context, and what ADD brought by URL; of a git repository the digest is its commit.
    pub fetched: Vec<InputFile>,
    /// Files of the context, without a commit: those that were copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copied: Vec<InputFile>,
}

/// The Dockerfile as executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// Of its bytes.
    pub digest: String,
    /// The whole of it.
    pub text: String,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// The platform.
    pub platform: String,
    /// The stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments, `NAME=VALUE`.
    pub build_args: Vec<String>,
    /// Labels, `NAME=VALUE`.
    pub labels: Vec<String>,
    /// The network of steps.
    pub network: String,
    /// The media types.
    pub format: String,
    /// Repository files that steps saw.
    pub repositories: Vec<InputFile>,
}

/// How steps were isolated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// The rung.
    pub rung: String,
    /// Why none higher.
    pub refused: Vec<RefusedRung>,
}

/// A rung that was not possible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRung {
    /// The rung.
    pub rung: String,
    /// Why.
    pub cause: String,
}

/// A plugin that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRun {
    /// Its key.
    pub plugin: String,
    /// Its phase.
    pub phase: String,
    /// How long it took.
    pub milliseconds: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it began, in milliseconds after the build did.
    #[serde(default)]
    pub began: u64,
}

/// A change a plugin made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditRecord {
    /// Who wanted it.
    pub plugin: String,
    /// What was changed: `from`, `label`, `repository`, `file`, `argument`, `environment`, `instruction`, `context`,
    /// `value`, `step-file`, `hidden` or `download`.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// What is there now: the image, the instruction, the digest of the content.
    pub value: String,
    /// Why.
    pub reason: String,
}

/// An image this one is built on or copies from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// As the Dockerfile has it.
    pub name: String,
    /// Where it was taken from, pinned.
    pub location: String,
    /// Of its manifest.
    pub manifest: String,
    /// Of its config.
    pub config: String,
    /// Its layers.
    pub layers: Vec<BaseLayer>,
}

/// A layer of such an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseLayer {
    /// Of its blob.
    pub digest: String,
    /// Bytes of its blob.
    pub size: u64,
    /// Whether this build fetched and unpacked it.
    pub fetched: bool,
}

/// A stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Its name, or its number.
    pub name: String,
    /// What it is built on.
    pub base: String,
    /// Its instructions.
    pub steps: Vec<StepRecord>,
}

/// An instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The instruction.
    pub line: String,
    /// How long it took.
    pub milliseconds: u64,
    /// What came in through the gateway, and what was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<ExchangeRecord>,
}

/// One request of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeRecord {
    /// `metadata`, `package`, `key`, `proxied`, `tunnel` or `refused`.
    pub kind: String,
    /// Where to, without credentials.
    pub url: String,
    /// The answer's status.
    pub status: u16,
    /// Bytes that reached the step.
    pub bytes: u64,
    /// Bytes that came over the network; 0 where the store had them.
    pub fetched: u64,
    /// Of the content, where it could be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What the content was verified against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<String>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Of its manifest.
    pub manifest: String,
    /// Of its config.
    pub config: String,
    /// All its layers, base first.
    pub layers: Vec<String>,
    /// The layers this build made.
    pub new: Vec<NewLayerRecord>,
}

/// A layer this build made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewLayerRecord {
    /// The stage whose changes it holds.
    pub stage: String,
    /// Of its blob.
    pub digest: String,
    /// Of its tar.
    pub diff_id: String,
    /// Bytes of its blob.
    pub size: u64,
    /// Bytes of its tar.
    pub uncompressed: u64,
    /// Entries in its tar.
    pub entries: u64,
    /// How long it took to write.
    pub milliseconds: u64,
}

/// A package in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRecord {
    /// `name-[epoch:]version-release.arch`.
    pub nevra: String,
    /// What its signature is worth.
    pub verdict: String,
    /// The key of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// MD5 over header and payload, as Koji knows the package by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigmd5: Option<String>,
}

/// What was to be said of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// Who said it.
    pub plugin: String,
    /// `error` or `warning`.
    pub severity: String,
    /// What kind of thing it is.
    pub code: String,
    /// The package, file or image.
    pub subject: String,
    /// The rest of the sentence.
    pub message: String,
}

/// A place the image is in now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// The place.
    pub location: String,
    /// Of the manifest there.
    pub digest: String,
}
