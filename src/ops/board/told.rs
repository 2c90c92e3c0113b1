//! The last events, in a few words each.
//!
//! Owns at most [`TOLD_MAX`] entries, without the context an event carries: some 10 KB in all. Of a commit only as many
//! are looked at as can stay.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cut;
use crate::clock::WallTime;
use crate::config::model::Severity;
use crate::event::{Change, ConditionKind, Event, EventData, Limit};
use crate::reading::{Unit, Value};

/// Most entries.
pub const TOLD_MAX: usize = 50;

/// Longest text of an entry, bytes.
const TEXT_BYTES_MAX: usize = 300;

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldEvent {
    /// When it happened.
    pub time: WallTime,
    /// How urgent.
    pub severity: Severity,
    /// The CloudEvents type.
    pub event_type: &'static str,
    /// What it is about.
    pub subject: Arc<str>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An alarm changed.
    Alarm {
        /// Its name.
        alarm: Arc<str>,
        /// What it watches for.
        condition: ConditionKind,
        /// How.
        change: Change,
        /// The value that made it.
        value: Option<Value>,
        /// Its unit.
        unit: Option<Unit>,
        /// The limit.
        limit: Limit,
    },
    /// Anything else, in words.
    Words(String),
}

impl ToldEvent {
    fn new(event: &Event) -> Self {
        let what = match &event.data {
            EventData::Alarm(data) => What::Alarm {
                alarm: Arc::clone(&data.alarm),
                condition: data.condition,
                change: data.change,
                value: data.value.clone(),
                unit: data.unit.clone(),
                limit: data.limit.clone(),
            },
            EventData::GatewayStarted(started) => What::Words({
                let before = match &*started.previous_stop {
                    "first" => "for the first time".to_owned(),
                    stop => format!("the last stop was {stop}"),
                };
                format!("version {}, {} events waiting, {before}", started.version, started.waiting)
            }),
            EventData::EventsLost(lost) => What::Words(format!("{} events, {}", lost.count, lost.reason)),
            EventData::SourceLost(change) | EventData::SourceRestored(change) => {
                What::Words(cut(&change.reason, TEXT_BYTES_MAX).to_owned())
            }
        };
        Self {
            time: event.time,
            severity: event.severity,
            event_type: event.data.event_type(),
            subject: Arc::clone(&event.subject),
            what,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Told {
    /// Oldest first.
    entries: VecDeque<ToldEvent>,
    revision: u64,
}

impl Told {
    /// These are being stored.
    pub fn note(&mut self, events: &[Event]) {
        let newest = &events[events.len().saturating_sub(TOLD_MAX)..];
        let room = TOLD_MAX - newest.len();
        self.entries.drain(..self.entries.len().saturating_sub(room));
        self.entries.extend(newest.iter().map(ToldEvent::new));
        self.revision += 1;
    }

    /// All, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &ToldEvent> {
        self.entries.iter().rev()
    }

    /// Another after each change.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples;

    #[test]
    fn the_newest_stay_and_the_rest_goes() {
        let load = samples::Load { sensors: 3, rate: 10, between: 2, nanos: true, slow: false, level: false };
        let events: Vec<Event> = samples::load(load, 200).into_iter().collect();
        let mut told = Told::default();
        told.note(&events[..30]);
        told.note(&events[30..60]);
        assert_eq!(told.iter().count(), TOLD_MAX);
        assert_eq!(told.iter().next().map(|event| event.time), Some(events[59].time));
        assert_eq!(told.iter().last().map(|event| event.time), Some(events[10].time));
        told.note(&events);
        assert_eq!(told.iter().count(), TOLD_MAX);
        assert_eq!(told.iter().next().map(|event| event.time), Some(events[199].time));
        told.note(&[]);
        assert_eq!(told.iter().count(), TOLD_MAX);
    }
}
