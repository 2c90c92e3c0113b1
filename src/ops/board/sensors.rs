//! The last hour of every sensor.
//!
//! Owns a row for each of the first [`SENSORS_MAX`] sensors: the last value and a ring of points, one for each
//! [`BUCKET`] in which the sensor spoke. A row is made when its sensor first speaks, and its ring grows with what is in
//! it: a sensor that says something once a minute needs half of what one that never rests needs. 16 bytes a point make
//! at most 1,920 bytes of history a sensor.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::BootTime;
use crate::reading::{Reading, SensorId, Unit, Value};

/// Most sensors shown. A site has tens to some hundreds; this many cost 5 MB at most, beside the gateway's own 8 MB.
pub const SENSORS_MAX: usize = 2_000;

/// The stretch that a point stands for.
pub const BUCKET: Duration = Duration::from_secs(30);

/// Most points of a sensor: an hour. More would not be seen in a picture of this size.
pub const POINTS_MAX: u32 = 120;

/// Points by which a ring grows.
const POINTS_GROWTH: usize = 24;

/// What a sensor said in one bucket. Single precision is plenty for a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Which bucket, counted from the boot.
    pub slot: u32,
    /// The least value.
    pub min: f32,
    /// The greatest value.
    pub max: f32,
    /// The last value.
    pub last: f32,
}

/// One sensor.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: SensorId,
    /// The last value.
    pub value: Option<Value>,
    /// Its unit.
    pub unit: Option<Unit>,
    /// When it last spoke; `None` when that was before this run.
    pub seen: Option<BootTime>,
    /// The last hour, oldest first.
    points: VecDeque<Point>,
    /// It spoke since it was last shown.
    changed: bool,
}

impl Row {
    fn new(name: SensorId) -> Self {
        Self { name, value: None, unit: None, seen: None, points: VecDeque::new(), changed: false }
    }

