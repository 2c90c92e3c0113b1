//! An event: what the gateway has to say, before and after it is written in any encoding.
//!
//! Owns the types. Encodings live beside: `event/wire.rs` (CloudEvents JSON and CBOR) and `event/stored.rs` (the
//! versioned bytes in the store). Never does I/O and never reads a clock.

pub mod rfc3339;
#[cfg(test)]
pub(crate) mod samples;
pub mod stored;
pub mod wire;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{BootTime, ClockState, WallTime};
use crate::config::model::Severity;
use crate::reading::{Attributes, TimeSource, Unit, Value};

/// One thing that happened. Immutable once it has a sequence number.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Position in this gateway's one gap-free series, from 1; 0 until the store has given it.
    pub sequence: u64,
    /// UUIDv7; the same whenever the event is sent again.
    pub id: Uuid,
    /// What it is about: the sensor's name, or `gateway`, or `source/<name>`. Also the partition key.
    pub subject: Arc<str>,
    /// When it happened.
    pub time: WallTime,
    /// The same by the boot clock, to repair `time` once the wall clock is known.
    pub boot: BootTime,
    /// The boot that `boot` belongs to.
    pub boot_id: Uuid,
    /// What `time` is worth.
    pub clock: ClockState,
    /// How urgent.
    pub severity: Severity,
    /// The episode it belongs to: the id of the event that opened it.
    pub correlation: Option<Uuid>,
    /// What happened.
    pub data: EventData,
}

/// What happened, by type.
#[derive(Clone, Debug, PartialEq)]
pub enum EventData {
    /// `tidegate.threshold.exceeded.v1`, `.cleared.v1`, `.repeated.v1`; `tidegate.sensor.stale.v1`, `.recovered.v1`.
    Alarm(Box<AlarmData>),
    /// `tidegate.gateway.started.v1`
    GatewayStarted(GatewayStarted),
    /// `tidegate.events.lost.v1`
    EventsLost(EventsLost),
    /// `tidegate.source.lost.v1`
    SourceLost(SourceChange),
    /// `tidegate.source.restored.v1`
    SourceRestored(SourceChange),
}

impl EventData {
    /// The CloudEvents type.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Alarm(alarm) => match (alarm.condition, alarm.change) {
                (ConditionKind::Stale, Change::Raised | Change::Escalated | Change::Repeated) => {
                    "tidegate.sensor.stale.v1"
                }
                (ConditionKind::Stale, Change::Cleared | Change::Superseded) => "tidegate.sensor.recovered.v1",
                (_, Change::Raised | Change::Escalated) => "tidegate.threshold.exceeded.v1",
                (_, Change::Cleared | Change::Superseded) => "tidegate.threshold.cleared.v1",
                (_, Change::Repeated) => "tidegate.threshold.repeated.v1",
            },
            Self::GatewayStarted(_) => "tidegate.gateway.started.v1",
            Self::EventsLost(_) => "tidegate.events.lost.v1",
            Self::SourceLost(_) => "tidegate.source.lost.v1",
            Self::SourceRestored(_) => "tidegate.source.restored.v1",
        }
    }
}

/// Why an alarm event was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Became active, opening an episode.
    Raised,
    /// Became active in place of a less (or, on the way back, more) severe alarm of its group, same episode.
    Escalated,
    /// Still active (`repeat_every`).
    Repeated,
    /// Became inactive, closing the episode.
    Cleared,
    /// Became inactive because another alarm of its group took over; the episode goes on there.
    Superseded,
}

/// What kind of condition an alarm has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "as in the configuration")]
pub enum ConditionKind {
    High,
    Low,
    Outside,
    Equals,
    NotEquals,
    RateAbove,
    Deviation,
    Stale,
}

/// The limit of an alarm as it was at the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limit {
    /// high, low (value), rate-above (units per second), deviation (distance), stale (seconds).
    Number(f64),
    /// outside: low and high.
    Range([f64; 2]),
    /// equals, not-equals.
    Values(Vec<Value>),
}

/// The state of one alarm on one sensor, as told to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmState {
    /// Nothing to say.
    Normal,
    /// In violation, within the on delay or short of samples.
    Pending,
    /// Active.
    Active,
    /// Active, back inside, within the off delay.
    Clearing,
}

/// A value at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub time: WallTime,
    /// What.
    pub value: Value,
}

/// The whole story of an alarm's change, so that a consumer needs to look nothing up.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmData {
    /// The alarm's name.
    pub alarm: Arc<str>,
    /// Its description, where it has one.
    pub description: Option<Arc<str>>,
    /// What it watches for.
    pub condition: ConditionKind,
    /// Why this event was made.
    pub change: Change,
    /// The value that made it; for a stale sensor the last one, if there ever was one.
    pub value: Option<Value>,
    /// What was compared with the limit where that is not `value`: the slope (units/s), the deviation, the silence (s).
    pub measured: Option<f64>,
    /// The value's unit.
    pub unit: Option<Unit>,
    /// The limit.
    pub limit: Limit,
    /// The deadband.
    pub deadband: f64,
    /// The on delay, ms.
    pub on_delay_ms: u64,
    /// The off delay, ms.
    pub off_delay_ms: u64,
    /// State before.
    pub before: AlarmState,
    /// State after.
    pub after: AlarmState,
    /// The episode so far.
    pub episode: Episode,
    /// When the value was measured; `None` without a value.
    pub value_time: Option<WallTime>,
    /// Whose clock that is.
    pub time_source: TimeSource,
    /// The readings before the crossing, oldest first; not in clears and repeats.
    pub context: Vec<Sample>,
    /// Payload fields the source was told to carry.
    pub attributes: Option<Attributes>,
}

/// One stretch of an alarm being active.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// When it became active.
    pub start: WallTime,
    /// The value furthest beyond the limit.
    pub peak: Option<Value>,
    /// How long it has lasted, by the boot clock, ms.
    pub duration_ms: u64,
    /// Readings in violation so far.
    pub count: u64,
}

/// `tidegate.gateway.started.v1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayStarted {
    /// Our version.
    pub version: String,
    /// How the last run ended: "clean", "unclean" or "first".
    pub previous_stop: String,
    /// Events found waiting in the store.
    pub waiting: u64,
}

/// `tidegate.events.lost.v1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventsLost {
    /// "evicted", "salvaged", "quarantined", "dead-letter", "purged"; "expired" from earlier versions.
    pub reason: String,
    /// How many events, exactly where known; else the most it can have been.
    pub count: u64,
    /// First sequence number of the range they lie in.
    pub first_sequence: u64,
    /// Last sequence number of the range they lie in.
    pub last_sequence: u64,
    /// False when the range also holds events that were kept or delivered, or may never have existed.
    pub whole_range: bool,
}

/// `tidegate.source.lost.v1`, `tidegate.source.restored.v1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceChange {
    /// The source's name.
    pub source: String,
    /// In words: what happened and, where known, what to do.
    pub reason: String,
    /// How long it was away, ms; 0 for a loss.
    pub away_ms: u64,
}

/// The stored state of one alarm on one sensor: what it takes to go on after a restart (P7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// The alarm's name.
    pub alarm: Arc<str>,
    /// The sensor's name.
    pub sensor: Arc<str>,
    /// The engine's own record, opaque to the store; empty means the machine is gone and the record can be forgotten.
    pub state: Vec<u8>,
}
