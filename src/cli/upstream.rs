//! `tidegate upstream`: has the running gateway connect now.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use crate::cli::client;
use crate::error::Failure;
use crate::ops::control::upstream::{Reconnect, ReconnectAnswer};
use crate::ops::status::{Status, UpstreamShown};

/// How long the outcome of an attempt is waited for: most show within seconds, and a network that swallows everything
/// would keep a person waiting for the whole `connect_timeout`.
const OUTCOME_WITHIN: Duration = Duration::from_secs(8);

/// How often the gateway is asked for it.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate upstream reconnect      after repairing a cable, instead of waiting up to upstream.backoff_max
  tidegate upstream reconnect --json | jq -r .outcome    connected, connected-already, trying, failed

A connection that is up is left alone. If the attempt fails, the waits go on as before.

Exit codes: 0 connected, or the attempt is still under way, 1 it failed, no gateway answers, or none is configured, 2 usage.";

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The running gateway's control socket (gateway.control_socket)
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET, global = true)]
    socket: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Connect now instead of at the next attempt
    #[command(after_help = EXAMPLES)]
    Reconnect {
        /// For scripts
        #[arg(long)]
        json: bool,
    },
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// No gateway answers, none is configured, the attempt failed, or standard output cannot be written.
    pub fn execute(self) -> Result<(), Failure> {
        match self.what {
            What::Reconnect { json } => reconnect(&self.socket, json),
        }
    }
}

/// Tells what came of it; for scripts, what it is called.
fn tell(json: bool, outcome: &str, words: &str) -> Result<(), Failure> {
    client::print(|out| match json {
        true => writeln!(out, "{}", serde_json::json!({ "outcome": outcome })),
        false => writeln!(out, "{words}"),
    })
}

fn reconnect(socket: &Path, json: bool) -> Result<(), Failure> {
    let before = asked(socket)?;
    let answer: ReconnectAnswer = client::post(socket, "/v1/upstream/reconnect", &())?;
    if answer.reconnect == Reconnect::Connected {
        return tell(json, "connected-already", "connected already; nothing to do");
    }
    let until = Instant::now() + OUTCOME_WITHIN;
    loop {
        let now = asked(socket)?;
        if now.connected {
            return tell(json, "connected", "connected");
        }
        if now.next_attempt.is_some() && now.breaker.failures != before.breaker.failures {
            let why = now.last_error.unwrap_or_default();
            if json {
                client::print(|out| writeln!(out, "{}", serde_json::json!({ "outcome": "failed", "error": why })))?;
            }
            return Err(Failure::Failed(format!("error: not connected: {why}")));
        }
        if Instant::now() >= until {
            return tell(json, "trying", "trying; `tidegate status` tells what comes of it");
        }
        std::thread::sleep(ASK_EVERY);
    }
}

fn asked(socket: &Path) -> Result<UpstreamShown, Failure> {
    let status: Status = client::get(socket, "/v1/status")?;
    status.upstream.ok_or_else(|| {
        Failure::Failed("error: no [upstream] is configured, or the gateway still waits for its store".to_owned())
    })
}
