//! `tidegate events`: looks back at events, of the running gateway or of a store's directory.
//!
//! Owns its arguments and how events look in a terminal. Asks in portions, so that neither side holds more than one.

pub(super) mod wanted;
mod words;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cli::client;
use crate::config;
use crate::error::Failure;
use crate::ops::backlog::{self, Backlog};
use crate::ops::trail::{self, EVENTS_MAX, Filter, Page, Query, Standing};
use crate::store::history::History;
use wanted::{Wanted, limit};
use words::{line, parsed, sequence, whole};

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate events list
  tidegate events list --since 2h --sensor 'zigbee/+/temperature' --type exceeded
  tidegate events show 1204
  tidegate events export --since 2026-01-31T06:00:00Z --output events.jsonl
  tidegate events list --store /mnt/card/var/lib/tidegate

Delivered events are there only where `retain_delivered` in [store] keeps them. Each event says whether it is waiting,
delivered, or dead (set aside, since the upstream refused it); in JSON that is the attribute `delivery`.

Exit codes: 0 good, 1 failed or no such event, 2 usage.";

/// Most events that `list` shows; more are for `export`, which need not hold them.
const LIST_MAX: usize = 10_000;

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The running gateway's control socket (gateway.control_socket)
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET, global = true)]
    socket: PathBuf,
    /// Read this store's directory instead of asking a gateway; changes nothing in it
    #[arg(long, value_name = "PATH", global = true, conflicts_with = "socket")]
    store: Option<PathBuf>,
    /// With --store: the gateway's id, for the events' `source` [default: the host name]
    #[arg(long, value_name = "ID", global = true, requires = "store")]
    gateway: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The newest events that match, oldest first, one line each
    #[command(after_help = EXAMPLES)]
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// Most events
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = limit)]
        limit: usize,
        /// One CloudEvent in JSON a line
        #[arg(long)]
        json: bool,
    },
    /// One event with all it says
    #[command(after_help = EXAMPLES)]
    Show {
        /// Its id or its sequence number
        event: String,
        /// As a CloudEvent in JSON
        #[arg(long)]
        json: bool,
    },
    /// All events that match, oldest first, one CloudEvent in JSON a line
    #[command(after_help = EXAMPLES)]
    Export {
        #[command(flatten)]
        wanted: Wanted,
        /// Write to this file instead of standard output; replaces what is there
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// No gateway answers, there is no store, nothing of that name, or the output cannot be written.
    pub fn execute(self) -> Result<(), Failure> {
        let mut place = match &self.store {
            Some(path) => Place::at_rest(path, self.gateway.clone())?,
            None => Place::Gateway(self.socket),
        };
        match self.what {
            What::List { wanted, limit, json } => list(&mut place, wanted.query(), limit, json),
            What::Show { event, json } => show(&mut place, &event, json),
            What::Export { wanted, output } => export(&mut place, wanted.query(), output.as_deref()),
        }
    }
}

/// Where the events are.
pub(super) enum Place {
    Gateway(PathBuf),
    AtRest { path: PathBuf, history: Box<History>, standing: Standing, gateway: String },
}

impl Place {
    pub(super) fn at_rest(path: &Path, gateway: Option<String>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| cannot_read(path, &error);
        let mut history = Box::new(History::open(path).map_err(failed)?);
        let ledger = history.ledger().map_err(failed)?;
        let standing =
            Standing { last: u64::MAX - 1, delivered: ledger.delivered, dead: ledger.dead, settled: ledger.settled };
        let gateway = gateway.unwrap_or_else(config::host_name);
        Ok(Self::AtRest { path: path.to_owned(), history, standing, gateway })
    }

    fn page(&mut self, query: &Query) -> Result<Page, Failure> {
        match self {
            Self::Gateway(socket) => client::get(socket, &route(query)?),
            Self::AtRest { path, history, standing, gateway } => {
                let filter = Filter::new(query).map_err(|what| Failure::Usage(format!("error: {what}")))?;
                trail::look(history, query, &filter, standing, gateway).map_err(|error| cannot_read(path, &error))
            }
        }
    }

    /// A portion of what waits, counted.
    pub(super) fn backlog(&mut self, from: u64) -> Result<Backlog, Failure> {
        match self {
            Self::Gateway(socket) => client::get(socket, &format!("/v1/queue?from={from}")),
            Self::AtRest { path, history, standing, gateway } => {
                backlog::look(history, from, standing, gateway).map_err(|error| cannot_read(path, &error))
            }
        }
    }

    /// Goes through the whole answer; `take` says whether it wants more.
    fn pages(
        &mut self,
        mut query: Query,
        mut take: impl FnMut(&mut Query, Vec<Box<RawValue>>) -> Result<bool, Failure>,
    ) -> Result<Page, Failure> {
        loop {
            let mut page = self.page(&query)?;
            let wants_more = take(&mut query, std::mem::take(&mut page.events))?;
            let Some(next) = page.next.filter(|_| wants_more) else { return Ok(page) };
            match query.from {
                Some(_) => query.from = Some(next),
                None => query.before = Some(next),
            }
        }
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    let shown = path.display();
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => "name the directory that `path` in [store] names: it holds `queue`",
        std::io::ErrorKind::PermissionDenied => "only root and the user tidegate runs as may read it: use sudo",
        _ => "see `dmesg` for what is wrong with the disk",
    };
    Failure::Failed(format!("error: no store can be read in {shown}: {error}\n  = help: {help}"))
}

