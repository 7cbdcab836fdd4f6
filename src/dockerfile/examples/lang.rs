//! `parse --json FILE`, `expand --json`, `ignore --json`: the library's answers without the program.

use std::io::{BufRead, Write};
use std::process::ExitCode;

use stratum_dockerfile as dockerfile;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["parse", "--json", file] => parse(file),
        ["expand", "--json"] => answer(dockerfile::json::expand_line),
        ["ignore", "--json"] => answer(dockerfile::json::ignore_line),
        _ => Err("usage: lang parse --json FILE | expand --json | ignore --json".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => writeln!(std::io::stderr(), "{error}").map_or(ExitCode::from(1), |()| ExitCode::from(3)),
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn parse(file: &str) -> Outcome {
    let tree = dockerfile::parse_tree_bytes(&std::fs::read(file)?)?;
    Ok(writeln!(std::io::stdout(), "{}", dockerfile::json::tree_json(&tree))?)
}

fn answer(question: fn(&str) -> String) -> Outcome {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", question(&line?))?;
    }
    Ok(())
}
