//! What becomes of messages and their acknowledgements on the way through the pipeline, and what one commit holds.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::VecDeque;

use jiff::tz::TimeZone;

use super::*;
use crate::ack::Ack;
use crate::config::model::Condition;
use crate::engine::Settings;
use crate::event::AlarmRecord;
use crate::reading::{SensorId, TimeSource, Value};
use crate::source::way::Room;
use crate::store::handle::{COMMITS_UNDER_WAY_MAX, Request, StoreStatus};
use crate::store::inbox::{Nothing, Receiver};

/// Raises above 8, 10 readings of context, `on_delay` as given.
fn too_warm(on_delay: Duration) -> Alarm {
    Alarm { on_delay, ..Alarm::plain("too-warm", "s/+/t", Condition::High(8.0)) }
}

/// A pipeline, and what it is fed through.
struct Rig {
    pipeline: Pipeline,
    requests: Receiver<Request>,
    commands: mpsc::Sender<Command>,
    rules: watch::Sender<Rules>,
    acks: mpsc::UnboundedReceiver<u64>,
    _ends: Box<dyn std::any::Any>,
}

impl Rig {
    /// One whose sources have sent these messages, numbered from 1, and have ended.
    fn new(alarm: &Alarm, sent: &[Vec<f64>]) -> Self {
        let clock = Arc::new(SystemClock::new());
        let now = clock.now();
        let settings =
            Settings { boot_id: clock.boot_id, started: now, time_zone: TimeZone::UTC, seed: 1, sensors_max: 10 };
        let (status, shown) = watch::channel(StoreStatus::default());
        let (store, requests) = StoreHandle::new(shown);
        let (messages, inbox) = mpsc::channel(sent.len());
        let (to_commands, asked) = mpsc::channel(1);
        let (to_rules, changed) = watch::channel(Rules { alarms: vec![alarm.clone()], time_zone: TimeZone::UTC });
        let (released, acks) = mpsc::unbounded_channel();
        for (values, token) in sent.iter().zip(1..) {
            let reading = |value: &f64| Reading {
                sensor: SensorId::new("s/a/t"),
                value: Value::Number(*value),
                unit: None,
                time: now.wall,
                time_source: TimeSource::Arrival,
                fresh: true,
                attributes: None,
            };
            let (readings, ack) = (values.iter().map(reading).collect(), Some(Ack::new(released.clone(), token)));
            messages
                .try_send(FromSource::Readings { readings, arrived: now.boot, ack, room: Room::default() })
                .ok()
                .unwrap();
        }
        let engine = Engine::new(settings, std::slice::from_ref(alarm));
        let counters = Arc::<Counters>::default();
        let recorder = Arc::new(Recorder::new(Arc::clone(&counters)));
        let (programs, none) = watch::channel(Arc::from([]));
        let (hooks, runner) = crate::ops::hooks::channel(none, Arc::from("gw"), Arc::clone(&counters));
        let first = Output::default();
        let (commands, rules) = (asked, changed);
        let pipeline = Pipeline { engine, recorder, store, clock, counters, inbox, commands, rules, first, hooks };
        let (commands, rules) = (to_commands, to_rules);
        Self { pipeline, requests, commands, rules, acks, _ends: Box::new((status, programs, runner)) }
    }

    /// Runs it to its end. The store takes everything, writes nothing, and keeps each commit's permit until the pipeline
    /// can go no further without it. `look` is shown each commit, and what has been acknowledged before it. Returns what
    /// was acknowledged after the last.
    fn run(self, mut look: impl FnMut(Commit, &mut dyn FnMut() -> Vec<u64>)) -> Vec<u64> {
        let Self { pipeline, requests, commands, rules, mut acks, _ends } = self;
        let mut taken = || std::iter::from_fn(|| acks.try_recv().ok()).collect::<Vec<_>>();
        let started = GatewayStarted { version: String::new(), previous_stop: "first".to_owned(), waiting: 0 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let ended = tokio::spawn(pipeline.run(started));
            let mut permits = VecDeque::new();
            loop {
                match requests.try_recv() {
                    Ok(Request::Commit(commit, permit)) => {
                        permits.push_back(permit);
                        look(commit, &mut taken);
                    }
                    Ok(other) => panic!("{other:?}"),
                    Err(Nothing::Ever) => break,
                    Err(Nothing::Yet) if permits.len() == COMMITS_UNDER_WAY_MAX => drop(permits.pop_front()),
                    Err(Nothing::Yet) => {}
                }
                tokio::task::yield_now().await;
            }
            ended.await.unwrap().unwrap();
        });
        drop((commands, rules));
        taken()
    }
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

/// Sends the values through a pipeline.
fn pass(alarm: &Alarm, values: &[f64]) -> Outcome {
    let messages: Vec<Vec<f64>> = values.iter().map(|value| vec![*value]).collect();
    let mut outcome = Outcome { at_once: Vec::new(), events: Vec::new(), records: Vec::new(), stored: Vec::new() };
    let after = Rig::new(alarm, &messages).run(|commit, taken| {
        outcome.at_once.extend(taken());
        outcome.events.extend(commit.events);
        outcome.records.extend(commit.records);
        commit.acks.into_iter().for_each(Ack::release);
        outcome.stored.extend(taken());
    });
    outcome.at_once.extend(after);
    outcome.events.retain(|event| !matches!(event.data, EventData::GatewayStarted(_)));
    outcome
}