    /// The points of the last hour, oldest first.
    pub fn points(&self, now: BootTime) -> impl Iterator<Item = Point> + '_ {
        let first = (slot(now) + 1).saturating_sub(POINTS_MAX);
        self.points.iter().copied().filter(move |point| point.slot >= first)
    }

    /// The newest point.
    pub fn newest(&self) -> Option<Point> {
        self.points.back().copied()
    }

    fn say(&mut self, value: f32, slot: u32) {
        if let Some(point) = self.points.back_mut().filter(|point| point.slot == slot) {
            point.min = point.min.min(value);
            point.max = point.max.max(value);
            point.last = value;
            return;
        }
        let first = (slot + 1).saturating_sub(POINTS_MAX);
        while self.points.front().is_some_and(|point| point.slot < first) {
            self.points.pop_front();
        }
        if self.points.len() == self.points.capacity() {
            self.points.reserve_exact(POINTS_GROWTH);
        }
        self.points.push_back(Point { slot, min: value, max: value, last: value });
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sensors {
    by_name: HashMap<SensorId, u32>,
    rows: Vec<Row>,
    /// Another whenever rows have gone, so that nobody takes one for another.
    epoch: u32,
    /// Rows that have changed since the last [`Sensors::take_changed`].
    changed: Vec<u32>,
}

/// Which bucket a time lies in.
pub fn slot(at: BootTime) -> u32 {
    u32::try_from(u128::from(at.0) / BUCKET.as_nanos()).unwrap_or(u32::MAX)
}

impl Sensors {
    /// A sensor has spoken. `is_value`: it is its newest value, and not an older one that came late.
    pub fn note(&mut self, reading: &Reading, is_value: bool, now: BootTime) {
        let index = match self.by_name.get(&reading.sensor) {
            Some(index) => *index,
            None => match self.add(&reading.sensor) {
                Some(index) => index,
                None => return,
            },
        };
        let row = &mut self.rows[index as usize];
        row.seen = Some(now);
        if is_value {
            row.value = Some(reading.value.clone());
            if row.unit != reading.unit {
                row.unit.clone_from(&reading.unit);
            }
            if let Some(number) = reading.value.as_f64() {
                // Beyond single precision is the edge of the picture.
                row.say((number as f32).clamp(f32::MIN, f32::MAX), slot(now));
            }
        }
        if !std::mem::replace(&mut row.changed, true) {
            self.changed.push(index);
        }
    }

    /// A sensor that the engine knows from elsewhere: the configuration, or before a restart.
    pub fn adopt(&mut self, name: &Arc<str>, value: Option<&Value>, unit: Option<&Unit>) {
        if self.by_name.contains_key(&**name) {
            return;
        }
        if let Some(index) = self.add(&SensorId::new(Arc::clone(name))) {
            let row = &mut self.rows[index as usize];
            (row.value, row.unit) = (value.cloned(), unit.cloned());
        }
    }

    /// Forgets the sensors that are not wanted any more. True when there were some.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) -> bool {
        let before = self.rows.len();
        self.rows.retain(|row| wanted(row.name.as_str()));
        if self.rows.len() == before {
            return false;
        }
        self.by_name = (0..).zip(&self.rows).map(|(index, row)| (row.name.clone(), index)).collect();
        self.changed = (0..).zip(&self.rows).filter(|(_, row)| row.changed).map(|(index, _)| index).collect();
        self.epoch += 1;
        true
    }

    /// The rows, in the order in which they came.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Another whenever rows have gone: then their indices mean something else.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The row of a sensor.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// Which rows have changed since this was last asked.
    pub fn take_changed(&mut self) -> Vec<u32> {
        let changed = std::mem::take(&mut self.changed);
        for index in &changed {
            self.rows[*index as usize].changed = false;
        }
        changed
    }

    fn add(&mut self, name: &SensorId) -> Option<u32> {
        if self.rows.len() >= SENSORS_MAX {
            return None;
        }
        let index = u32::try_from(self.rows.len()).ok()?;
        self.by_name.insert(name.clone(), index);
        self.rows.push(Row::new(name.clone()));
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::reading::TimeSource;

    fn reading(name: &str, value: Value) -> Reading {
        Reading {
            sensor: SensorId::new(name),
            value,
            unit: Some("bar".into()),
            time: WallTime(0),
            time_source: TimeSource::Arrival,
            fresh: true,
            attributes: None,
        }
    }

    fn at(buckets: u32) -> BootTime {
        BootTime(0).after(BUCKET * buckets)
    }

    #[test]
    fn a_bucket_keeps_the_least_the_greatest_and_the_last_value() {
        let mut sensors = Sensors::default();
        for value in [5.0, 2.0, 9.0, 4.0] {
            sensors.note(&reading("s/a", Value::Number(value)), true, at(7));
        }
        sensors.note(&reading("s/a", Value::Number(99.0)), false, at(7));
        let row = &sensors.rows()[0];
        assert_eq!(row.newest(), Some(Point { slot: 7, min: 2.0, max: 9.0, last: 4.0 }));
        assert_eq!(row.value, Some(Value::Number(4.0)), "what came late is a sign of life, no more");
    }

    #[test]
    fn a_ring_holds_an_hour_and_no_more_and_gaps_stay_gaps() {
        let mut sensors = Sensors::default();
        for bucket in 0..1_000 {
            sensors.note(&reading("s/a", Value::Number(f64::from(bucket))), true, at(bucket));
        }
        let row = &sensors.rows()[0];
        assert_eq!(row.points(at(999)).count(), POINTS_MAX as usize);
        assert!(row.points.capacity() <= POINTS_MAX as usize + POINTS_GROWTH, "{}", row.points.capacity());
        assert_eq!(row.points(at(999)).next().map(|point| point.slot), Some(880));
        assert_eq!(row.points(at(1_000 + POINTS_MAX)).count(), 0, "all of it is over an hour old");
        sensors.note(&reading("s/a", Value::Number(1.0)), true, at(5_000));
        assert_eq!(sensors.rows()[0].points.len(), 1);
    }

    #[test]
    fn a_text_is_shown_and_not_drawn_and_what_is_too_large_is_at_the_edge() {
        let mut sensors = Sensors::default();
        sensors.note(&reading("s/a", Value::Text("open".into())), true, at(1));
        assert_eq!(sensors.rows()[0].newest(), None);
        sensors.note(&reading("s/a", Value::Number(1e300)), true, at(1));
        assert_eq!(sensors.rows()[0].newest().map(|point| point.max), Some(f32::MAX));
    }

    #[test]
    fn names_that_a_device_makes_up_fill_no_more_than_the_rows_there_are() {
        let mut sensors = Sensors::default();
        for number in 0..SENSORS_MAX + 50 {
            sensors.note(&reading(&format!("s/{number}"), Value::Bool(true)), true, at(1));
        }
        assert_eq!((sensors.rows().len(), sensors.by_name.len()), (SENSORS_MAX, SENSORS_MAX));
    }

    #[test]
    fn what_has_changed_is_told_once_and_survives_that_other_rows_go() {
        let mut sensors = Sensors::default();
        for name in ["a/1", "b/1", "a/2"] {
            sensors.note(&reading(name, Value::Bool(true)), true, at(1));
        }
        assert_eq!(sensors.take_changed(), [0, 1, 2]);
        assert!(sensors.take_changed().is_empty());
        sensors.note(&reading("a/2", Value::Bool(false)), true, at(1));
        sensors.note(&reading("a/2", Value::Bool(true)), true, at(1));
        assert!(sensors.retain(|name| name.starts_with("a/")));
        assert_eq!((sensors.epoch(), sensors.index("a/2"), sensors.index("b/1")), (1, Some(1), None));
        assert_eq!(sensors.take_changed(), [1]);
        assert!(!sensors.retain(|_| true), "none has gone");
    }

    #[test]
    fn a_sensor_known_from_elsewhere_has_a_value_and_no_sign_of_life() {
        let mut sensors = Sensors::default();
        sensors.adopt(&"s/a".into(), Some(&Value::Number(3.0)), None);
        sensors.adopt(&"s/a".into(), None, None);
        assert_eq!((sensors.rows()[0].value.clone(), sensors.rows()[0].seen), (Some(Value::Number(3.0)), None));
    }
}
