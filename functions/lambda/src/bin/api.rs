//! The HTTP API, on Lambda; see `lambda`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lambda::main(async |start| {
        let ports = start.ports().await?;
        lambda::serve(start.api(&ports)?).await
    })
}
