//! Two configurations beside each other: what is different, and what it would have come to.
//!
//! Owns the report. Alarms are told apart by their names; one is changed when any of its settings is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::tally::{Figures, Tally};
use crate::config::model::Alarm;
use crate::config::pattern;
use crate::reading::SensorId;

/// How an alarm of the new configuration stands to the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// There is nothing to compare with.
    Alone,
    /// The same settings.
    Same,
    /// Other settings under the same name.
    Changed,
    /// Only in the new one.
    Added,
    /// Only in the one in force.
    Removed,
}

/// One alarm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its name.
    pub alarm: Arc<str>,
    /// What became of it.
    pub standing: Standing,
    /// How many sensors of the recording it watches, under the new configuration (the old one, for a removed alarm).
    pub watches: usize,
    /// What the new configuration would have done.
    pub new: Option<Figures>,
    /// What the one in force would have done.
    pub running: Option<Figures>,
}

impl Line {
    /// Whether the two would have done different things.
    pub fn differs(&self) -> bool {
        self.standing != Standing::Alone && self.new != self.running
    }
}

/// One configuration's part: its alarms, and what came of them.
pub struct Side<'a> {
    /// As configured.
    pub alarms: &'a [Alarm],
    /// What came of them.
    pub tally: Tally,
}

/// The lines: the new configuration's alarms in their order, then those that are gone.
pub fn lines(new: Side<'_>, running: Option<Side<'_>>, sensors: &[SensorId]) -> Vec<Line> {
    let compared = running.is_some();
    let (before, mut old) = match running {
        Some(side) => (side.alarms, side.tally.alarms),
        None => (&[][..], BTreeMap::new()),
    };
    let mut fresh = new.tally.alarms;
    let mut lines: Vec<Line> = Vec::with_capacity(new.alarms.len());
    for alarm in new.alarms {
        let was = before.iter().find(|was| was.name == alarm.name);
        let standing = match was {
            _ if !compared => Standing::Alone,
            None => Standing::Added,
            Some(was) if was == alarm => Standing::Same,
            Some(_) => Standing::Changed,
        };
        lines.push(Line {
            alarm: Arc::clone(&alarm.name),
            standing,
            watches: watches(alarm, sensors),
            new: Some(fresh.remove(&alarm.name).unwrap_or_default()),
            running: was.map(|was| old.remove(&was.name).unwrap_or_default()),
        });
    }
    let gone = before.iter().filter(|was| !new.alarms.iter().any(|alarm| alarm.name == was.name));
    lines.extend(gone.map(|was| Line {
        alarm: Arc::clone(&was.name),
        standing: Standing::Removed,
        watches: watches(was, sensors),
        new: None,
        running: Some(old.remove(&was.name).unwrap_or_default()),
    }));
    lines
}

/// How many of the sensors an alarm's patterns match.
fn watches(alarm: &Alarm, sensors: &[SensorId]) -> usize {
    let watched = |sensor: &&SensorId| alarm.sensors.iter().any(|wanted| pattern::matches(wanted, sensor.as_str()));
    sensors.iter().filter(watched).count()
}
