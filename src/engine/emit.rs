//! From a change of a machine to the event that tells it.
//!
//! Owns filling in the event, so that a consumer needs to look nothing up. Never changes a machine.

use std::sync::Arc;

use uuid::Uuid;

use super::condition::Rule;
use super::machine::{Machine, Shown};
use super::record::Durable;
use super::sensor::{Last, Sensor};
use super::{Output, Step};
use crate::clock::Now;
use crate::event::{AlarmData, AlarmState, Change, Episode, Event, EventData};
use crate::reading::TimeSource;

/// A change to tell.
pub(super) struct Telling<'a> {
    /// Its id; for a raise also the episode's.
    pub(super) id: Uuid,
    pub(super) change: Change,
    /// The episode it belongs to.
    pub(super) shown: &'a Shown,
    pub(super) after: AlarmState,
}

/// Tells a change of a machine of this sensor.
pub(super) fn tell(sensor: &Sensor, machine: &Machine, rule: &Rule, telling: Telling<'_>, step: &mut Step<'_>) {
    let last = sensor.last_for(rule);
    let context = match telling.change {
        Change::Raised | Change::Escalated => sensor.context(rule.alarm.context),
        Change::Repeated | Change::Cleared | Change::Superseded => Vec::new(),
    };
    let track = machine.track.as_deref();
    let data = AlarmData {
        alarm: Arc::clone(&rule.alarm.name),
        description: rule.alarm.description.clone(),
        condition: rule.kind,
        change: telling.change,
        value: last.map(|last| last.value.clone()),
        measured: machine.measured,
        unit: last.and_then(|last| last.unit.clone()),
        limit: rule.limit.clone(),
        deadband: rule.alarm.deadband,
        on_delay_ms: millis(rule.alarm.on_delay),
        off_delay_ms: millis(rule.alarm.off_delay),
        before: machine.told,
        after: telling.after,
        episode: Episode {
            start: telling.shown.start,
            peak: track.and_then(|track| track.peak.as_ref()).map(|(peak, _)| peak.clone()),
            duration_ms: millis(telling.shown.lasted(step.now.boot)),
            count: track.map_or(0, |track| track.count),
        },
        value_time: last.map(|last| last.time),
        time_source: last.map_or(TimeSource::Arrival, |last| last.time_source),
        context,
        attributes: last.and_then(|last| last.attributes.clone()),
    };
    step.out.events.push(Event {
        sequence: 0,
        id: telling.id,
        subject: Arc::clone(&sensor.name),
        time: step.at,
        boot: step.now.boot,
        boot_id: step.boot_id,
        clock: step.now.clock,
        severity: rule.alarm.severity,
        correlation: Some(telling.shown.id),
        data: EventData::Alarm(Box::new(data)),
    });
}

/// Closes the episode of a stored machine whose alarm is no longer configured, from what its record knows.
pub(super) fn tell_orphan(
    names: (&Arc<str>, &Arc<str>),
    durable: &Durable,
    ids: (Uuid, Uuid),
    now: Now,
    out: &mut Output,
) {
    let (Some(shown), Some(terms)) = (durable.resumed_episode(now, ids.1), &durable.terms) else { return };
    let (alarm, sensor) = names;
    let last: Option<Last> = durable.last.as_ref().map(Last::from);
    let data = AlarmData {
        alarm: Arc::clone(alarm),
        description: None,
        condition: durable.kind,
        change: Change::Cleared,
        value: last.as_ref().map(|last| last.value.clone()),
        measured: durable.measured,
        unit: last.as_ref().and_then(|last| last.unit.clone()),
        limit: terms.limit.clone(),
        deadband: terms.deadband,
        on_delay_ms: terms.on_delay_ms,
        off_delay_ms: terms.off_delay_ms,
        before: AlarmState::Active,
        after: AlarmState::Normal,
        episode: Episode {
            start: shown.start,
            peak: durable.peak.as_ref().map(|(peak, _)| peak.clone()),
            duration_ms: millis(shown.lasted(now.boot)),
            count: durable.count,
        },
        value_time: last.as_ref().map(|last| last.time),
        time_source: last.as_ref().map_or(TimeSource::Arrival, |last| last.time_source),
        context: Vec::new(),
        attributes: None,
    };
    out.events.push(Event {
        sequence: 0,
        id: ids.0,
        subject: Arc::clone(sensor),
        time: now.wall,
        boot: now.boot,
        boot_id: ids.1,
        clock: now.clock,
        severity: terms.severity,
        correlation: Some(shown.id),
        data: EventData::Alarm(Box::new(data)),
    });
}

/// Whole milliseconds, saturating.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
