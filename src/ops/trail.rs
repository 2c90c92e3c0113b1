//! Looking back over a store's events: which of them are wanted, and where each stands.
//!
//! Owns the question ([`Query`]), one bounded portion of the answer ([`Page`]), and their form in JSON: CloudEvents as
//! they are delivered, with the extension attribute `delivery` ("waiting", "delivered" or "dead"). Beside a running
//! gateway the control socket asks here; for a store at rest the command line does. Reads only, and blocks: never call
//! it from a task. `backlog` is decided when an event is sent and not stored: here it is always false.

use std::collections::BTreeSet;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::clock::{ClockState, WallTime};
use crate::config::model::{Encoding, Severity};
use crate::config::pattern;
use crate::counters::tally::EVENT_TYPES;
use crate::event::{Event, wire};
use crate::store::history::History;

/// Most events in one answer.
pub const EVENTS_MAX: usize = 1_000;

/// Most events that are looked at for one answer: about 20 ms on a PC, half a second on the smallest box.
const LOOKED_AT_MAX: usize = 5_000;

/// Bytes of events after which an answer ends: what a question costs the gateway in memory.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// Events and bytes read from the store at a time.
const PORTION: (usize, usize) = (256, 256 * 1024);

/// Going back in time ends when this many events in a row are older than wanted by [`LATE_MAX_NS`] and more. Events are
/// stored in the order in which they were noticed, which is the order of their times but for late readings and clocks
/// that were not set.
const OLDER_IN_A_ROW: usize = 256;

/// Where an event stands that is to be delivered.
const WAITING: &str = "waiting";

/// One day.
const LATE_MAX_NS: i64 = 86_400 * 1_000_000_000;

/// What is asked for. Without `from` the newest come first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Oldest first, from this sequence number on.
    pub from: Option<u64>,
    /// Newest first, below this sequence number.
    pub before: Option<u64>,
    /// Most events; also bounded by [`EVENTS_MAX`].
    pub limit: Option<usize>,
    /// Not before this time, RFC 3339.
    pub since: Option<String>,
    /// Not after this time, RFC 3339.
    pub until: Option<String>,
    /// About sensors of this name or pattern; `gateway` and `source/<name>` are subjects, too.
    pub sensor: Option<String>,
    /// Of this type: its whole name, or a part that names it (`threshold.exceeded`, `exceeded`).
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// With this id.
    pub id: Option<Uuid>,
    /// Only events that wait for their delivery.
    #[serde(default)]
    pub waiting: bool,
}

/// A portion of the answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    /// CloudEvents, in the order asked for.
    pub events: Vec<Box<RawValue>>,
    /// Where the next portion begins: `from`, or `before`. `None` when there is no more.
    pub next: Option<u64>,
    /// Stored frames that cannot be read, among those looked at.
    pub damaged: u64,
    /// `store.retain_delivered`, bytes, where known.
    pub retain_delivered: Option<u64>,
}

/// Where events stand.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The highest sequence number on stable storage.
    pub last: u64,
    /// Everything up to here is done with.
    pub delivered: u64,
    /// Set aside.
    pub dead: BTreeSet<u64>,
    /// Done with before what is below them: purged, or letters that are gone.
    pub settled: BTreeSet<u64>,
}

impl Standing {
    /// Whether an event waits for its delivery.
    pub fn is_waiting(&self, sequence: u64) -> bool {
        self.of(sequence) == WAITING
    }

    /// Of one event, in a word.
    fn of(&self, sequence: u64) -> &'static str {
        if self.dead.contains(&sequence) {
            "dead"
        } else if sequence <= self.delivered || self.settled.contains(&sequence) {
            "delivered"
        } else {
            WAITING
        }
    }
}

/// A [`Query`] that was understood.
#[derive(Clone, Debug)]
pub struct Filter {
    since: Option<WallTime>,
    until: Option<WallTime>,
    sensor: Option<String>,
    event_type: Option<String>,
    severity: Option<Severity>,
    id: Option<Uuid>,
    waiting: bool,
}