/// The query as the control socket takes it.
fn route(query: &Query) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::Failed(format!("error: {error}"));
    let mut route = "/v1/events".to_owned();
    let mut mark = '?';
    if let Value::Object(parts) = serde_json::to_value(query).map_err(failed)? {
        for (name, value) in parts {
            let text = match value {
                Value::Null | Value::Bool(false) => continue,
                Value::String(text) => text,
                other => other.to_string(),
            };
            route.push(mark);
            route.push_str(&name);
            route.push('=');
            for byte in text.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => route.push(byte.into()),
                    _ => route.push_str(&format!("%{byte:02X}")),
                }
            }
            mark = '&';
        }
    }
    Ok(route)
}

fn list(place: &mut Place, query: Query, limit: usize, json: bool) -> Result<(), Failure> {
    let mut found = VecDeque::new();
    let query = Query { limit: Some(limit.min(EVENTS_MAX)), ..query };
    let end = place.pages(query, |query, events| {
        events.into_iter().for_each(|event| found.push_front(event));
        query.limit = Some((limit - found.len().min(limit)).clamp(1, EVENTS_MAX));
        Ok(found.len() < limit)
    })?;
    if found.is_empty() {
        tell_none(&end);
    }
    tell_damage(&end);
    client::print(|out| {
        found.iter().try_for_each(|event| match json {
            true => writeln!(out, "{event}"),
            false => writeln!(out, "{}", line(&parsed(event))),
        })
    })
}

fn show(place: &mut Place, wanted: &str, json: bool) -> Result<(), Failure> {
    let query = if let Ok(sequence) = wanted.parse::<u64>() {
        Query { from: Some(sequence), limit: Some(1), ..Query::default() }
    } else if let Ok(id) = wanted.parse::<Uuid>() {
        Query { id: Some(id), limit: Some(1), ..Query::default() }
    } else {
        let text = format!(
            "error: `{wanted}` is no event's id or sequence number\n  = help: `tidegate events list` shows both, with --json"
        );
        return Err(Failure::Usage(text));
    };
    let by_number = query.from;
    let mut found = None;
    let end = place.pages(query, |_, events| {
        found = events.into_iter().next();
        Ok(found.is_none())
    })?;
    let event = found.map(|event| (parsed(&event), event));
    let event = event.filter(|(event, _)| by_number.is_none_or(|number| sequence(event) == number));
    let Some((event, text)) = event else {
        tell_damage(&end);
        let help = none_help(&end).unwrap_or("`tidegate events list` shows what there is");
        return Err(Failure::Failed(format!("error: there is no event `{wanted}`\n  = help: {help}")));
    };
    client::print(|out| if json { writeln!(out, "{text}") } else { write!(out, "{}", whole(&event)) })
}

pub(super) fn export(place: &mut Place, query: Query, output: Option<&Path>) -> Result<(), Failure> {
    let query = Query { from: Some(0), ..query };
    let mut count = 0_u64;
    let mut write = |out: &mut dyn Write| -> Result<Page, Failure> {
        let failed = |error: std::io::Error| {
            let shown = output.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
            Failure::Failed(format!("error: {shown} cannot be written: {error}"))
        };
        let mut is_closed = false;
        let end = place.pages(query.clone(), |_, events| {
            count += events.len() as u64;
            match events.iter().try_for_each(|event| writeln!(out, "{event}")) {
                // `| head` has seen enough.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => is_closed = true,
                result => result.map_err(failed)?,
            }
            Ok(!is_closed)
        })?;
        if !is_closed {
            out.flush().map_err(failed)?;
        }
        Ok(end)
    };
    let end = match output {
        Some(path) => {
            let shown = path.display();
            let file = File::create(path)
                .map_err(|error| Failure::Failed(format!("error: {shown} cannot be made: {error}")))?;
            let end = write(&mut BufWriter::new(file))?;
            // For people; a script looks at the exit code.
            let _ = writeln!(std::io::stderr(), "{count} events written to {shown}");
            end
        }
        None => write(&mut BufWriter::new(std::io::stdout().lock()))?,
    };
    if count == 0 {
        tell_none(&end);
    }
    tell_damage(&end);
    Ok(())
}

fn tell_none(end: &Page) {
    let mut text = "no event matches".to_owned();
    if let Some(help) = none_help(end) {
        text.push_str("\n  = help: ");
        text.push_str(help);
    }
    // Beside the output, which scripts read.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Why there may be less than was hoped for.
fn none_help(end: &Page) -> Option<&'static str> {
    match end.retain_delivered {
        Some(0) => Some(
            "delivered events are not kept: only those that wait can be shown. \
             Set `retain_delivered = \"64MiB\"` in [store] to keep some from now on",
        ),
        None => Some("delivered events are there only where `retain_delivered` in [store] keeps them"),
        Some(_) => None,
    }
}

fn tell_damage(end: &Page) {
    if end.damaged > 0 {
        let text = format!("warning: {} stored blocks of events are damaged and left out", end.damaged);
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::config::model::Severity;

    #[test]
    fn a_query_survives_its_way_through_a_url() {
        let query = Query {
            before: Some(7),
            sensor: Some("a b/+/é#&=%".to_owned()),
            event_type: Some("exceeded".to_owned()),
            severity: Some(Severity::High),
            id: Some(Uuid::max()),
            ..Query::default()
        };
        let route = route(&query).unwrap();
        let uri: axum::http::Uri = route.parse().unwrap();
        let axum::extract::Query(back) = axum::extract::Query::<Query>::try_from_uri(&uri).unwrap();
        assert_eq!(back, query, "{route}");
    }
}
