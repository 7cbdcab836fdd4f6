//! `generate_sbom`: the bill of materials.
//!
//! Reads the packages that all_rpm_packages found, or has them read, and what the image is called. Its arguments are
//! `format` (`cyclonedx`, `spdx`), `path` (a file for the document) and `attach`; without the last two the document goes
//! where the record goes. Returns the document as a fact; store_sbom takes it on once the image is published. Fails the
//! build when a package database cannot be read, for packages would be missing from the document.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline::{Bill, Class, Fact, Findings, Made, Plugin, PluginError, PostBuild, PostBuildView, SbomDemand, Setup};
use proof::sbom::{self, Format, SbomError, Subject};
use serde_json::Value;
use transport::Location;

/// Its key.
const KEY: &str = "generate_sbom";

#[derive(Debug)]
struct GenerateSbom {
    plan: Plan,
}

/// What kind of document there is to be, and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    format: Format,
    files: Vec<PathBuf>,
    purl_files: Vec<PathBuf>,
    beside_record: bool,
    attach: bool,
}

/// What the site's list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Arguments {
    format: Option<Format>,
    path: Option<PathBuf>,
    attach: Option<bool>,
}

/// Where the record goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RecordGoes {
    to_a_file: bool,
    to_a_registry: bool,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PostBuild> {
    Ok(plan(setup)?.map(|plan| -> Box<dyn Plugin<PostBuild>> { Box::new(GenerateSbom { plan }) }))
}

/// Whether there will be a bill of materials, whichever plugin asks: then somebody must wait for it at the end.
pub(crate) fn acts(setup: &Setup<'_>) -> Result<bool, PluginError> {
    let listed = setup.site.plugins.listed().find(|request| request.name == KEY);
    Ok(plan(&Setup { args: listed.map(|request| &request.args), ..*setup })?.is_some())
}

fn plan(setup: &Setup<'_>) -> Result<Option<Plan>, PluginError> {
    let arguments = setup.args.map(|_| arguments(setup)).transpose()?;
    let (wanted, record) = (setup.wanted, &setup.site.record);
    let goes = RecordGoes {
        to_a_file: wanted.has_record || record.path.is_some(),
        to_a_registry: wanted.pushes_record || record.push,
    };
    Ok(decide(&wanted.sbom, arguments.as_ref(), goes))
}

fn arguments(setup: &Setup<'_>) -> Result<Arguments, PluginError> {
    let wrong = |text: String| PluginError::new(Class::Configuration, text);
    let format = match setup.text("format")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| wrong(format!("argument format: {error}")))?),
    };
    let attach = match setup.args.and_then(|args| args.get("attach")) {
        None | Some(Value::Null) => None,
        Some(Value::Bool(attach)) => Some(*attach),
        Some(other) => return Err(wrong(format!("argument attach is {other}; it must be true or false"))),
    };
    Ok(Arguments { format, path: setup.text("path")?.map(PathBuf::from), attach })
}

/// What is to be made; none where nothing is asked for, or what is would go nowhere.
fn decide(wanted: &SbomDemand, listed: Option<&Arguments>, record: RecordGoes) -> Option<Plan> {
    let site = listed.cloned().unwrap_or_default();
    let is_listed = listed.is_some();
    let plan = Plan {
        format: wanted.format.or(site.format).unwrap_or_default(),
        files: wanted.output.iter().chain(&site.path).cloned().collect(),
        purl_files: wanted.purl_output.iter().cloned().collect(),
        beside_record: is_listed && site.path.is_none() && record.to_a_file,
        attach: wanted.attach || (is_listed && site.attach.unwrap_or(record.to_a_registry)),
    };
    let goes_somewhere = plan.beside_record || plan.attach || !plan.files.is_empty() || !plan.purl_files.is_empty();
    goes_somewhere.then_some(plan)
}

/// The name of several that the image is called by in the document: one others can find it by.
fn called(outputs: &[Location]) -> Location {
    let found = outputs.iter().find(|output| output.in_registry().is_some()).or_else(|| outputs.first());
    found.cloned().unwrap_or_else(|| Location::Store(String::new()))
}

impl Plugin<PostBuild> for GenerateSbom {
    fn run(&self, view: &PostBuildView<'_>) -> Result<Findings, PluginError> {
        let image = view.image;
        let report = match view.facts.packages() {
            Some(report) => Arc::clone(report),
            None => Arc::new((view.examine)()?),
        };
        let subject = Subject::of(&called(image.outputs()), &image.digest(), image.manifest(), &image.config);
        let made = sbom::make(&subject, &report, self.plan.format).map_err(|error| failed(&error))?;
        let Plan { files, purl_files, beside_record, attach, .. } = self.plan.clone();
        let bill = Bill { sbom: Arc::new(made), files, purl_files, beside_record, attach };
        Ok(Findings { facts: vec![Fact::Sbom(Arc::new(bill))], ..Findings::default() })
    }
}

