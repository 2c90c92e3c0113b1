//! What the gateway counts. One shared set of atomic counters, written by the parts, read by status and logs.
//!
//! Owns the names and meanings. Counting never blocks and never fails; a counter only grows, a gauge says so.

pub mod histogram;
pub mod sizes;
pub mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Event;
use crate::ops::board::Board;
use crate::record::RecordCounters;
use crate::tap::Tap;
use histogram::Histogram;
use sizes::Sizes;
use tally::{EventTally, LossReason, LossTally};

/// A number that only grows, or (where its docs say gauge) the last value set.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why bytes from a device were refused. Bounded: these are all the reasons there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reject {
    /// Nothing in it.
    Empty,
    /// Longer than the configured line, frame or packet.
    TooLong,
    /// Not UTF-8 where text was expected.
    NotUtf8,
    /// Does not follow its format (JSON syntax, nesting, CSV column count), or bytes between the frames.
    Malformed,
    /// Its checksum does not fit, or a required one is missing.
    Checksum,
    /// The end of a frame that began before the port was opened. No fault.
    Partial,
    /// The device itself says that the value is not valid (NMEA status V, overloaded scale).
    NotValid,
    /// A field that is named in the configuration is not there, or no field at all is.
    MissingField,
    /// A value that is no finite number and not in the map.
    NotANumber,
    /// Outside `valid_range`.
    OutOfRange,
    /// Makes no valid sensor name.
    BadName,
    /// More sensors than the gateway keeps.
    TooManySensors,
    /// More readings in one message than are taken.
    TooManyReadings,
    /// Taken from a device that cannot wait while the pipeline was full.
    Overrun,
    /// The device answered with an error of its own instead of values.
    DeviceError,
}

impl Reject {
    /// The label in status and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too-long",
            Self::NotUtf8 => "not-utf8",
            Self::Malformed => "malformed",
            Self::Checksum => "checksum",
            Self::Partial => "partial",
            Self::NotValid => "not-valid",
            Self::MissingField => "missing-field",
            Self::NotANumber => "not-a-number",
            Self::OutOfRange => "out-of-range",
            Self::BadName => "bad-name",
            Self::TooManySensors => "too-many-sensors",
            Self::TooManyReadings => "too-many-readings",
            Self::Overrun => "overrun",
            Self::DeviceError => "device-error",
        }
    }
}

/// One source's counts.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Messages, lines or frames received.
    pub messages: Counter,
    /// Readings decoded from them.
    pub readings: Counter,
    /// Connections or port openings that succeeded.
    pub connects: Counter,
    /// Connections or port openings that failed or ended.
    pub disconnects: Counter,
    /// Gauge: 1 while connected or open.
    pub up: Counter,
    /// Gauge: while the engine counts the source as lost, since when by the boot clock, ns; else 0.
    pub lost_since: Counter,
    /// Values passed over as configured sentinels.
    pub ignored: Counter,
    /// Requests to Sparkplug nodes for their birth.
    pub rebirths: Counter,
    /// Where what it receives is shown to whoever looks on.
    pub tap: Arc<Tap>,
    /// Refused input by reason.
    rejects: Mutex<BTreeMap<Reject, u64>>,
    /// Why it is not there.
    pub lost_reason: Note,
}

/// The last word of a part on what is wrong with it; empty while nothing is.
#[derive(Debug, Default)]
pub struct Note(Mutex<String>);

impl Note {
    /// What is wrong now.
    pub fn set(&self, text: &str) {
        let mut note = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        text.clone_into(&mut note);
    }

    /// Nothing is.
    pub fn clear(&self) {
        self.set("");
    }

    /// What it is; `None` while nothing is.
    pub fn get(&self) -> Option<String> {
        let note = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (!note.is_empty()).then(|| note.clone())
    }
}

impl SourceCounters {
    /// Counts one refusal.
    pub fn reject(&self, reason: Reject) {
        let mut rejects = self.rejects.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *rejects.entry(reason).or_default() += 1;
    }

