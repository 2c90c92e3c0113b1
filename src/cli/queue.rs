//! `tidegate queue`: what waits to be sent upstream: shown, exported, given up.
//!
//! Owns its arguments and how the queue looks in a terminal. Asks in portions, so that neither side is held up by more
//! than one. What is given up is announced by the gateway, portion by portion: breaking off loses no account.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::client;
use crate::cli::events::wanted::{sensor, when};
use crate::cli::events::{self, Place};
use crate::clock::WallTime;
use crate::error::Failure;
use crate::ops::backlog::{Backlog, Short};
use crate::ops::control::queue::{PurgeAnswer, PurgeAsked};
use crate::ops::trail::{self, Query};

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate queue ls
  tidegate queue ls --json --store /mnt/card/var/lib/tidegate
  tidegate queue export --output waiting.jsonl
  tidegate queue purge --before 7d --yes
  tidegate queue purge --sensor 'test/#'

What is purged is never sent. It is announced upstream as lost (tidegate.events.lost.v1, reason `purged`), and counted.
Export it first: the file holds it as CloudEvents. What the gateway had under way upstream at the moment may arrive.

Exit codes: 0 done, 1 failed or not confirmed, 2 usage.";

/// Most sensors shown in a terminal; --json has them all, up to a thousand.
const SENSORS_SHOWN_MAX: usize = 15;

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The running gateway's control socket (gateway.control_socket)
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET, global = true)]
    socket: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Args)]
struct AtRest {
    /// Read this store's directory instead of asking a gateway; changes nothing in it
    #[arg(long, value_name = "PATH", conflicts_with = "socket")]
    store: Option<PathBuf>,
    /// With --store: the gateway's id, for the events' `source` [default: the host name]
    #[arg(long, value_name = "ID", requires = "store")]
    gateway: Option<String>,
}

impl AtRest {
    fn place(&self, socket: PathBuf) -> Result<Place, Failure> {
        match &self.store {
            Some(path) => Place::at_rest(path, self.gateway.clone()),
            None => Ok(Place::Gateway(socket)),
        }
    }
}

