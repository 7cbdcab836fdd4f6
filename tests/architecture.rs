//! Holds the tree to the house rules that a compiler cannot: which crate may use which, where unsafe code
//! and the environment may appear, and how long a file may get. Reads the sources, runs nothing.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

/// The crates and what each may use at most: `above` is every row above, `-name` takes one out again. To change
/// an edge, change this table and the one in ARCHITECTURE.md first and say why in the commit.
const EDGES: &str = "
    sys:
    http:
    oci:
    dockerfile:
    rpm:
    store: oci
    registry: oci http
    transport: oci registry store
    source: dockerfile http oci
    gateway: http oci rpm store
    sandbox: sys
    build: sandbox gateway http source transport store dockerfile oci rpm
    proof: oci rpm transport
    koji: http oci rpm
    cluster: http
    pipeline: above
    replay: pipeline build transport proof
    cli: above
    plugins: above -replay -cli
    stratum: cli plugins
";

/// Names that say nothing about what a crate holds.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "types", "helpers", "misc", "core"];

/// What only `cli` may call: the rest of the program gets values passed in.
const AMBIENT: &[&str] = &[
    "env::var(",
    "env::var_os(",
    "env::vars(",
    "env::vars_os(",
    "env::args(",
    "env::args_os(",
    "env::current_dir(",
    "env::home_dir(",
    "env::set_current_dir(",
    "env::set_var(",
    "env::remove_var(",
];

const LONGEST_FILE: usize = 500;

/// One crate of the workspace: its short name and its manifest.
struct Member {
    name: String,
    folder: PathBuf,
    manifest: Table,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn read_manifest(path: &Path) -> Table {
    read(path).parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The library crates: each folder in src/, and plugins/ where it exists.
fn members() -> Vec<Member> {
    let mut folders: Vec<PathBuf> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.push(root().join("plugins"));
    folders.retain(|folder| folder.join("Cargo.toml").exists());
    folders.sort();
    let member = |folder: PathBuf| Member {
        name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
        manifest: read_manifest(&folder.join("Cargo.toml")),
        folder,
    };
    folders.into_iter().map(member).collect()
}

/// The short names of our own crates among the dependencies of `manifest`, of every kind and target.
fn edges_of(manifest: &Table, ours: &BTreeMap<String, String>) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(|t| t.as_table()).into_iter().flat_map(|t| t.values());
    let tables = std::iter::once(manifest).chain(targets.filter_map(|t| t.as_table()));
    let mut found = BTreeSet::new();
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let dependencies = table.get(kind).and_then(|t| t.as_table()).into_iter().flatten();
            found.extend(dependencies.filter_map(|(key, value)| our_crate(key, value, ours)));
        }
    }
    found
}

/// Which of our crates a dependency names, by its alias in the workspace or by its package.
fn our_crate(key: &str, value: &toml::Value, ours: &BTreeMap<String, String>) -> Option<String> {
    let package = value.get("package").and_then(|p| p.as_str()).unwrap_or(key);
    if let Some(name) = package.strip_prefix("stratum-") {
        return Some(name.to_owned());
    }
    let from_workspace = value.get("workspace").is_some();
    ours.get(key).filter(|_| from_workspace).cloned()
}

/// The aliases of our crates in `[workspace.dependencies]`, each with the short name it stands for.
fn aliases(workspace: &Table) -> BTreeMap<String, String> {
    let table = workspace["workspace"]["dependencies"].as_table().unwrap();
    let short = |value: &toml::Value| Some(value.get("package")?.as_str()?.strip_prefix("stratum-")?.to_owned());
    table.iter().filter_map(|(alias, value)| Some((alias.clone(), short(value)?))).collect()
}

/// [`EDGES`] with `above` and `-name` worked out. Rows may only name rows above them, so it has no circle.
fn allowed_edges() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut table: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in EDGES.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (name, words) = row.split_once(':').unwrap();
        let mut uses = BTreeSet::new();
        for word in words.split_whitespace() {
            match word.strip_prefix('-') {
                Some(taken_out) => assert!(uses.remove(taken_out), "{name}: {word} takes nothing out"),
                None if word == "above" => uses.extend(table.keys().copied()),
                None => uses.extend([*table
                    .get_key_value(word)
                    .unwrap_or_else(|| panic!("{name}: {word} has no row above"))
                    .0]),
            }
        }
        table.insert(name, uses);
    }
    table
}

