//! The tidegate binary: arguments in, exit code out.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use tidegate::cli;

fn main() -> ExitCode {
    let done = match cli::run::alone(std::env::args_os().skip(1)) {
        Some(run) => tidegate::app::run(&run.config),
        None => cli::Arguments::parse().execute(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be listening (`2>&1 | head`); the exit code tells all the same.
            let _ = writeln!(std::io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}