    /// All refusals so far.
    pub fn rejects(&self) -> BTreeMap<Reject, u64> {
        self.rejects.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// By source name; entries stay when a reload removes the source.
    sources: Mutex<BTreeMap<Arc<str>, Arc<SourceCounters>>>,
    /// Events sent with times that were repaired once the wall clock was known.
    pub events_repaired: Counter,
    /// Readings that the engine has evaluated.
    pub readings: Counter,
    /// Readings older than the newest of their sensor: kept out of the state machines.
    pub readings_late: Counter,
    /// Readings of sensors beyond the bound of sensors.
    pub readings_refused: Counter,
    /// Events made (alarms and the gateway's own).
    pub events_raised: Counter,
    /// Events on stable storage.
    pub events_stored: Counter,
    /// The same by type and severity.
    pub events_stored_by: EventTally,
    /// From the arrival of a reading to the sync of the event it caused.
    pub stored_after: Histogram,
    /// From an event's making to its acknowledgement by the upstream broker, outages included; the side lane's events
    /// are not counted.
    pub delivered_after: Histogram,
    /// Events acknowledged by the upstream broker, dead letters sent again included.
    pub events_delivered: Counter,
    /// Events published, repeats included.
    pub events_published: Counter,
    /// Events published through the side lane (replayed, or tried again), repeats included; not in the two above.
    pub side_published: Counter,
    /// Events of the side lane acknowledged by the upstream broker.
    pub side_delivered: Counter,
    /// Events of the side lane that cannot be sent, or that the broker does not take.
    pub side_refused: Counter,
    /// Events evicted by quota, salvaged around, dropped or pushed out as dead letters, or otherwise lost; each is
    /// announced, dead letters when they become such.
    pub events_lost: Counter,
    /// The same by reason.
    pub events_lost_by: LossTally,
    /// Events set aside because the upstream refuses them.
    pub events_dead: Counter,
    /// Gauge: events stored and not yet delivered.
    pub store_events: Counter,
    /// Gauge: bytes on disk under the store's path.
    pub store_bytes: Counter,
    /// Commits.
    pub store_commits: Counter,
    /// fdatasync calls.
    pub store_syncs: Counter,
    /// Store operations that failed.
    pub store_errors: Counter,
    /// Gauge: bytes of delivered events that are kept (`retain_delivered`).
    pub retained_bytes: Counter,
    /// Kept generations of delivered events that were dropped for newer ones, for room, or by a lower limit.
    pub retained_dropped: Counter,
    /// Gauge: 1 while the store refuses more (`when_full = "reject"`, or a full disk).
    pub store_full: Counter,
    /// Gauge: 1 while connected upstream.
    pub upstream_up: Counter,
    /// Connections tried upstream.
    pub upstream_attempts: Counter,
    /// Connections made upstream.
    pub upstream_connects: Counter,
    /// Connections upstream that failed or ended.
    pub upstream_disconnects: Counter,
    /// Gauge: events in flight upstream.
    pub upstream_inflight: Counter,
    /// Gauge: when the first certificate that the upstream depends on ends, Unix time in seconds; 0 where none is known.
    pub certificate_expires_s: Counter,
    /// Events that the broker took although nobody subscribes to their topic (MQTT 5 only).
    pub upstream_unmatched: Counter,
    /// Events that the broker refused in its acknowledgement (MQTT 5 only), each time it did.
    pub upstream_refusals: Counter,
    /// Events sent again, the side lane's included: the connection ended before they were acknowledged, or the broker
    /// refused them for now. Each time counts.
    pub upstream_retries: Counter,
    /// Events in each message that held several, repeats included.
    pub upstream_batches: Sizes,
    /// Payload bytes of what was published for events, as encoded, repeats and the side lane included.
    pub upstream_encoded_bytes: Counter,
    /// The same as sent: after compression, if there is any.
    pub upstream_payload_bytes: Counter,
    /// Programs run because of an alarm's event (`on_event`), those included that failed.
    pub hooks_run: Counter,
    /// Programs that could not be started, took too long or ended with an error.
    pub hooks_failed: Counter,
    /// Programs not run because too many were waiting.
    pub hooks_dropped: Counter,
    /// Turns of the engine's loop: the watchdog's evidence.
    pub engine_turns: Counter,
    /// Turns of the store's loop: the watchdog's evidence.
    pub store_turns: Counter,
    /// Of the recorder of readings.
    pub record: RecordCounters,
    /// Not a count: where those that look on (`tidegate tap`) are, for all who count.
    pub tap: Arc<Tap>,
    /// What was seen last, for the local page.
    pub board: Board,
}

impl Counters {
    /// Counts events that are on stable storage.
    pub fn stored<'e>(&self, events: impl IntoIterator<Item = &'e Event>) {
        let mut count = 0;
        for event in events {
            self.events_stored_by.count(event);
            count += 1;
        }
        self.events_stored.add(count);
    }

    /// Counts events that are given up.
    pub fn lost(&self, reason: LossReason, count: u64) {
        self.events_lost.add(count);
        self.events_lost_by.add(reason, count);
    }

    /// The counters of a source, made at first use.
    pub fn source(&self, name: &Arc<str>) -> Arc<SourceCounters> {
        let mut sources = self.sources.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = || Arc::new(SourceCounters { tap: Arc::clone(&self.tap), ..SourceCounters::default() });
        Arc::clone(sources.entry(Arc::clone(name)).or_insert_with(new))
    }

    /// All sources seen so far.
    pub fn sources(&self) -> Vec<(Arc<str>, Arc<SourceCounters>)> {
        let sources = self.sources.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sources.iter().map(|(name, counters)| (Arc::clone(name), Arc::clone(counters))).collect()
    }
}
