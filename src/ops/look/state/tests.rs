//! The shape of the state, as the page and other programs read it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::clock::SystemClock;
use crate::event::AlarmState;
use crate::ops::status::{Configured, StatusSources};
use crate::ops::wear::Wear;
use crate::reading::{Reading, SensorId, TimeSource, Value};
use crate::replay::Replays;
use crate::store::handle::StoreStatus;

/// A looker at a gateway with the source `s`, and the other end of what it asks the engine.
fn looker() -> (Looker, mpsc::Receiver<Command>, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    counters.board.switch(true);
    let clock = Arc::new(SystemClock::new());
    let (_, shown) = watch::channel(StoreStatus::default());
    let (_, configured) = watch::channel(Configured { sources: vec!["s".into()], ..Configured::default() });
    let sources = StatusSources {
        gateway: "gw1".into(),
        counters: Arc::clone(&counters),
        clock: Arc::clone(&clock),
        wear: Arc::new(Wear::new(clock.boot())),
        store: shown.clone(),
        configured,
        replays: Replays::none(),
    };
    let (commands, asked) = mpsc::channel(1);
    let at = LookAt {
        commands,
        status: Arc::new(move || sources.status()),
        clock,
        store_path: std::path::Path::new("/nonexistent").into(),
    };
    (Looker::new(at, Arc::clone(&counters)), asked, counters)
}

/// A look at an engine that knows one sensor with one limit, and an alarm on it.
async fn look(looker: &mut Looker, asked: &mut mpsc::Receiver<Command>, limit: f64) {
    let engine = async {
        while let Some(command) = asked.recv().await {
            match command {
                Command::Alarms(reply) => drop(reply.send(vec![alarm()])),
                Command::Sensors(reply) => drop(reply.send(vec![sensor(limit)])),
                Command::Alarm { .. } => panic!("a page changes nothing"),
            }
        }
    };
    tokio::select! {
        () = looker.look() => {}
        () = engine => panic!("the looker is gone"),
    }
}

fn sensor(limit: f64) -> SensorView {
    let limit = LimitView {
        alarm: "too-warm".into(),
        severity: crate::config::model::Severity::High,
        condition: crate::event::ConditionKind::High,
        limit: crate::event::Limit::Number(limit),
    };
    SensorView { sensor: "s/oven/t".into(), value: None, unit: None, limits: vec![limit] }
}

fn alarm() -> AlarmView {
    AlarmView {
        alarm: "too-warm".into(),
        sensor: "s/oven/t".into(),
        severity: crate::config::model::Severity::High,
        condition: crate::event::ConditionKind::High,
        limit: crate::event::Limit::Number(8.0),
        state: AlarmState::Active,
        since: Some(WallTime::from_secs(1_800_000_000)),
        correlation: None,
        value: Some(Value::Number(9.5)),
        unit: Some("°C".into()),
        value_time: None,
        peak: Some(Value::Number(10.0)),
        count: 3,
        acknowledged: false,
        waits_for_acknowledgement: false,
        shelved_until: None,
        suppressed: false,
        in_force: true,
        in_violation: true,
    }
}

fn speak(counters: &Counters, sensor: &str, value: f64, now: BootTime) {
    let reading = Reading {
        sensor: SensorId::new(sensor),
        value: Value::Number(value),
        unit: Some("°C".into()),
        time: WallTime(0),
        time_source: TimeSource::Arrival,
        fresh: true,
        attributes: None,
    };
    counters.board.note_sensors().unwrap().note(&reading, true, now);
}

fn json(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn the_whole_state_and_then_what_has_changed() {
    let (mut looker, mut asked, counters) = looker();
    let now = looker.at.clock.boot();
    speak(&counters, "s/oven/t", 9.5, now);
    speak(&counters, "gone/x", 1.0, now);
    counters.board.note_refused().unwrap().note("s", Some("a/b"), "malformed", "no JSON", b"\xff<", now);
    look(&mut looker, &mut asked, 8.0).await;
    let full = json(&looker.full());
    assert_eq!(full["kind"], "full");
    assert_eq!(full["status"]["gateway"], "gw1");
    assert_eq!(full["sensors"].as_array().unwrap().len(), 1, "that of a source that is gone is gone");
    let limits = json!([{ "alarm": "too-warm", "severity": "high", "condition": "high", "limit": 8.0 }]);
    let shown = &full["sensors"][0];
    assert_eq!((&shown["name"], &shown["value"], &shown["limits"]), (&json!("s/oven/t"), &json!(9.5), &limits));
    let alarm = &full["alarms"][0];
    assert_eq!(
        (&alarm["condition"], &alarm["peak"], &alarm["state"]),
        (&json!("high"), &json!(10.0), &json!("active"))
    );
    assert_eq!((&full["refused"][0]["raw_hex"], &full["refused"][0]["length"]), (&json!("ff3c"), &json!(2)));
    assert_eq!((&full["engine_waits"], &full["queue"]["left_s"]), (&json!(false), &Json::Null));

    looker.delta();
    look(&mut looker, &mut asked, 8.0).await;
    let nothing = json(&looker.delta().unwrap());
    for member in ["sensors", "added", "changed", "alarms", "refused", "events"] {
        assert!(nothing[member].is_null(), "{member} has not changed: {nothing}");
    }
    speak(&counters, "s/oven/t", 7.0, now);
    speak(&counters, "s/new/t", 1.0, now);
    look(&mut looker, &mut asked, 8.0).await;
    let delta = json(&looker.delta().unwrap());
    let slot = crate::ops::board::sensors::slot(now);
    assert_eq!(delta["changed"], json!([[0, 7.0, "°C", now.0 / 1_000_000, [slot, 7.0, 9.5, 7.0]]]));
    assert_eq!((&delta["added_from"], &delta["added"][0]["name"]), (&json!(1), &json!("s/new/t")));
}

#[tokio::test]
async fn changed_limits_and_rows_that_are_gone_take_the_whole_state() {
    let (mut looker, mut asked, counters) = looker();
    let now = looker.at.clock.boot();
    speak(&counters, "s/oven/t", 9.5, now);
    look(&mut looker, &mut asked, 8.0).await;
    looker.delta();
    looker.known.limits_at = None;
    look(&mut looker, &mut asked, 7.5).await;
    assert!(looker.delta().is_none(), "another limit");
    assert!(looker.delta().is_some(), "told");
    counters.board.sensors().retain(|_| false);
    assert!(looker.delta().is_none(), "the rows are numbered anew");
}

#[tokio::test]
async fn an_engine_that_waits_for_the_store_holds_up_no_page_and_is_asked_once() {
    let (mut looker, mut asked, _counters) = looker();
    for _ in 0..2 {
        looker.look().await;
        assert_eq!(json(&looker.full())["engine_waits"], true);
    }
    let Some(Command::Alarms(reply)) = asked.recv().await else { panic!("asked for the alarms") };
    assert!(asked.try_recv().is_err(), "only once");
    reply.send(vec![alarm()]).unwrap();
    look(&mut looker, &mut asked, 8.0).await;
    let state = json(&looker.full());
    assert_eq!((&state["engine_waits"], &state["alarms"][0]["alarm"]), (&json!(false), &json!("too-warm")));
}
