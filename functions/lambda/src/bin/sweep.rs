//! The sweep, on Lambda, by a schedule; see `lambda`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lambda::main(async |start| {
        let ports = start.ports().await?;
        lambda::serve_sweep(start.sweep(&ports)?).await
    })
}