fn failed(error: &SbomError) -> PluginError {
    let class = match error {
        SbomError::Unreadable { .. } | SbomError::TooLarge => Class::Refused,
        SbomError::Json(_) => Class::Bug,
    };
    PluginError::of(class, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: RecordGoes = RecordGoes { to_a_file: false, to_a_registry: false };

    #[test]
    fn nobody_asks_and_nothing_is_made() {
        let everywhere = RecordGoes { to_a_file: true, to_a_registry: true };
        assert_eq!(decide(&SbomDemand::default(), None, everywhere), None);
        assert_eq!(decide(&SbomDemand::default(), Some(&Arguments::default()), NOWHERE), None);
    }

    #[test]
    fn what_the_command_line_demands_is_made_without_a_list() {
        let wanted = SbomDemand { output: Some("a".into()), purl_output: Some("b".into()), ..SbomDemand::default() };
        let plan = Plan { files: vec!["a".into()], purl_files: vec!["b".into()], ..Plan::default() };
        assert_eq!(decide(&wanted, None, RecordGoes { to_a_file: true, to_a_registry: true }), Some(plan));
        let wanted = SbomDemand { attach: true, ..SbomDemand::default() };
        assert_eq!(decide(&wanted, None, NOWHERE), Some(Plan { attach: true, ..Plan::default() }));
    }

    #[test]
    fn a_listed_plugin_follows_the_record_unless_it_is_told_otherwise() {
        let everywhere = RecordGoes { to_a_file: true, to_a_registry: true };
        let followed = Plan { beside_record: true, attach: true, ..Plan::default() };
        assert_eq!(decide(&SbomDemand::default(), Some(&Arguments::default()), everywhere), Some(followed));
        let told = Arguments { format: Some(Format::Spdx), path: Some("/b".into()), attach: Some(false) };
        let plan = Plan { format: Format::Spdx, files: vec!["/b".into()], ..Plan::default() };
        assert_eq!(decide(&SbomDemand::default(), Some(&told), everywhere), Some(plan));
        let attach = Arguments { attach: Some(true), ..Arguments::default() };
        let plan = Plan { attach: true, ..Plan::default() };
        assert_eq!(decide(&SbomDemand::default(), Some(&attach), NOWHERE), Some(plan));
    }

    #[test]
    fn the_command_lines_format_wins() {
        let wanted = SbomDemand { format: Some(Format::CycloneDx), attach: true, ..SbomDemand::default() };
        let listed = Arguments { format: Some(Format::Spdx), ..Arguments::default() };
        assert_eq!(decide(&wanted, Some(&listed), NOWHERE).map(|plan| plan.format), Some(Format::CycloneDx));
    }

    #[track_caller]
    fn check_argument(args: Value, text: &str) {
        let (site, wanted) = (pipeline::site::Site::default(), pipeline::Wanted::default());
        let error = make(&Setup { site: &site, wanted: &wanted, args: args.as_object() }).unwrap_err();
        assert_eq!((error.class, error.text.as_str()), (Class::Configuration, text));
    }

    #[test]
    fn wrong_arguments_are_mistakes_of_the_configuration() {
        use serde_json::json;
        check_argument(json!({"attach": "yes"}), "argument attach is \"yes\"; it must be true or false");
        check_argument(json!({"path": 1}), "argument path is 1; it must be a text");
        let text = "argument format: \"syft\" is no kind of bill of materials; there are cyclonedx and spdx";
        check_argument(json!({"format": "syft"}), text);
    }

    /// The plugins of a site that take part after the image is built.
    fn chosen(site: &str) -> Vec<String> {
        let (site, _) = pipeline::site::Site::parse(std::path::Path::new("/etc/site.yaml"), site.as_bytes()).unwrap();
        let lineup = crate::registry().choose(&site, &pipeline::Wanted::default()).unwrap();
        let keys = lineup.post_build.iter().map(|one| &one.key).chain(lineup.exit.iter().map(|one| &one.key));
        keys.map(ToString::to_string).collect()
    }

    #[test]
    fn a_site_that_lists_it_has_it_and_what_takes_it_on_is_left_out_by_no_list() {
        let list = "version: 1\npostbuild_plugins: [{name: generate_sbom, args: {attach: true}}]\nexit_plugins: []\n";
        assert_eq!(chosen(list), ["generate_sbom", "store_sbom"]);
        let beside = "version: 1\nrecord: {path: /r.json}\npostbuild_plugins: [{name: generate_sbom}]\n";
        assert_eq!(chosen(beside), ["generate_sbom", "store_metadata", "store_sbom"]);
        assert_eq!(chosen("version: 1\npostbuild_plugins: [{name: generate_sbom}]\n"), [""; 0]);
        assert_eq!(chosen("version: 1\nrecord: {path: /r.json, push: true}\n"), ["store_metadata", "attach_record"]);
    }

    #[test]
    fn an_image_is_called_by_its_first_name_in_a_registry() {
        let at = |text: &str| text.parse::<Location>().unwrap();
        assert_eq!(
            called(&[at("oci:a:1"), at("docker://r.example/a:1"), at("docker://r.example/b:1")]),
            at("docker://r.example/a:1")
        );
        assert_eq!(called(&[at("oci:a:1"), at("dir:b")]), at("oci:a:1"));
        assert_eq!(called(&[]), Location::Store(String::new()));
    }
}
