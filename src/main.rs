//! Wiring only: everything is decided in `cli`.

fn main() -> std::process::ExitCode {
    cli::main()
}