impl Filter {
    /// Understands a query.
    ///
    /// # Errors
    /// In words: what is wrong with it.
    pub fn new(query: &Query) -> Result<Self, String> {
        if query.from.is_some() && query.before.is_some() {
            return Err("`from` and `before` exclude each other".to_owned());
        }
        if let Some(sensor) = &query.sensor {
            pattern::check(sensor).map_err(|(_, why)| format!("`{sensor}` is no sensor or pattern: {why}"))?;
        }
        if let Some(event_type) = &query.event_type {
            check_type(event_type)?;
        }
        Ok(Self {
            since: query.since.as_deref().map(parse_time).transpose()?,
            until: query.until.as_deref().map(parse_time).transpose()?,
            sensor: query.sensor.clone(),
            event_type: query.event_type.clone(),
            severity: query.severity,
            id: query.id,
            waiting: query.waiting,
        })
    }

    fn matches(&self, event: &Event) -> bool {
        self.since.is_none_or(|since| event.time >= since)
            && self.until.is_none_or(|until| event.time <= until)
            && self.severity.is_none_or(|severity| event.severity == severity)
            && self.id.is_none_or(|id| event.id == id)
            && self.event_type.as_deref().is_none_or(|wanted| is_type(event.data.event_type(), wanted))
            && self.sensor.as_deref().is_none_or(|wanted| pattern::matches(wanted, &event.subject))
    }

    /// Whether this event lies so far before what is wanted that others near it do, too.
    fn is_long_before(&self, event: &Event) -> bool {
        event.clock == ClockState::Synchronized
            && self.since.is_some_and(|since| event.time < since.offset(-LATE_MAX_NS))
    }
}

/// Reads a time as it stands in an event.
fn parse_time(text: &str) -> Result<WallTime, String> {
    text.parse().map_err(|_| format!("`{text}` is no time as in 2026-01-31T07:00:00Z"))
}

/// Checks that a type is one of ours.
///
/// # Errors
/// In words, with those there are.
pub fn check_type(wanted: &str) -> Result<(), String> {
    if EVENT_TYPES.iter().any(|full| is_type(full, wanted)) {
        return Ok(());
    }
    let names: Vec<&str> = EVENT_TYPES.iter().map(|full| short_type(full)).collect();
    Err(format!("`{wanted}` is no type of event; there are {}", names.join(", ")))
}

/// A type without what all of ours have.
pub fn short_type(full: &str) -> &str {
    full.strip_prefix("tidegate.").and_then(|rest| rest.strip_suffix(".v1")).unwrap_or(full)
}

fn is_type(full: &str, wanted: &str) -> bool {
    let short = short_type(full);
    wanted == full || wanted == short || short.rsplit('.').next() == Some(wanted)
}

/// One portion of the answer.
///
/// # Errors
/// When the store's files cannot be opened or listed.
pub fn look(
    history: &mut History,
    query: &Query,
    filter: &Filter,
    standing: &Standing,
    gateway: &str,
) -> io::Result<Page> {
    let mut page = Portion {
        limit: query.limit.unwrap_or(EVENTS_MAX).clamp(1, EVENTS_MAX),
        events: Vec::new(),
        bytes: 0,
        looked_at: 0,
        buffer: Vec::new(),
        filter,
        standing,
        gateway,
    };
    let mut next = match query.from {
        Some(from) if query.waiting => Some(from.max(standing.delivered.saturating_add(1))),
        Some(from) => Some(from),
        None => Some(query.before.unwrap_or(u64::MAX).min(standing.last.saturating_add(1))),
    };
    let mut older = 0;
    while let Some(at) = next.filter(|_| !page.is_full()) {
        let events = match query.from {
            Some(_) => history.read(at, PORTION.0, PORTION.1)?,
            None => {
                let mut events = history.read_before(at, PORTION.0, PORTION.1)?;
                events.reverse();
                events
            }
        };
        if events.is_empty() {
            next = None;
        }
        for event in &events {
            if page.is_full() {
                break;
            }
            if query.from.is_some() && event.sequence > standing.last {
                next = None;
                break;
            }
            page.look_at(event);
            next = Some(if query.from.is_some() { event.sequence + 1 } else { event.sequence });
            older = if query.from.is_none() && filter.is_long_before(event) { older + 1 } else { 0 };
            if older >= OLDER_IN_A_ROW {
                next = None;
                break;
            }
        }
    }
    Ok(Page { events: page.events, next, damaged: history.damaged(), retain_delivered: None })
}

