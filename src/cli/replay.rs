//! `tidegate replay`: has the running gateway send delivered events again, and shows how far it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::{Timestamp, civil, tz::TimeZone};

use crate::cli::client;
use crate::error::Failure;
use crate::ops::control::replay::{ReplayAnswer, ReplayRequest};
use crate::replay::{ReplayView, State};

/// How often the gateway is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// How long the count of what matches is waited for when the end is not.
const COUNT_WITHIN: Duration = Duration::from_secs(8);

/// What the help ends with.
pub const EXAMPLES: &str = "\
What is sent again has its first id and sequence, and says `replayed`. Only what [store] retain_delivered still keeps
can be sent again. A replay goes on over restarts of the gateway; there is one at a time.

T is RFC 3339, a local date and time, or how long ago.

Examples:
  tidegate replay --since 2h
  tidegate replay --since '2026-01-31 06:00' --until '2026-01-31 09:30' --sensor 'zigbee/+/temperature' --wait
  tidegate replay status
  tidegate replay cancel

Exit codes: 0 good, 1 nothing matches, refused, or (with --wait) given up or cancelled, 2 usage.";

/// The arguments.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    /// Events from this time on
    #[arg(long, value_name = "T", value_parser = time, required = true)]
    since: Option<Timestamp>,
    /// Events up to this time
    #[arg(long, value_name = "T", value_parser = time)]
    until: Option<Timestamp>,
    /// A sensor's name, or a pattern with + and #
    #[arg(long, value_name = "PATTERN")]
    sensor: Option<String>,
    /// Wait until all is sent
    #[arg(long)]
    wait: bool,
    /// For scripts
    #[arg(long)]
    json: bool,
    /// The running gateway's control socket (gateway.control_socket)
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How far the replay is, or how the last one ended
    #[command(after_help = EXAMPLES)]
    Status {
        /// The running gateway's control socket (gateway.control_socket)
        #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
        socket: PathBuf,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// End the replay; what has been sent stays sent
    #[command(after_help = EXAMPLES)]
    Cancel {
        /// The running gateway's control socket (gateway.control_socket)
        #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
        socket: PathBuf,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// No gateway answers, or it refuses.
    pub fn execute(self) -> Result<(), Failure> {
        match self.what {
            Some(What::Status { socket, json }) => status(&socket, json),
            Some(What::Cancel { socket, json }) => cancel(&socket, json),
            None => {
                // Without it only a subcommand gets past the parser.
                let since = self.since.ok_or_else(|| Failure::Failed("error: --since is missing".to_owned()))?;
                let request = ReplayRequest {
                    since: since.to_string(),
                    until: self.until.map(|time| time.to_string()),
                    sensor: self.sensor,
                };
                start(&self.socket, &request, self.wait, self.json)
            }
        }
    }
}

/// A point in time from the command line: RFC 3339, a local date and time, or a duration back from now.
fn time(text: &str) -> Result<Timestamp, String> {
    time_at(text, Timestamp::now(), &TimeZone::system())
}

fn time_at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    // A date alone is its midnight.
    if let Ok(local) = text.parse::<civil::DateTime>() {
        return local.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()).map_err(|error| error.to_string());
    }
    let help = "expected a time such as 2026-01-31T06:00:00Z, a local one such as \"2026-01-31 07:00\", or how long ago: 2h, 3d";
    // `M` would be read as months, which nobody means beside `m`.
    let back = humantime::parse_duration(text).ok().filter(|_| !text.contains('M')).ok_or_else(|| help.to_owned())?;
    now.checked_sub(back).map_err(|_| help.to_owned())
}

/// Starts a replay; waits for its end if asked to, else until it is known how many events match.
///
/// # Errors
/// No gateway answers, it refuses, nothing matches, or (when waited for) it does not come to its end.
fn start(socket: &Path, request: &ReplayRequest, wait: bool, json: bool) -> Result<(), Failure> {
    let mut answer: ReplayAnswer = client::post(socket, "/v1/replay", request)?;
    let asked = std::time::Instant::now();
    while answer.replay.as_ref().is_some_and(|replay| {
        if wait { replay.is_active() } else { replay.state == State::Counting && asked.elapsed() < COUNT_WITHIN }
    }) {
        std::thread::sleep(ASK_EVERY);
        answer = client::get(socket, "/v1/replay").map_err(went_away)?;
    }
    let Some(replay) = &answer.replay else { return Err(Failure::Failed(gone())) };
    if json {
        let text = client::to_json(replay)?;
        client::print(|out| writeln!(out, "{text}"))?;
    } else if replay.of != Some(0) {
        client::print(|out| {
            writeln!(out, "{}", started(replay))?;
            missing(&answer, replay).map_or(Ok(()), |note| writeln!(out, "note: {note}"))
        })?;
    }
    match replay.state {
        State::Done if replay.of == Some(0) => Err(Failure::Failed(nothing(&answer, replay))),
        State::Failed => Err(Failure::Failed(format!("error: {}", told(replay)))),
        State::Cancelled if wait => Err(Failure::Failed("error: the replay was cancelled".to_owned())),
        _ => Ok(()),
    }
}

