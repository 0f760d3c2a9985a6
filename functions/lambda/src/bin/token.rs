//! The token endpoint, on Lambda, with neither queue nor store; see `lambda`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lambda::main(async |start| lambda::serve(start.token()?).await)
}
