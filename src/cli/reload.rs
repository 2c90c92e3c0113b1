//! `tidegate reload`: has the running gateway take its changed configuration, and says what came of it.
//!
//! Owns the words and the exit code. The gateway reads the files itself: what is said is what it found, with its own
//! environment and its own rights.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::{check, client};
use crate::config;
use crate::error::Failure;
use crate::ops::reload::Outcome;

/// What the help ends with.
pub const EXAMPLES: &str = "\
The same as SIGHUP, but tells what came of it. A wrong configuration is refused as a whole, with file, line and remedy,
and the old one stays in force. gateway.id, gateway.control_socket, gateway.log_format and store.path need a restart.

Examples:
  sudo tidegate reload
  tidegate reload --json | jq -r .outcome                       reloaded, refused, restart-needed, signalled
  tidegate reload --json | jq -r '.problems[].message'
  tidegate reload --config ./tidegate.toml                      the gateway whose control_socket this file names
  tidegate reload --config ./tidegate.toml --or-signal 4711     what the systemd unit does

Exit codes: 0 in force (with --or-signal and no socket: signalled), 1 a restart is needed or no gateway answers, 2 usage, \
78 the configuration is wrong.";

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The running gateway's control socket (gateway.control_socket)
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Take the control socket's name from this configuration file, where it can be read and --socket is not given
    #[arg(long, short, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// Where no control socket answers: check the file of --config without the files it names, and send SIGHUP to this
    /// process; its log tells what comes of it
    #[arg(long, value_name = "PID", requires = "config", value_parser = clap::value_parser!(i32).range(2..))]
    or_signal: Option<i32>,
    /// For scripts; the report for people goes to standard error
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// [`Failure::Configuration`] when it is refused; [`Failure::Failed`] when it needs a restart, no gateway answers, or
    /// standard output cannot be written.
    pub fn execute(self) -> Result<(), Failure> {
        let socket = match self.config.as_deref().map(|path| config::load(path, &|name| std::env::var(name).ok())) {
            Some(Ok(loaded)) => loaded.config.gateway.control_socket,
            // What is wrong with it the gateway says itself.
            Some(Err(_)) | None => Some(self.socket),
        };
        if let (Some(path), Some(process)) = (&self.config, self.or_signal)
            && !socket.as_deref().is_some_and(answers)
        {
            return signal(path, process, self.json);
        }
        let Some(socket) = socket else {
            return Err(Failure::Failed(
                "error: gateway.control_socket is \"off\" in this file\n  = help: systemctl reload tidegate, or send the \
                 gateway SIGHUP; its log tells what comes of it"
                    .to_owned(),
            ));
        };
        tell(client::post(&socket, "/v1/reload", &())?, self.json)
    }
}

/// Whether somebody listens. A socket that this user may not open is there: asking it says so.
fn answers(socket: &Path) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), NotFound | ConnectionRefused),
    }
}

/// Says what came of it, and makes the exit code of it.
fn tell(mut outcome: Outcome, json: bool) -> Result<(), Failure> {
    let report = match &mut outcome {
        Outcome::Reloaded { found, .. } | Outcome::Refused(found) => std::mem::take(&mut found.report),
        Outcome::RestartNeeded { .. } => outcome.to_string(),
    };
    if json {
        let text = client::to_json(&outcome)?;
        client::print(|out| writeln!(out, "{text}"))?;
    }
    match outcome {
        Outcome::Reloaded { changes, note, .. } => {
            if !report.is_empty() {
                eprintln!("the configuration is valid, but:\n{}", report.trim_end());
            }
            if json {
                return Ok(());
            }
            client::print(|out| {
                writeln!(out, "reloaded: {changes}")?;
                note.map_or(Ok(()), |note| writeln!(out, "{note}"))
            })
        }
        Outcome::Refused(_) => Err(Failure::Configuration(format!(
            "error: not reloaded, the old configuration stays in force\n{}",
            report.trim_end()
        ))),
        Outcome::RestartNeeded { .. } => {
            Err(Failure::Failed(format!("{report}\n  = note: not reloaded, the old configuration stays in force")))
        }
    }
}

/// For a gateway without a control socket: refuses what is wrong as far as it can be seen from here.
fn signal(path: &Path, process: i32, json: bool) -> Result<(), Failure> {
    check::check_to(path, false, false, &|name| std::env::var(name).ok(), &mut std::io::sink())?;
    let gone = || Failure::Failed(format!("error: there is no process {process}\n  = help: systemctl status tidegate"));
    let target = rustix::process::Pid::from_raw(process).ok_or_else(gone)?;
    rustix::process::kill_process(target, rustix::process::Signal::HUP).map_err(|error| match error {
        rustix::io::Errno::SRCH => gone(),
        error => Failure::Failed(format!("error: process {process} cannot be sent SIGHUP: {error}")),
    })?;
    client::print(|out| match json {
        true => writeln!(out, "{}", json!({ "outcome": "signalled" })),
        false => {
            writeln!(out, "no control socket answers: sent SIGHUP to process {process}; its log tells what comes of it")
        }
    })
}
