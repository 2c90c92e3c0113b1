//! `tidegate log-level`: how much the running gateway logs, shown and changed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::client;
use crate::error::Failure;
use crate::ops::control::log::LogLevelRequest;
use crate::ops::logging::{Change, Levels};

/// What the help ends with.
pub const EXAMPLES: &str = "\
LEVEL is error, warn, info, debug or trace; TARGET one of the gateway's modules (app, source, engine, store, forward, ...)
or a library's name. `default` goes back to gateway.log_level. A change ends with --for, or with the process.

Examples:
  tidegate log-level                              what is logged now
  tidegate log-level debug --for 10m
  tidegate log-level forward=trace --for 10m
  tidegate log-level app=debug                    a line for each event, with its id, sensor and correlation id
  tidegate log-level default
  tidegate log-level --json | jq .targets

Exit codes: 0 done, 1 no gateway answers, 2 usage.";

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// From now on, log this much; without it, show what is logged
    #[arg(value_name = "LEVEL|TARGET=LEVEL", value_parser = checked)]
    what: Option<String>,
    /// Go back to the configured level after this time: 30s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, requires = "what")]
    time: Option<Duration>,
    /// The running gateway's control socket (gateway.control_socket)
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// Refuses on the command line what the gateway would not understand.
fn checked(text: &str) -> Result<String, String> {
    text.parse::<Change>().map(|_| text.to_owned())
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// No gateway answers, it refuses, or standard output cannot be written.
    pub fn execute(self) -> Result<(), Failure> {
        let levels: Levels = match self.what {
            None => client::get(&self.socket, "/v1/log-level")?,
            Some(what) => {
                // Half a second is meant to be short, not for ever.
                let for_s = self.time.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
                client::post(&self.socket, "/v1/log-level", &LogLevelRequest { what, for_s })?
            }
        };
        let text = if self.json { client::to_json(&levels)? + "\n" } else { shown(&levels) };
        client::print(|out| write!(out, "{text}"))
    }
}

fn shown(levels: &Levels) -> String {
    let mut text = match levels.level {
        Some(level) => format!("{} (configured: {})\n", level.as_str(), levels.configured.as_str()),
        None => format!("{}\n", levels.configured.as_str()),
    };
    for (target, level) in &levels.targets {
        text.push_str(&format!("{target}={}\n", level.as_str()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::LogLevel;

    #[test]
    fn what_is_logged_is_shown_with_what_is_configured() {
        let mut levels = Levels::new(LogLevel::Info);
        assert_eq!(shown(&levels), "info\n");
        levels.change(&Change::All(LogLevel::Debug));
        levels.change(&Change::Target("rumqttc".to_owned(), LogLevel::Trace));
        assert_eq!(shown(&levels), "debug (configured: info)\nrumqttc=trace\n");
    }
}
