//! What waits for its delivery, counted: how much, how old, about what, and what goes next.
//!
//! Owns the summary, how it is made in bounded portions, and how portions are put together. Reads only, and blocks:
//! never call it from a task. Beside a running gateway the control socket asks here; for a store at rest the command
//! line does.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::config::model::Encoding;
use crate::event::wire;
use crate::ops::trail::Standing;
use crate::store::history::History;

/// Most events looked at for one portion: a tenth of a second on a PC, a second or two on the smallest box.
const LOOKED_AT_MAX: usize = 20_000;

/// Events and bytes read from the store at a time.
const PORTION: (usize, usize) = (256, 256 * 1024);

/// Most sensors counted by name. What more there are is counted together.
const SENSORS_MAX: usize = 1_000;

/// Events shown as next to go.
const NEXT_MAX: usize = 5;

/// One event, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Short {
    /// Its sequence number.
    pub sequence: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it is about.
    pub sensor: String,
    /// How urgent.
    pub severity: String,
    /// When it happened, RFC 3339.
    pub time: String,
}

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Events.
    pub events: u64,
    /// Bytes they have as JSON on the wire.
    pub bytes: u64,
    /// The first in order of sequence numbers.
    pub oldest: Option<Short>,
    /// The last.
    pub newest: Option<Short>,
    /// Events by severity.
    pub by_severity: BTreeMap<String, u64>,
    /// Events by type.
    pub by_type: BTreeMap<String, u64>,
    /// Events by sensor (or other subject), at most a thousand.
    pub by_sensor: BTreeMap<String, u64>,
    /// Events about further sensors.
    pub other_sensors: u64,
    /// The first few in sequence order.
    pub next_to_go: Vec<Short>,
    /// Stored frames that cannot be read, among those looked at.
    pub damaged: u64,
    /// Where the next portion begins; `None` when there is no more.
    pub next: Option<u64>,
}

impl Backlog {
    /// Takes in the portion after this one.
    pub fn add(&mut self, later: Self) {
        self.events += later.events;
        self.bytes += later.bytes;
        self.oldest = self.oldest.take().or(later.oldest);
        self.newest = later.newest.or(self.newest.take());
        for (mine, theirs) in [(&mut self.by_severity, later.by_severity), (&mut self.by_type, later.by_type)] {
            theirs.into_iter().for_each(|(name, count)| *mine.entry(name).or_default() += count);
        }
        self.other_sensors += later.other_sensors;
        later.by_sensor.into_iter().for_each(|(name, count)| self.count_sensor(&name, count));
        self.next_to_go.extend(later.next_to_go);
        self.next_to_go.truncate(NEXT_MAX);
        self.damaged += later.damaged;
        self.next = later.next;
    }

    fn count_sensor(&mut self, name: &str, count: u64) {
        if let Some(counted) = self.by_sensor.get_mut(name) {
            *counted += count;
        } else if self.by_sensor.len() < SENSORS_MAX {
            self.by_sensor.insert(name.to_owned(), count);
        } else {
            self.other_sensors += count;
        }
    }
}

/// One portion, from the sequence number `from` on.
///
/// # Errors
/// When the store's files cannot be opened or listed.
pub fn look(history: &mut History, from: u64, standing: &Standing, gateway: &str) -> io::Result<Backlog> {
    let mut backlog = Backlog::default();
    let mut buffer = Vec::new();
    let mut looked_at = 0;
    let mut at = from.max(standing.delivered.saturating_add(1));
    loop {
        let events = history.read(at, PORTION.0, PORTION.1)?;
        let Some(last) = events.last().map(|event| event.sequence) else { break };
        for event in events.iter().filter(|event| event.sequence <= standing.last) {
            looked_at += 1;
            if !standing.is_waiting(event.sequence) {
                continue;
            }
            wire::encode(event, gateway, Encoding::Json, false, &mut buffer);
            let short = || Short {
                sequence: event.sequence,
                event_type: event.data.event_type().to_owned(),
                sensor: event.subject.to_string(),
                severity: event.severity.as_str().to_owned(),
                time: event.time.to_string(),
            };
            backlog.events += 1;
            backlog.bytes += buffer.len() as u64;
            if backlog.oldest.is_none() {
                backlog.oldest = Some(short());
            }
            backlog.newest = Some(short());
            if backlog.next_to_go.len() < NEXT_MAX {
                backlog.next_to_go.push(short());
            }
            *backlog.by_severity.entry(event.severity.as_str().to_owned()).or_default() += 1;
            *backlog.by_type.entry(event.data.event_type().to_owned()).or_default() += 1;
            backlog.count_sensor(&event.subject, 1);
        }
        at = last + 1;
        if last >= standing.last {
            break;
        }
        if looked_at >= LOOKED_AT_MAX {
            backlog.next = Some(at);
            break;
        }
    }
    backlog.damaged = history.damaged();
    Ok(backlog)
}
