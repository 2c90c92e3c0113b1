//! The tidegate binary: arguments in, exit code out.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match tidegate::cli::Arguments::parse().execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be listening (`2>&1 | head`); the exit code tells all the same.
            let _ = writeln!(std::io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}
