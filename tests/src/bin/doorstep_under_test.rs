//! The binary `doorstep` once more, where cargo builds it for the tests that kill it.

use std::process::ExitCode;

fn main() -> ExitCode {
    doorstep_api::cli::main()
}
