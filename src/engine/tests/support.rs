//! Short words for the tests: alarms, readings, times, and an engine that records what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::clock::{BootTime, ClockState, Now, WallTime};
use crate::config::model::{Alarm, Condition};
use crate::engine::{Accepted, Engine, Output, Settings};
use crate::event::{AlarmData, AlarmRecord, Change, Event, EventData};
use crate::reading::{Reading, SensorId, TimeSource, Value};

/// The wall clock at boot time 0: Monday 2024-01-01T00:00:00Z.
pub(crate) const WALL_ZERO_S: i64 = 1_704_067_200;

/// Milliseconds after boot, the wall clock in step.
pub(crate) fn now(millis: u64) -> Now {
    Now {
        boot: BootTime(millis * 1_000_000),
        wall: WallTime::from_millis(WALL_ZERO_S * 1000 + millis as i64),
        clock: ClockState::Synchronized,
    }
}

/// An alarm with the defaults of the configuration.
pub(crate) fn alarm(name: &str, sensors: &str, condition: Condition) -> Alarm {
    Alarm::plain(name, sensors, condition)
}

pub(crate) fn high(limit: f64) -> Alarm {
    alarm("high", "s/+/t", Condition::High(limit))
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A reading that came in now without a time of its own.
pub(crate) fn reading(sensor: &str, value: impl Into<Number>, now: Now) -> Reading {
    Reading {
        sensor: SensorId::new(sensor),
        value: value.into().0,
        unit: Some("°C".into()),
        time: now.wall,
        time_source: TimeSource::Arrival,
        fresh: true,
        attributes: None,
    }
}

/// Anything a test writes as a value.
pub(crate) struct Number(pub(crate) Value);

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self(Value::Number(number))
    }
}

impl From<&str> for Number {
    fn from(text: &str) -> Self {
        Self(Value::Text(text.into()))
    }
}

impl From<bool> for Number {
    fn from(state: bool) -> Self {
        Self(Value::Bool(state))
    }
}

pub(crate) const SENSOR: &str = "s/a/t";

/// An engine, the store's view of its records, and the time in milliseconds.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) records: BTreeMap<(Arc<str>, Arc<str>), AlarmRecord>,
    pub(crate) out: Output,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) now: Now,
    pub(crate) boot_id: u128,
}

impl Rig {
    pub(crate) fn new(alarms: &[Alarm]) -> Self {
        Self::started(alarms, now(0), 1)
    }

    pub(crate) fn started(alarms: &[Alarm], now: Now, boot_id: u128) -> Self {
        Self {
            engine: Engine::new(settings(now, boot_id), alarms),
            records: BTreeMap::new(),
            out: Output::default(),
            alarms: alarms.to_vec(),
            now,
            boot_id,
        }
    }

    /// Moves both clocks to so many milliseconds after boot, without telling the engine.
    pub(crate) fn set(&mut self, millis: u64) -> &mut Self {
        self.now = Now { clock: self.now.clock, ..now(millis) };
        self
    }

    /// Lets time pass up to so many seconds after boot, calling the engine exactly when it asks for it.
    pub(crate) fn pass(&mut self, until_s: u64) -> Vec<String> {
        let until = now(until_s * 1000);
        let mut said = Vec::new();
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= until.boot) {
            let boot = deadline.max(self.now.boot);
            let passed = i64::try_from(boot.since(self.now.boot).as_nanos()).unwrap();
            self.now = Now { boot, wall: self.now.wall.offset(passed), clock: self.now.clock };
            self.engine.on_deadline(self.now, &mut self.out);
            said.extend(self.said());
        }
        let passed = i64::try_from(until.boot.since(self.now.boot).as_nanos()).unwrap();
        self.now = Now { boot: until.boot, wall: self.now.wall.offset(passed), clock: self.now.clock };
        said
    }

    /// A reading of [`SENSOR`] after so many seconds, the engine having been called at its deadlines.
    pub(crate) fn read(&mut self, at_s: u64, value: impl Into<Number>) -> Vec<String> {
        self.read_of(SENSOR, at_s, value)
    }

    pub(crate) fn read_of(&mut self, sensor: &str, at_s: u64, value: impl Into<Number>) -> Vec<String> {
        let mut said = self.pass(at_s);
        assert_eq!(self.feed(&reading(sensor, value, self.now)), Accepted::Evaluated);
        said.extend(self.said());
        said
    }

    /// A reading as it is, now.
    pub(crate) fn feed(&mut self, reading: &Reading) -> Accepted {
        self.engine.on_reading(reading, self.now, &mut self.out)
    }

    /// What was said since the last call, as "alarm change" lines; keeps the records.
    pub(crate) fn said(&mut self) -> Vec<String> {
        self.events().iter().map(|event| format!("{} {:?}", told(event).alarm, told(event).change)).collect()
    }

    /// The events since the last call; keeps the records.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        for record in self.out.records.drain(..) {
            let key = (Arc::clone(&record.alarm), Arc::clone(&record.sensor));
            if record.state.is_empty() {
                self.records.remove(&key);
            } else {
                self.records.insert(key, record);
            }
        }
        std::mem::take(&mut self.out.events)
    }

    /// The events of a reading after so many seconds.
    pub(crate) fn events_of(&mut self, at_s: u64, value: impl Into<Number>) -> Vec<Event> {
        assert_eq!(self.pass(at_s), Vec::<String>::new(), "nothing in between");
        self.feed(&reading(SENSOR, value, self.now));
        self.events()
    }

    /// Ends the process and starts another one from the records, with these alarms, after some seconds.
    pub(crate) fn restart(&mut self, away_s: u64, other_boot: bool, alarms: &[Alarm]) -> Vec<String> {
        self.events();
        let wall = self.now.wall.offset(away_s as i64 * 1_000_000_000);
        let boot = if other_boot { BootTime(5_000_000_000) } else { self.now.boot.after(seconds(away_s)) };
        self.boot_id += u128::from(other_boot);
        self.now = Now { boot, wall, clock: self.now.clock };
        self.alarms = alarms.to_vec();
        self.engine = Engine::new(settings(self.now, self.boot_id), alarms);
        let records: Vec<AlarmRecord> = self.records.values().cloned().collect();
        self.engine.restore(&records, self.now, &mut self.out);
        self.said()
    }

    pub(crate) fn reload(&mut self, alarms: &[Alarm]) -> Vec<String> {
        self.alarms = alarms.to_vec();
        self.engine.reconfigure(alarms, TimeZone::UTC, self.now, &mut self.out);
        self.said()
    }
}

pub(crate) fn settings(started: Now, boot_id: u128) -> Settings {
    Settings {
        boot_id: Uuid::from_u128(boot_id),
        started,
        time_zone: TimeZone::UTC,
        seed: boot_id as u64 ^ started.boot.0 ^ started.wall.0 as u64,
        sensors_max: 100,
    }
}

pub(crate) fn told(event: &Event) -> &AlarmData {
    match &event.data {
        EventData::Alarm(data) => data,
        other => panic!("not an alarm: {other:?}"),
    }
}

pub(crate) fn raises(change: Change) -> bool {
    matches!(change, Change::Raised | Change::Escalated)
}

pub(crate) fn clears(change: Change) -> bool {
    matches!(change, Change::Cleared | Change::Superseded)
}

/// Nothing said.
pub(crate) const SILENCE: [&str; 0] = [];
