//! What the gateway shows, put together from the whole state and its changes.
//!
//! Owns the reading side of the state's shape (`ops::look` writes it) and a bounded last hour of each sensor. Pure: no
//! clock, no I/O. Members that this version does not show are passed over, so that a newer gateway can be looked at.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

use crate::config::model::Severity;
use crate::event::{Change, ConditionKind, Limit};
use crate::ops::control::alarms::AlarmLine;
use crate::ops::status::Status;
use crate::reading::Value;

/// Most sensors taken; the gateway shows no more than 2,000.
const SENSORS_MAX: usize = 10_000;

/// The whole state, or what has changed since the message before.
#[derive(Debug, Deserialize)]
pub struct Message {
    kind: Kind,
    epoch: u32,
    boot_ms: u64,
    wall_ms: i64,
    points_max: u32,
    status: Status,
    queue: Queue,
    #[serde(default)]
    links: BTreeMap<String, Link>,
    #[serde(default)]
    engine_waits: bool,
    alarms: Option<Vec<AlarmLine>>,
    #[serde(default)]
    alarms_in_all: usize,
    sensors: Option<Vec<Sensor>>,
    added_from: Option<usize>,
    #[serde(default)]
    added: Vec<Sensor>,
    #[serde(default)]
    changed: Vec<Changed>,
    refused: Option<Vec<Refused>>,
    events: Option<Vec<Told>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Full,
    Delta,
}

/// How fast the queue moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct Queue {
    /// Events delivered in a second.
    pub delivered_per_s: Option<f64>,
    /// Events stored in a second.
    pub stored_per_s: Option<f64>,
    /// Seconds until the queue is empty if it goes on like this.
    pub left_s: Option<u64>,
    /// When the oldest waiting event happened, Unix time in ms.
    pub oldest_ms: Option<i64>,
}

/// What became of a source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Link {
    /// It came back; else it was lost.
    pub up: bool,
    /// When, Unix time in ms.
    pub since_ms: i64,
    /// In words.
    pub reason: String,
}

/// A sensor and its last hour.
#[derive(Clone, Debug, Deserialize)]
pub struct Sensor {
    /// Its name.
    pub name: String,
    /// The last value.
    pub value: Option<Value>,
    /// Its unit.
    pub unit: Option<String>,
    /// When it last spoke, ms of the boot clock; `None` when that was before the gateway looked.
    pub seen_ms: Option<u64>,
    /// The limits that are in force.
    #[serde(default)]
    pub limits: Vec<LimitOf>,
    /// Points, oldest first.
    #[serde(skip)]
    pub points: VecDeque<Point>,
    /// Its last hour has been asked for.
    #[serde(skip)]
    pub asked: bool,
}

/// One limit.
#[derive(Clone, Debug, Deserialize)]
pub struct LimitOf {
    /// What is watched for.
    pub condition: ConditionKind,
    /// The limit.
    pub limit: Limit,
}

/// Slot, min, max, last.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Point(pub u32, pub f32, pub f32, pub f32);

/// Row, value, unit, seen at, newest point.
#[derive(Debug, Deserialize)]
struct Changed(u32, Option<Value>, Option<String>, u64, Option<Point>);

/// Refused input.
#[derive(Clone, Debug, Deserialize)]
pub struct Refused {
    /// The source.
    pub source: String,
    /// The MQTT topic.
    pub topic: Option<String>,
    /// The label of the reason.
    pub reason: String,
    /// What is wrong, in words.
    pub what: String,
    /// How often.
    pub times: u64,
    /// The last time, Unix time in ms.
    pub at_ms: i64,
}

/// An event.
#[derive(Clone, Debug, Deserialize)]
pub struct Told {
    /// When, Unix time in ms.
    pub time_ms: i64,
    /// How urgent.
    pub severity: Severity,
    /// The CloudEvents type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it is about.
    pub subject: String,
    /// An alarm changed.
    pub alarm: Option<AlarmTold>,
    /// Anything else, in words.
    pub text: Option<String>,
}

/// An alarm's change.
#[derive(Clone, Debug, Deserialize)]
pub struct AlarmTold {
    /// Its name.
    pub name: String,
    /// How it changed.
    pub change: Change,
    /// What it watches for.
    pub condition: ConditionKind,
    /// The value that made it.
    pub value: Option<Value>,
    /// Its unit.
    pub unit: Option<String>,
    /// The limit.
    pub limit: Limit,
}

/// The last hour of some rows.
#[derive(Debug, Deserialize)]
pub struct History {
    epoch: u32,
    rows: BTreeMap<u32, Vec<Point>>,
}