/// Every `.rs` file below `folder`, except tests, examples and benchmarks that lie in files of their own.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !["tests", "examples", "benches"].iter().any(|name| path.ends_with(name)) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All files of the program, with the crate each belongs to.
fn program() -> Vec<(String, PathBuf)> {
    let of =
        |member: &Member| sources(&member.folder).into_iter().map(|p| (member.name.clone(), p)).collect::<Vec<_>>();
    members().iter().flat_map(of).chain([("stratum".to_owned(), root().join("src/main.rs"))]).collect()
}

/// The text of a file before its unit tests.
fn before_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

/// Fails with every violation at once, one a line.
#[track_caller]
fn expect_none(rule: &str, violations: &[String]) {
    let mut message = String::new();
    for violation in violations {
        write!(message, "\n  {violation}").unwrap();
    }
    assert!(violations.is_empty(), "{rule}:{message}");
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn a_crate_uses_only_the_crates_the_table_allows() {
    let workspace = read_manifest(&root().join("Cargo.toml"));
    let ours = aliases(&workspace);
    let table = allowed_edges();
    let mut violations = Vec::new();
    let program = Member { name: "stratum".to_owned(), folder: root().to_owned(), manifest: workspace };
    for member in members().iter().chain([&program]) {
        let Some(allowed) = table.get(member.name.as_str()) else {
            violations.push(format!("crate {} is not in the table EDGES of tests/architecture.rs", member.name));
            continue;
        };
        for edge in edges_of(&member.manifest, &ours) {
            if !allowed.contains(edge.as_str()) {
                violations.push(format!("{} may not use {edge}: its row allows {allowed:?}", member.name));
            }
        }
    }
    expect_none("edges that the table EDGES of tests/architecture.rs does not allow", &violations);
}

#[test]
fn only_sys_may_hold_unsafe_code() {
    let workspace = read_manifest(&root().join("Cargo.toml"));
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    assert_eq!(workspace["lints"]["workspace"].as_bool(), Some(true), "the root package does not inherit the lints");
    let inherits = |member: &Member| {
        member.manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    };
    let strays: Vec<String> =
        members().iter().filter(|member| member.name != "sys" && !inherits(member)).map(|m| m.name.clone()).collect();
    expect_none("crates without `[lints] workspace = true`, so without unsafe_code = \"forbid\"", &strays);
}

#[test]
fn every_crate_is_named_for_what_it_holds() {
    let names: Vec<String> =
        members().iter().map(|m| m.name.clone()).filter(|n| EMPTY_NAMES.contains(&n.as_str())).collect();
    expect_none("crate names that say nothing", &names);
    let misnamed: Vec<String> = members()
        .iter()
        .filter(|m| m.manifest["package"]["name"].as_str() != Some(&format!("stratum-{}", m.name)))
        .map(|m| shown(&m.folder))
        .collect();
    expect_none("folders whose package is not called stratum-<folder>", &misnamed);
}

#[test]
fn every_file_starts_with_its_contract() {
    let bare: Vec<String> =
        program().iter().filter(|(_, path)| !read(path).starts_with("//!")).map(|(_, path)| shown(path)).collect();
    expect_none("files that do not start with `//!`", &bare);
}

#[test]
fn no_file_is_longer_than_500_lines_before_its_tests() {
    let long: Vec<String> = program()
        .iter()
        .map(|(_, path)| (shown(path), before_tests(&read(path)).lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    expect_none("files over 500 lines before their tests", &long);
}

#[test]
fn only_cli_reads_the_environment_and_the_arguments() {
    let mut violations = Vec::new();
    for (_, path) in program().iter().filter(|(name, _)| name != "cli") {
        let text = read(path);
        for (number, line) in before_tests(&text).lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"))
        {
            for call in AMBIENT.iter().filter(|call| line.contains(**call)) {
                violations.push(format!("{}:{}: {call})", shown(path), number + 1));
            }
        }
    }
    expect_none("calls that only `cli` may make; pass the value in", &violations);
}
