//! What a run of alarms came to: how often each was raised, for how long, and how short the shortest times were.
//!
//! Owns the counting of episodes by the engine's own events. Bounded by alarms times sensors.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::BootTime;
use crate::event::{Change, Event, EventData};

/// Shortest episodes kept of each alarm.
const SHORTEST_MAX: usize = 5;

/// An episode that is over sooner tells nobody anything they could act on: somebody has yet to read the message.
pub const FLAP: Duration = Duration::from_secs(60);

/// One alarm's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// How often it was raised, on all its sensors.
    pub raised: u64,
    /// How long it was active, on all its sensors together.
    #[serde(rename = "active_ms", serialize_with = "millis")]
    pub active: Duration,
    /// How many of its episodes were over within [`FLAP`].
    pub flaps: u64,
    /// The shortest episodes that ended, shortest first.
    #[serde(rename = "shortest_ms", serialize_with = "all_millis")]
    pub shortest: Vec<Duration>,
    /// On how many sensors it was still active at the recording's end.
    pub active_at_end: u64,
    /// How often it was raised, by sensor.
    pub sensors: BTreeMap<Arc<str>, u64>,
}

fn millis<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn all_millis<S: serde::Serializer>(times: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(times.iter().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

impl Figures {
    fn end(&mut self, lasted: Duration) {
        self.active += lasted;
        self.flaps += u64::from(lasted < FLAP);
        let place = self.shortest.partition_point(|shorter| *shorter <= lasted);
        if place < SHORTEST_MAX {
            self.shortest.insert(place, lasted);
            self.shortest.truncate(SHORTEST_MAX);
        }
    }

    /// The sensor on which it was raised most often.
    pub fn busiest(&self) -> Option<(&str, u64)> {
        self.sensors.iter().max_by_key(|(_, raised)| **raised).map(|(sensor, raised)| (&**sensor, *raised))
    }
}

/// All alarms' figures.
#[derive(Debug, Default)]
pub struct Tally {
    /// By the alarm's name; an alarm that was never raised is not there.
    pub alarms: BTreeMap<Arc<str>, Figures>,
    /// Since when each (alarm, sensor) is active.
    open: HashMap<(Arc<str>, Arc<str>), BootTime>,
}

impl Tally {
    /// Takes note of an event.
    pub fn note(&mut self, event: &Event) {
        let EventData::Alarm(data) = &event.data else { return };
        let key = (Arc::clone(&data.alarm), Arc::clone(&event.subject));
        match data.change {
            Change::Raised | Change::Escalated => {
                let figures = self.alarms.entry(Arc::clone(&data.alarm)).or_default();
                figures.raised += 1;
                *figures.sensors.entry(Arc::clone(&event.subject)).or_default() += 1;
                self.open.insert(key, event.boot);
            }
            Change::Cleared | Change::Superseded => {
                if let Some(since) = self.open.remove(&key) {
                    self.alarms.entry(key.0).or_default().end(event.boot.since(since));
                }
            }
            Change::Repeated => {}
        }
    }

    /// The recording ends: what is active counts up to now, and is not called short.
    pub fn close(&mut self, now: BootTime) {
        for ((alarm, _), since) in self.open.drain() {
            let figures = self.alarms.entry(alarm).or_default();
            figures.active += now.since(since);
            figures.active_at_end += 1;
        }
    }
}
