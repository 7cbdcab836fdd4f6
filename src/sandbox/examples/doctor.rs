//! What this place allows: `doctor [STORE]`.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::path::Path;

use stratum_sandbox::{EnterError, Verdict, doctor};

fn main() -> Result<(), EnterError> {
    let store = std::env::args().nth(1);
    for report in doctor(store.as_deref().map(Path::new))? {
        print(&report.rung.to_string(), &report.verdict);
        for facility in report.facilities {
            print(&format!("    {}", facility.name), &facility.verdict);
        }
    }
    Ok(())
}

fn print(name: &str, verdict: &Verdict) {
    match verdict {
        Verdict::Works => println!("{name}: ok"),
        Verdict::Refused { cause, remedy } => {
            println!("{name}: NO, {cause}\n        remedy: {remedy}");
        }
    }
}