/// Shows the replay under way, or the last one.
///
/// # Errors
/// No gateway answers.
fn status(socket: &Path, json: bool) -> Result<(), Failure> {
    let answer: ReplayAnswer = client::get(socket, "/v1/replay")?;
    if json {
        let text = client::to_json(&answer.replay)?;
        return client::print(|out| writeln!(out, "{text}"));
    }
    client::print(|out| match &answer.replay {
        None => writeln!(out, "no replay since the gateway started"),
        Some(replay) => writeln!(out, "{}\n{}", scope(replay), told(replay)),
    })
}

/// Ends the replay under way.
///
/// # Errors
/// No gateway answers, or there is none.
fn cancel(socket: &Path, json: bool) -> Result<(), Failure> {
    let answer: ReplayAnswer = client::post(socket, "/v1/replay/cancel", &())?;
    if json {
        let text = client::to_json(&answer.replay)?;
        return client::print(|out| writeln!(out, "{text}"));
    }
    client::print(|out| answer.replay.iter().try_for_each(|replay| writeln!(out, "{}", told(replay))))
}

fn scope(replay: &ReplayView) -> String {
    let mut text = format!("events since {}", replay.since);
    if let Some(until) = &replay.until {
        text.push_str(&format!(" until {until}"));
    }
    if let Some(sensor) = &replay.sensor {
        text.push_str(&format!(" of {sensor}"));
    }
    text
}

fn told(replay: &ReplayView) -> String {
    let fault = replay.fault.as_ref().map_or(String::new(), |fault| format!("\n{fault}"));
    format!("{}{fault}", replay.line())
}

fn started(replay: &ReplayView) -> String {
    match (replay.state, replay.of) {
        (State::Sending, Some(of)) => format!(
            "{of} events match and are sent again, behind what is new; `tidegate replay status` shows how far it is"
        ),
        _ => told(replay),
    }
}

/// What a person who finds nothing must know.
fn nothing(answer: &ReplayAnswer, replay: &ReplayView) -> String {
    let why = missing(answer, replay).map_or(String::new(), |why| format!("; {why}"));
    format!("error: 0 events match{why}")
}

/// What may be missing because it is not kept.
fn missing(answer: &ReplayAnswer, replay: &ReplayView) -> Option<String> {
    if answer.retain_delivered == 0 {
        return Some(
            "retain_delivered is off, so delivered events are not kept (set `retain_delivered` in [store] to keep the next ones)"
                .to_owned(),
        );
    }
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let since = time(&replay.since)?;
    let Some(kept_since) = &replay.kept_since else { return Some("no delivered event is kept yet".to_owned()) };
    (time(kept_since)? > since)
        .then(|| format!("the oldest event kept is of {kept_since}; `retain_delivered` sets how many are"))
}

fn went_away(failure: Failure) -> Failure {
    match failure {
        Failure::Failed(text) => Failure::Failed(format!("{text}\n  = help: the replay goes on when the gateway runs")),
        other => other,
    }
}

fn gone() -> String {
    "error: the gateway was started anew meanwhile and has no replay any more: it came to its end".to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    #[test]
    fn a_time_is_absolute_local_or_so_long_ago() {
        let now: Timestamp = "2026-02-01T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        for (text, expected) in [
            ("2026-01-31T06:00:00Z", "2026-01-31T06:00:00Z"),
            ("2026-01-31T06:00:00+02:00", "2026-01-31T04:00:00Z"),
            ("2026-01-31 06:00", "2026-01-31T05:00:00Z"),
            ("2026-01-31T06:00:30", "2026-01-31T05:00:30Z"),
            ("2026-01-31", "2026-01-30T23:00:00Z"),
            ("2h", "2026-02-01T10:00:00Z"),
            ("1h 30m", "2026-02-01T10:30:00Z"),
            ("3d", "2026-01-29T12:00:00Z"),
        ] {
            assert_eq!(time_at(text, now, &zone).unwrap().to_string(), expected, "{text}");
        }
        for wrong in ["", "2", "yesterday", "2026-13-01", "-2h", "999999y"] {
            assert!(time_at(wrong, now, &zone).unwrap_err().contains("2h"), "{wrong}");
        }
    }
}