/// What one commit holds.
struct Part {
    events: usize,
    arrivals: usize,
    items: usize,
    /// The messages that are acknowledged with it.
    acks: Vec<u64>,
    /// Those that were acknowledged before it and by no commit.
    at_once: Vec<u64>,
}

/// Runs to the end; the start is not among the parts, and `look` is called with the number of those before each. The
/// last holds nothing but what was acknowledged after all.
fn parts(rig: Rig, mut look: impl FnMut(usize)) -> Vec<Part> {
    let mut parts = Vec::new();
    let at_once = rig.run(|commit, taken| {
        look(parts.len());
        let at_once = taken();
        let (events, arrivals) = (commit.events.len(), commit.arrivals.len());
        let items = events + commit.records.len();
        commit.acks.into_iter().for_each(Ack::release);
        parts.push(Part { events, arrivals, items, acks: taken(), at_once });
    });
    parts.remove(0);
    parts.push(Part { events: 0, arrivals: 0, items: 0, acks: Vec::new(), at_once });
    parts
}

/// A message whose every reading crosses the limit, the last one upwards.
fn to_and_fro(readings: usize) -> Vec<f64> {
    [1.0, 9.0].into_iter().cycle().take(readings).collect()
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

#[test]
fn a_burst_of_long_messages_is_cut_into_commits_that_acknowledge_each_message_with_its_last_event() {
    let parts = parts(Rig::new(&too_warm(Duration::ZERO), &vec![to_and_fro(1_000); 100]), |_| {});
    // All of them cross but the very first, which finds everything normal.
    assert_eq!(parts.iter().map(|part| part.events).sum::<usize>(), 100 * 1_000 - 1);
    let (mut events, mut acknowledged) = (0, 0);
    for part in &parts {
        assert!(part.items < COMMIT_ITEMS_ENOUGH + 4, "{} events and states in one commit", part.items);
        assert!(part.at_once.is_empty(), "all of them caused something");
        assert_eq!(part.arrivals, part.events, "each event knows when its reading arrived");
        events += part.events;
        let whole = (events as u64 + 1) / 1_000;
        assert_eq!(part.acks, (acknowledged + 1..=whole).collect::<Vec<_>>(), "after {events} events");
        acknowledged = whole;
    }
    assert_eq!(acknowledged, 100);
}

#[test]
fn a_message_that_is_quiet_after_a_cut_is_acknowledged_after_the_commit_that_holds_its_events() {
    let long = [to_and_fro(COMMIT_ITEMS_ENOUGH), vec![9.5; 10]].concat();
    let parts = parts(Rig::new(&too_warm(Duration::ZERO), &[vec![1.0], long, vec![9.0]]), |_| {});
    let events = parts.iter().map(|part| part.events).collect::<Vec<_>>();
    assert_eq!(events.iter().sum::<usize>(), COMMIT_ITEMS_ENOUGH - 1, "{events:?}");
    let with_ack = parts.iter().position(|part| part.acks == [2]).unwrap();
    assert!(events[with_ack + 1..].iter().all(|events| *events == 0), "{events:?}, acknowledged with {with_ack}");
}

#[test]
fn a_message_longer_than_a_turn_that_causes_nothing_is_acknowledged_at_once_when_all_of_it_is_seen() {
    let long = vec![1.0; 2 * READINGS_PER_TURN + 1];
    let parts = parts(Rig::new(&too_warm(Duration::ZERO), &[long, vec![9.0]]), |_| {});
    assert_eq!(parts.iter().map(|part| part.events).collect::<Vec<_>>(), [1, 0], "the turns before had none");
    assert_eq!((&parts[0].at_once, &parts[0].acks), (&vec![1], &vec![2]));
}

#[test]
fn new_rules_count_from_the_next_part_of_a_turn_on_and_every_message_is_acknowledged_once() {
    let rig = Rig::new(&too_warm(Duration::ZERO), &vec![to_and_fro(1_000); 100]);
    let rules = rig.rules.clone();
    let parts = parts(rig, |commits| {
        if commits == 1 {
            let alarms = vec![Alarm::plain("too-warm", "s/+/t", Condition::High(100.0))];
            rules.send_replace(Rules { alarms, time_zone: TimeZone::UTC });
        }
    });
    let events: usize = parts.iter().map(|part| part.events).sum();
    // What is under way when they come, and one more turn that may have begun.
    let before = (COMMITS_UNDER_WAY_MAX + 2) * COMMIT_ITEMS_ENOUGH;
    assert!(events < before, "{events} events, though nothing crosses the new limit");
    let mut acknowledged: Vec<u64> = parts.iter().flat_map(|part| [&part.at_once[..], &part.acks].concat()).collect();
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_command_is_answered_while_most_of_a_burst_still_waits() {
    let rig = Rig::new(&too_warm(Duration::ZERO), &vec![to_and_fro(1_000); 100]);
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    let (commands, mut reply) = (rig.commands.clone(), Some(reply));
    let mut answered_after = None;
    let parts = parts(rig, |commits| {
        if let Some(reply) = reply.take_if(|_| commits == 1) {
            commands.try_send(Command::Alarms(reply)).ok().unwrap();
        }
        if answered_after.is_none() && answer.try_recv().is_ok() {
            answered_after = Some(commits);
        }
    });
    assert!(answered_after.is_some_and(|commits| commits < parts.len() / 2), "{answered_after:?} of {}", parts.len());
}
