//! Wiring only: everything is decided in `cli` and `plugins`.

fn main() -> std::process::ExitCode {
    cli::main(&plugins::registry())
}