#[derive(Debug, Subcommand)]
enum What {
    /// How much waits, since when, of which kinds, and what goes next
    #[command(after_help = EXAMPLES)]
    Ls {
        #[command(flatten)]
        at_rest: AtRest,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// All that waits, oldest first, one CloudEvent in JSON a line
    #[command(after_help = EXAMPLES)]
    Export {
        #[command(flatten)]
        at_rest: AtRest,
        /// Write to this file instead of standard output; replaces what is there
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Give up what waits: never sent, announced as lost
    #[command(after_help = EXAMPLES)]
    Purge {
        /// Only what happened before: a time as in 2026-01-31T07:00:00Z, or how long ago as in 7d
        #[arg(long, value_name = "T", value_parser = when)]
        before: Option<WallTime>,
        /// Only about this sensor, or sensors that match this pattern with + and #
        #[arg(long, value_name = "PATTERN", value_parser = sensor)]
        sensor: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// No gateway answers, there is no store, it was not confirmed, or the output cannot be written.
    pub fn execute(self) -> Result<(), Failure> {
        match self.what {
            What::Ls { at_rest, json } => {
                let backlog = backlog(&mut at_rest.place(self.socket)?)?;
                let text = if json { client::to_json(&backlog)? } else { shown(&backlog) };
                client::print(|out| writeln!(out, "{}", text.trim_end()))
            }
            What::Export { at_rest, output } => {
                let query = Query { waiting: true, ..Query::default() };
                events::export(&mut at_rest.place(self.socket)?, query, output.as_deref())
            }
            What::Purge { before, sensor, yes, json } => {
                let asked = PurgeAsked { before_ns: before.map(|time| time.0), sensor, ..PurgeAsked::default() };
                if !yes {
                    confirm(&asked)?;
                }
                purge(&self.socket, asked, json)
            }
        }
    }
}

/// The whole queue, portion by portion.
fn backlog(place: &mut Place) -> Result<Backlog, Failure> {
    let mut all = Backlog::default();
    loop {
        all.add(place.backlog(all.next.unwrap_or(0))?);
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

fn confirm(asked: &PurgeAsked) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "error: this gives up events for good\n  = help: say so with --yes; `tidegate queue ls` shows what waits"
                .to_owned(),
        ));
    }
    let which = if asked.sensor.is_some() || asked.before_ns.is_some() { "what matches" } else { "everything" };
    let question = format!("This gives up {which} that waits to be sent, for good. Type `purge` to do it: ");
    let mut answer = String::new();
    let asked = write!(std::io::stderr(), "{question}").and_then(|()| std::io::stdin().read_line(&mut answer));
    match asked {
        Ok(_) if answer.trim() == "purge" => Ok(()),
        _ => Err(Failure::Failed("not confirmed: nothing is given up".to_owned())),
    }
}

fn purge(socket: &Path, mut asked: PurgeAsked, json: bool) -> Result<(), Failure> {
    let mut events = 0;
    loop {
        let answer: PurgeAnswer = client::post(socket, "/v1/queue/purge", &asked).inspect_err(|_| {
            if events > 0 {
                let _ = writeln!(std::io::stderr(), "{events} events were given up before this went wrong");
            }
        })?;
        events += answer.events;
        asked.through = Some(answer.through);
        match answer.next {
            Some(next) => asked.from = next,
            None => break,
        }
    }
    client::print(|out| match json {
        true => writeln!(out, "{}", serde_json::json!({ "purged": events })),
        false if events == 0 => writeln!(out, "nothing that waits matches; nothing is given up"),
        false => writeln!(out, "{events} events are given up and announced as lost (reason `purged`)"),
    })
}

fn shown(backlog: &Backlog) -> String {
    if backlog.events == 0 {
        return "nothing waits: the upstream has everything".to_owned();
    }
    let mut lines = vec![format!("{} events wait, {} bytes as JSON", backlog.events, backlog.bytes)];
    for (name, event) in [("oldest", &backlog.oldest), ("newest", &backlog.newest)] {
        lines.extend(event.iter().map(|event| format!("{name}    {}", line(event))));
    }
    let mut counts = |head: &str, counts: Vec<(&str, u64)>| {
        let width = counts.iter().map(|(_, count)| count.to_string().len()).max().unwrap_or(0);
        lines.push(format!("\n{head}"));
        lines.extend(counts.iter().map(|(name, count)| format!("  {count:>width$}  {name}")));
    };
    counts("by severity", backlog.by_severity.iter().map(|(name, &count)| (name.as_str(), count)).collect());
    counts("by type", backlog.by_type.iter().map(|(name, &count)| (trail::short_type(name), count)).collect());
    let mut sensors: Vec<(&str, u64)> = backlog.by_sensor.iter().map(|(name, &count)| (name.as_str(), count)).collect();
    sensors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others = sensors.iter().skip(SENSORS_SHOWN_MAX).map(|(_, count)| count).sum::<u64>() + backlog.other_sensors;
    sensors.truncate(SENSORS_SHOWN_MAX);
    if others > 0 {
        sensors.push(("(others)", others));
    }
    counts("by sensor", sensors);
    lines.push("\nnext to go, oldest first".to_owned());
    lines.extend(backlog.next_to_go.iter().map(|event| format!("  {}", line(event))));
    if backlog.damaged > 0 {
        lines.push(format!("\n{} stored blocks of events are damaged and left out", backlog.damaged));
    }
    lines.join("\n")
}

fn line(event: &Short) -> String {
    let Short { sequence, event_type, sensor, severity, time } = event;
    format!("{time}  {sequence}  {severity}  {}  {sensor}", trail::short_type(event_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portion(sequence: u64, sensor: &str, next: Option<u64>) -> Backlog {
        let short = Short {
            sequence,
            event_type: "tidegate.threshold.exceeded.v1".to_owned(),
            sensor: sensor.to_owned(),
            severity: "high".to_owned(),
            time: "2026-01-02T03:04:05Z".to_owned(),
        };
        Backlog {
            events: 1,
            bytes: 100,
            oldest: Some(short.clone()),
            newest: Some(short.clone()),
            by_severity: [("high".to_owned(), 1)].into(),
            by_type: [(short.event_type.clone(), 1)].into(),
            by_sensor: [(sensor.to_owned(), 1)].into(),
            next_to_go: vec![short],
            next,
            ..Backlog::default()
        }
    }

    #[test]
    fn portions_add_up_and_the_first_is_the_oldest() {
        let mut all = Backlog::default();
        for sequence in 1..=9 {
            all.add(portion(sequence, if sequence % 3 == 0 { "a/b/c" } else { "d/e/f" }, Some(sequence + 1)));
        }
        assert_eq!((all.events, all.bytes, all.next), (9, 900, Some(10)));
        assert_eq!(
            (all.oldest.as_ref().map(|e| e.sequence), all.newest.as_ref().map(|e| e.sequence)),
            (Some(1), Some(9))
        );
        assert_eq!((all.by_sensor["a/b/c"], all.by_sensor["d/e/f"], all.by_severity["high"]), (3, 6, 9));
        assert_eq!(all.next_to_go.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        let text = shown(&all);
        for words in ["9 events wait", "  6  d/e/f\n  3  a/b/c", "9  threshold.exceeded", "next to go"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn an_empty_queue_says_so() {
        assert!(shown(&Backlog::default()).contains("nothing waits"));
    }
}
