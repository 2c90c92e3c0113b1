//! Errors by what the caller does about them, and the exit codes they end in.
//!
//! Owns [`Failure`], the only error that reaches `main`. Parts have their own error types, each variant named by the
//! reaction it calls for (retry, quarantine, fatal); only what ends the process becomes a `Failure`.

use std::fmt;
use std::process::ExitCode;

/// Why the process ends other than well.
#[derive(Debug)]
pub enum Failure {
    /// Said on the command line: exit code 2. (clap reports its own.)
    Usage(String),
    /// The configuration is wrong; a restart cannot help: exit code 78 (EX_CONFIG), which systemd does not restart.
    /// Holds the whole report, ready to print.
    Configuration(String),
    /// Anything else: exit code 1; a restart may help.
    Failed(String),
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Configuration(_) => ExitCode::from(78),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Configuration(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}
