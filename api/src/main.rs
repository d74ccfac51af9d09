//! The binary `doorstep`.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorstep_api::cli::main()
}
