//! What becomes of acknowledgements on the way through the pipeline.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use jiff::tz::TimeZone;

use super::*;
use crate::ack::Ack;
use crate::config::model::Condition;
use crate::engine::Settings;
use crate::event::AlarmRecord;
use crate::reading::{SensorId, TimeSource, Value};
use crate::store::handle::{Request, StoreStatus};

/// Raises above 8, 10 readings of context, `on_delay` as given.
fn too_warm(on_delay: Duration) -> Alarm {
    Alarm { on_delay, ..Alarm::plain("too-warm", "s/+/t", Condition::High(8.0)) }
}

/// What came of a row of messages, one reading each and numbered from 1.
struct Outcome {
    /// Acknowledged without the store.
    at_once: Vec<u64>,
    /// Events and alarm states handed to the store after the start.
    events: Vec<Event>,
    records: Vec<AlarmRecord>,
    /// Acknowledged when these are stored.
    stored: Vec<u64>,
}

/// Sends the values through a pipeline whose store takes everything and writes nothing.
fn pass(alarm: &Alarm, values: &[f64]) -> Outcome {
    let clock = Arc::new(SystemClock::new());
    let now = clock.now();
    let settings =
        Settings { boot_id: clock.boot_id, started: now, time_zone: TimeZone::UTC, seed: 1, sensors_max: 10 };
    let (status, shown) = watch::channel(StoreStatus::default());
    let (store, requests) = StoreHandle::new(shown);
    let (messages, inbox) = mpsc::channel(values.len());
    let (_commands, commands) = mpsc::channel(1);
    let (_rules, rules) = watch::channel(Rules { alarms: vec![alarm.clone()], time_zone: TimeZone::UTC });
    let (released, mut acks) = mpsc::unbounded_channel();
    for (value, token) in values.iter().zip(1..) {
        let reading = Reading {
            sensor: SensorId::new("s/a/t"),
            value: Value::Number(*value),
            unit: None,
            time: now.wall,
            time_source: TimeSource::Arrival,
            fresh: true,
            attributes: None,
        };
        let ack = Some(Ack::new(released.clone(), token));
        messages.try_send(FromSource::Readings { readings: vec![reading], arrived: now.boot, ack }).ok().unwrap();
    }
    drop(messages);
    let engine = Engine::new(settings, std::slice::from_ref(alarm));
    let counters = Arc::<Counters>::default();
    let recorder = Arc::new(Recorder::new(Arc::clone(&counters)));
    let (_hooks, none) = tokio::sync::watch::channel(Arc::from([]));
    let (hooks, _runner) = crate::ops::hooks::channel(none, Arc::from("gw"), Arc::clone(&counters));
    let first = Output::default();
    let pipeline = Pipeline { engine, recorder, store, clock, counters, inbox, commands, rules, first, hooks };
    let started = GatewayStarted { version: String::new(), previous_stop: "first".to_owned(), waiting: 0 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(pipeline.run(started)).unwrap();
    drop(status);

    let mut taken = || std::iter::from_fn(|| acks.try_recv().ok()).collect::<Vec<_>>();
    let mut outcome = Outcome { at_once: taken(), events: Vec::new(), records: Vec::new(), stored: Vec::new() };
    while let Ok(request) = requests.try_recv() {
        let Request::Commit(commit, _) = request else { panic!("{request:?}") };
        outcome.events.extend(commit.events);
        outcome.records.extend(commit.records);
        commit.acks.into_iter().for_each(Ack::release);
    }
    outcome.events.retain(|event| !matches!(event.data, EventData::GatewayStarted(_)));
    outcome.stored = taken();
    outcome
}

#[test]
fn a_message_that_caused_something_is_acknowledged_by_the_store_and_one_that_caused_nothing_at_once() {
    let outcome = pass(&too_warm(Duration::ZERO), &[1.0, 9.0, 9.5, 2.0, 3.0, 10.0]);
    assert_eq!(outcome.events.len(), 3, "raised, cleared, raised");
    assert_eq!(outcome.stored, [2, 4, 6]);
    assert_eq!(outcome.at_once, [1, 3, 5], "they are context, a higher peak and a sign of life, all in memory");
}

#[test]
fn a_message_that_only_changed_an_alarms_stored_state_waits_for_the_store_too() {
    let outcome = pass(&too_warm(Duration::from_secs(3600)), &[1.0, 9.0, 9.5]);
    assert!(outcome.events.is_empty(), "the delay has just begun");
    assert_eq!(outcome.records.len(), 1, "and that is remembered");
    assert_eq!((outcome.at_once, outcome.stored), (vec![1, 3], vec![2]));
}