/// All that is known.
#[derive(Debug)]
pub struct State {
    /// The rows' numbering.
    pub epoch: u32,
    /// The boot clock when this was said, ms.
    pub boot_ms: u64,
    /// The wall clock when this was said, Unix time in ms.
    pub wall_ms: i64,
    /// Points in an hour.
    pub points_max: u32,
    /// How it all stands.
    pub status: Status,
    /// How fast the queue moves.
    pub queue: Queue,
    /// What became of the sources.
    pub links: BTreeMap<String, Link>,
    /// The engine does not answer.
    pub engine_waits: bool,
    /// The most severe first.
    pub alarms: Vec<AlarmLine>,
    /// How many there are, shown or not.
    pub alarms_in_all: usize,
    /// In the gateway's order.
    pub sensors: Vec<Sensor>,
    /// Their numbers in the order of their names.
    pub by_name: Vec<usize>,
    /// Newest first.
    pub refused: Vec<Refused>,
    /// Newest first.
    pub events: Vec<Told>,
}

impl State {
    /// From a whole state; `None` when it is none.
    pub fn new(message: Message) -> Option<Self> {
        let Message { kind: Kind::Full, epoch, boot_ms, wall_ms, points_max, status, queue, links, .. } = message
        else {
            return None;
        };
        let mut sensors = message.sensors.unwrap_or_default();
        sensors.truncate(SENSORS_MAX);
        let mut state = Self {
            epoch,
            boot_ms,
            wall_ms,
            points_max,
            status,
            queue,
            links,
            engine_waits: message.engine_waits,
            alarms: message.alarms.unwrap_or_default(),
            alarms_in_all: message.alarms_in_all,
            sensors,
            by_name: Vec::new(),
            refused: message.refused.unwrap_or_default(),
            events: message.events.unwrap_or_default(),
        };
        state.sort();
        Some(state)
    }

    /// Takes what has changed. False when it does not follow on what is known: the whole state is needed.
    pub fn apply(&mut self, message: Message) -> bool {
        if message.kind == Kind::Full {
            return match Self::new(message) {
                Some(state) => {
                    *self = state;
                    true
                }
                None => false,
            };
        }
        if message.epoch != self.epoch || message.added_from.is_some_and(|from| from > self.sensors.len()) {
            return false;
        }
        (self.boot_ms, self.wall_ms, self.status) = (message.boot_ms, message.wall_ms, message.status);
        (self.queue, self.links, self.engine_waits) = (message.queue, message.links, message.engine_waits);
        self.alarms_in_all = message.alarms_in_all;
        if let Some(alarms) = message.alarms {
            self.alarms = alarms;
        }
        if let Some(refused) = message.refused {
            self.refused = refused;
        }
        if let Some(events) = message.events {
            self.events = events;
        }
        if let Some(from) = message.added_from {
            // A page may have some of them already.
            let known = self.sensors.len() - from;
            self.sensors.extend(message.added.into_iter().skip(known));
            self.sensors.truncate(SENSORS_MAX);
            self.sort();
        }
        for Changed(row, value, unit, seen_ms, point) in message.changed {
            let Some(sensor) = self.sensors.get_mut(row as usize) else { continue };
            (sensor.value, sensor.unit, sensor.seen_ms) = (value, unit, Some(seen_ms));
            if let Some(point) = point {
                sensor.put(point, self.points_max);
            }
        }
        true
    }

    /// Takes the last hour of some rows, beneath what has been heard since.
    pub fn remember(&mut self, history: History) {
        if history.epoch != self.epoch {
            return;
        }
        for (row, points) in history.rows {
            let Some(sensor) = self.sensors.get_mut(row as usize) else { continue };
            let heard = std::mem::take(&mut sensor.points);
            points.into_iter().chain(heard).for_each(|point| sensor.put(point, self.points_max));
        }
    }

    fn sort(&mut self) {
        self.by_name = (0..self.sensors.len()).collect();
        self.by_name.sort_by(|one, other| self.sensors[*one].name.cmp(&self.sensors[*other].name));
    }
}

impl Sensor {
    /// The newest point takes the place of an earlier one of the same slot.
    fn put(&mut self, point: Point, points_max: u32) {
        match self.points.back_mut() {
            Some(last) if last.0 == point.0 => *last = point,
            Some(last) if last.0 > point.0 => {}
            _ => self.points.push_back(point),
        }
        while self.points.len() > points_max.clamp(1, 10_000) as usize {
            self.points.pop_front();
        }
    }
}
