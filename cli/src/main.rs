//! The `trunkline` command; see `cli` for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