/// A portion being put together.
struct Portion<'a> {
    limit: usize,
    events: Vec<Box<RawValue>>,
    bytes: usize,
    looked_at: usize,
    buffer: Vec<u8>,
    filter: &'a Filter,
    standing: &'a Standing,
    gateway: &'a str,
}

impl Portion<'_> {
    fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= ANSWER_BYTES_MAX || self.looked_at >= LOOKED_AT_MAX
    }

    fn look_at(&mut self, event: &Event) {
        self.looked_at += 1;
        if !self.filter.matches(event) || (self.filter.waiting && !self.standing.is_waiting(event.sequence)) {
            return;
        }
        wire::encode(event, self.gateway, Encoding::Json, false, &mut self.buffer);
        // It is an object; one attribute more goes before its end.
        self.buffer.pop();
        let text = String::from_utf8_lossy(&self.buffer);
        let text = format!("{text},\"delivery\":\"{}\"}}", self.standing.of(event.sequence));
        self.bytes += text.len();
        match RawValue::from_string(text) {
            Ok(json) => self.events.push(json),
            Err(error) => tracing::error!(%error, sequence = event.sequence, "an event cannot be shown"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::event::samples;

    fn filter(change: impl FnOnce(&mut Query)) -> Filter {
        let mut query = Query::default();
        change(&mut query);
        Filter::new(&query).unwrap()
    }

    #[test]
    fn every_type_is_found_by_each_of_its_names_and_no_other_is() {
        for full in EVENT_TYPES {
            assert!(is_type(full, full) && is_type(full, short_type(full)));
            assert!(is_type(full, short_type(full).rsplit('.').next().unwrap()));
        }
        assert!(is_type("tidegate.events.lost.v1", "lost") && is_type("tidegate.source.lost.v1", "lost"));
        assert!(!is_type("tidegate.source.lost.v1", "events.lost"));
        let error = check_type("exceded").unwrap_err();
        assert!(error.contains("threshold.exceeded") && error.contains("`exceded`"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_event_is_of_a_known_type(event in samples::any_event()) {
            assert!(check_type(event.data.event_type()).is_ok());
        }
    }

    #[test]
    fn a_filter_takes_what_it_says_and_nothing_else() {
        let load = samples::Load { sensors: 3, rate: 10, between: 2, nanos: true, slow: false, level: false };
        for event in samples::load(load, 40) {
            assert!(filter(|_| {}).matches(&event));
            let time = event.time;
            let at = |nanos| Some(time.offset(nanos).to_string());
            assert!(filter(|query| (query.since, query.until) = (at(0), at(0))).matches(&event));
            assert!(!filter(|query| query.since = at(1)).matches(&event));
            assert!(!filter(|query| query.until = at(-1)).matches(&event));
            assert!(filter(|query| query.severity = Some(event.severity)).matches(&event));
            for other in Severity::ALL.into_iter().filter(|other| *other != event.severity) {
                assert!(!filter(|query| query.severity = Some(other)).matches(&event));
            }
            assert!(filter(|query| query.id = Some(event.id)).matches(&event));
            assert!(!filter(|query| query.id = Some(Uuid::nil())).matches(&event));
            assert!(filter(|query| query.sensor = Some(event.subject.to_string())).matches(&event));
            assert!(filter(|query| query.sensor = Some("#".to_owned())).matches(&event));
            assert!(!filter(|query| query.sensor = Some("no/such/sensor".to_owned())).matches(&event));
            assert!(filter(|query| query.event_type = Some(event.data.event_type().to_owned())).matches(&event));
        }
    }

    #[test]
    fn a_question_that_makes_no_sense_is_refused_in_words() {
        type Change = fn(&mut Query);
        let wrong: [(Change, &str); 4] = [
            (|query| (query.from, query.before) = (Some(1), Some(2)), "exclude each other"),
            (|query| query.since = Some("yesterday".to_owned()), "`yesterday` is no time"),
            (|query| query.sensor = Some("a/#/b".to_owned()), "`a/#/b` is no sensor"),
            (|query| query.event_type = Some("alarm".to_owned()), "`alarm` is no type"),
        ];
        for (change, words) in wrong {
            let mut query = Query::default();
            change(&mut query);
            let error = Filter::new(&query).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
