//! What a machine needs to go on after a restart (P7), as bytes.
//!
//! Owns the format: one version byte ([`VERSION`]), then a CBOR map with one-letter keys. Keys are added within a
//! version, never given another meaning. Empty bytes mean that there is nothing to remember. Boot times hold only
//! within the boot they were written in; in another one a delay starts anew, and a duration goes on by the wall clock
//! where that can be believed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Step;
use super::clock::moved_start;
use super::condition::Rule;
use super::emit::millis;
use super::machine::{Machine, Phase, Shown, Track};
use super::sensor::Last;
use crate::clock::{BootTime, ClockState, Now, WallTime, judge};
use crate::config::model::Severity;
use crate::event::{ConditionKind, Limit};
use crate::reading::{TimeSource, Unit, Value};

/// The version written. One that is not known is not read: the machine starts as normal.
pub(super) const VERSION: u8 = 1;

/// Longest time a gateway can have been off for its wall clock to be believed about it.
const AWAY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// The bytes are damaged or of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// A machine's record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Durable {
    #[serde(rename = "k")]
    pub(super) kind: ConditionKind,
    /// Counts the engine's steps, over restarts too: the order in which records were written.
    #[serde(rename = "o")]
    pub(super) step: u64,
    #[serde(rename = "i")]
    boot_id: Uuid,
    #[serde(rename = "b")]
    boot: BootTime,
    #[serde(rename = "w")]
    wall: WallTime,
    #[serde(rename = "c")]
    clock: ClockState,
    #[serde(rename = "p")]
    phase: StoredPhase,
    #[serde(rename = "r", default, skip_serializing_if = "is_default")]
    run: u32,
    #[serde(rename = "v", default, skip_serializing_if = "is_default")]
    in_violation: bool,
    #[serde(rename = "a", default, skip_serializing_if = "is_default")]
    acknowledged: bool,
    #[serde(rename = "x", default, skip_serializing_if = "is_default")]
    exposed: bool,
    #[serde(rename = "u", default, skip_serializing_if = "is_default")]
    suppressed: bool,
    /// How long it stays shelved from `boot` on, ms.
    #[serde(rename = "h", default, skip_serializing_if = "is_default")]
    shelved_ms: Option<u64>,
    #[serde(rename = "e", default, skip_serializing_if = "is_default")]
    episode: Option<StoredEpisode>,
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    pub(super) measured: Option<f64>,
    #[serde(rename = "t", default, skip_serializing_if = "is_default")]
    pub(super) peak: Option<(Value, f64)>,
    #[serde(rename = "n", default, skip_serializing_if = "is_default")]
    pub(super) count: u64,
    #[serde(rename = "l", default, skip_serializing_if = "is_default")]
    pub(super) last: Option<StoredLast>,
    /// With an episode: what it takes to tell its end when the alarm is no longer configured.
    #[serde(rename = "q", default, skip_serializing_if = "is_default")]
    pub(super) terms: Option<Terms>,
}

/// [`Phase`], with the times of the boot it was written in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum StoredPhase {
    #[serde(rename = "n")]
    Normal,
    #[serde(rename = "p")]
    Pending(BootTime),
    #[serde(rename = "a")]
    Active,
    #[serde(rename = "g")]
    Gone,
    #[serde(rename = "c")]
    Clearing(BootTime),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredEpisode {
    #[serde(rename = "i")]
    id: Uuid,
    #[serde(rename = "s")]
    start: WallTime,
    /// How long it had lasted when written, ms.
    #[serde(rename = "d")]
    lasted_ms: u64,
    #[serde(rename = "r", default, skip_serializing_if = "is_default")]
    repeat_at: Option<BootTime>,
}

/// The last value known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredLast {
    #[serde(rename = "v")]
    value: Value,
    #[serde(rename = "u", default, skip_serializing_if = "is_default")]
    unit: Option<Unit>,
    #[serde(rename = "t")]
    time: WallTime,
    #[serde(rename = "s")]
    time_source: TimeSource,
    #[serde(rename = "f", default, skip_serializing_if = "is_default")]
    retained: bool,
}

/// The alarm's settings as events tell them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Terms {
    #[serde(rename = "l")]
    pub(super) limit: Limit,
    #[serde(rename = "d")]
    pub(super) deadband: f64,
    #[serde(rename = "n")]
    pub(super) on_delay_ms: u64,
    #[serde(rename = "f")]
    pub(super) off_delay_ms: u64,
    #[serde(rename = "s")]
    pub(super) severity: Severity,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<&StoredLast> for Last {
    fn from(stored: &StoredLast) -> Self {
        Self {
            value: stored.value.clone(),
            unit: stored.unit.clone(),
            time: stored.time,
            time_source: stored.time_source,
            attributes: None,
            fresh: !stored.retained,
        }
    }
}

/// The record of a machine; empty when it is plainly normal. A stale alarm's machine never is once it knows its sensor:
/// the record is how a sensor that fell silent is known after a restart.
pub(super) fn encode(machine: &Machine, rule: &Rule, last: Option<&Last>, step: &Step<'_>) -> Vec<u8> {
    let now = step.now;
    let normal = machine.phase == Phase::Normal && machine.shown.is_none();
    if normal && machine.shelved.is_none() && !machine.suppressed && machine.known_since.is_none() {
        return Vec::new();
    }
    let track = machine.track.as_deref();
    let durable = Durable {
        kind: rule.kind,
        step: step.count,
        boot_id: step.boot_id,
        boot: now.boot,
        wall: now.wall,
        clock: now.clock,
        phase: match machine.phase {
            Phase::Normal => StoredPhase::Normal,
            Phase::Pending { since } => StoredPhase::Pending(since),
            Phase::Active { gone: false } => StoredPhase::Active,
            Phase::Active { gone: true } => StoredPhase::Gone,
            Phase::Clearing { since } => StoredPhase::Clearing(since),
        },
        run: machine.run,
        in_violation: machine.in_violation,
        acknowledged: machine.acknowledged,
        exposed: machine.exposed,
        suppressed: machine.suppressed,
        shelved_ms: machine.shelved.map(|until| millis(until.since(now.boot))),
        episode: machine.shown.as_deref().map(|shown| StoredEpisode {
            id: shown.id,
            start: shown.start,
            lasted_ms: millis(shown.lasted(now.boot)),
            repeat_at: shown.repeat_at,
        }),
        measured: machine.measured.filter(|_| !normal),
        peak: track.and_then(|track| track.peak.clone()),
        count: track.map_or(0, |track| track.count),
        last: last.filter(|_| !normal).map(|last| StoredLast {
            value: last.value.clone(),
            unit: last.unit.clone(),
            time: last.time,
            time_source: last.time_source,
            retained: !last.fresh,
        }),
        terms: machine.shown.as_ref().map(|_| Terms {
            limit: rule.limit.clone(),
            deadband: rule.alarm.deadband,
            on_delay_ms: millis(rule.alarm.on_delay),
            off_delay_ms: millis(rule.alarm.off_delay),
            severity: rule.alarm.severity,
        }),
    };
    let mut bytes = vec![VERSION];
    // Writing these types to memory cannot fail; if it did, an empty record is a machine that starts as normal.
    match ciborium::into_writer(&durable, &mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Reads a record that is not empty.
pub(super) fn decode(bytes: &[u8]) -> Result<Durable, Unreadable> {
    match bytes.split_first() {
        Some((&VERSION, cbor)) => ciborium::from_reader(cbor).map_err(|_| Unreadable),
        _ => Err(Unreadable),
    }
}

impl Durable {
    /// How long ago this was written, as far as can be known.
    fn age(&self, now: Now, boot_id: Uuid) -> Option<Duration> {
        if self.boot_id == boot_id {
            return Some(now.boot.since(self.boot));
        }
        let confirmed = self.clock != ClockState::Unsynchronized && now.clock != ClockState::Unsynchronized;
        now.wall.since(self.wall).filter(|age| confirmed && *age <= AWAY_MAX)
    }

    /// Whether the last value known is a text; the last number known is then older.
    pub(super) fn last_is_text(&self) -> bool {
        matches!(self.last, Some(StoredLast { value: Value::Text(_), .. }))
    }

    /// A boot time of the record in this boot; the present, when the record is from another one.
    fn resumed(&self, time: BootTime, now: Now, boot_id: Uuid) -> BootTime {
        if self.boot_id == boot_id { time.min(now.boot) } else { now.boot }
    }

    /// The start of the episode, by the wall clock as it is set now.
    fn start(&self, stored: &StoredEpisode, now: Now, boot_id: Uuid) -> WallTime {
        let (before, after) = (judge::base(self.boot, self.wall), judge::base(now.boot, now.wall));
        if self.boot_id != boot_id || !judge::is_jump(before, after) {
            return stored.start;
        }
        moved_start(stored.start, Duration::from_millis(stored.lasted_ms), self.wall, after.saturating_sub(before))
    }

    /// The episode, going on.
    pub(super) fn resumed_episode(&self, now: Now, boot_id: Uuid) -> Option<Shown> {
        let stored = self.episode.as_ref()?;
        let age = self.age(now, boot_id).unwrap_or_default();
        let elapsed = Duration::from_millis(stored.lasted_ms).saturating_add(age);
        Some(Shown {
            id: stored.id,
            start: self.start(stored, now, boot_id),
            elapsed,
            since: now.boot,
            repeat_at: None,
        })
    }

    /// Puts a machine of the same alarm into the stored state. Its alarm's settings may have changed since.
    pub(super) fn resume(&self, machine: &mut Machine, rule: &Rule, now: Now, boot_id: Uuid) {
        machine.phase = match self.phase {
            StoredPhase::Normal => Phase::Normal,
            StoredPhase::Pending(since) => Phase::Pending { since: self.resumed(since, now, boot_id) },
            StoredPhase::Active => Phase::Active { gone: false },
            StoredPhase::Gone => Phase::Active { gone: true },
            StoredPhase::Clearing(since) => Phase::Clearing { since: self.resumed(since, now, boot_id) },
        };
        if machine.phase == (Phase::Active { gone: true }) && !rule.alarm.latched {
            machine.move_to(Phase::Normal);
        }
        machine.run = self.run;
        machine.in_violation = self.in_violation;
        machine.measured = self.measured;
        machine.acknowledged = self.acknowledged;
        machine.exposed = self.exposed;
        machine.suppressed = self.suppressed;
        machine.shelved = self.shelved_ms.map(|left| {
            let left = Duration::from_millis(left);
            now.boot.after(left.saturating_sub(self.age(now, boot_id).unwrap_or_default()))
        });
        machine.shown = self.resumed_episode(now, boot_id).map(Box::new);
        if let (Some(shown), Some(period)) = (&mut machine.shown, rule.repeat_every) {
            let latest = now.boot.after(period);
            let stored = self.episode.as_ref().and_then(|episode| episode.repeat_at);
            shown.repeat_at = Some(stored.filter(|_| self.boot_id == boot_id).map_or(latest, |at| at.min(latest)));
        }
        if self.count > 0 || self.peak.is_some() {
            machine.track = Some(Box::new(Track { peak: self.peak.clone(), count: self.count }));
        }
        if rule.stale_after().is_some() {
            machine.known_since = Some(now.boot);
        }
        machine.told = machine.state(rule);
        machine.recorded = true;
    }
}
