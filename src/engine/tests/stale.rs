//! Sensors that fall silent.

use super::support::*;
use crate::clock::WallTime;
use crate::config::model::{Alarm, Condition};
use crate::engine::Accepted;
use crate::event::{Change, EventData};
use crate::reading::{Reading, TimeSource, Value};

fn silent(sensors: &str) -> Alarm {
    alarm("silent", sensors, Condition::Stale { after: seconds(60) })
}

#[test]
fn a_sensor_that_falls_silent_is_stale_and_its_next_reading_recovers_it() {
    let mut rig = Rig::new(&[silent("s/#")]);
    assert_eq!(rig.read(0, 1.0), SILENCE);
    assert_eq!(rig.read(50, 2.0), SILENCE);
    assert_eq!(rig.pass(109), SILENCE);
    rig.set(110_000);
    rig.engine.on_deadline(rig.now, &mut rig.out);
    let stale = rig.events().remove(0);
    assert_eq!(stale.data.event_type(), "tidegate.sensor.stale.v1");
    assert_eq!((told(&stale).measured, told(&stale).value.clone()), (Some(60.0), Some(Value::Number(2.0))));
    assert_eq!((told(&stale).episode.count, told(&stale).episode.peak.clone()), (0, None));
    let recovered = rig.events_of(150, 3.0).remove(0);
    assert_eq!(recovered.data.event_type(), "tidegate.sensor.recovered.v1");
    assert_eq!((told(&recovered).measured, recovered.correlation), (Some(100.0), stale.correlation));
    assert_eq!(rig.pass(210), ["silent Raised"], "and again");
}

#[test]
fn min_samples_do_not_keep_a_silent_sensor_from_being_found() {
    let mut rig = Rig::new(&[Alarm { min_samples: 5, ..silent("s/#") }]);
    rig.read(0, 1.0);
    assert_eq!(rig.pass(60), ["silent Raised"]);
}

#[test]
fn a_sensor_nobody_has_heard_of_is_not_stale_unless_it_is_named() {
    let mut rig = Rig::new(&[silent("s/#"), Alarm { name: "named".into(), ..silent("s/never/t") }]);
    assert_eq!(rig.pass(59), SILENCE);
    assert_eq!(rig.pass(60), ["named Raised"]);
    assert_eq!(rig.read_of("s/never/t", 70, 1.0), ["named Cleared"]);
    assert_eq!(rig.pass(130), ["silent Raised", "named Raised"]);
}

#[test]
fn the_hold_off_covers_sensors_that_never_reported() {
    let mut rig = Rig::new(&[Alarm { hold_off: seconds(300), ..silent("s/never/t") }]);
    assert_eq!(rig.pass(299), SILENCE);
    assert_eq!(rig.pass(300), ["silent Raised"]);
}

#[test]
fn an_old_retained_message_is_no_sign_of_life() {
    let mut rig = Rig::new(&[silent("s/#")]);
    rig.read(0, 1.0);
    rig.pass(30);
    let retained = Reading { fresh: false, ..reading(SENSOR, 1.0, rig.now) };
    assert_eq!(rig.feed(&retained), Accepted::NotFresh);
    assert_eq!(rig.pass(60), ["silent Raised"]);
    assert_eq!(rig.feed(&retained), Accepted::NotFresh);
    assert_eq!(rig.said(), SILENCE);
}

#[test]
fn a_sensor_known_only_from_a_retained_message_is_not_stale() {
    let mut rig = Rig::new(&[silent("s/#")]);
    rig.feed(&Reading { fresh: false, ..reading(SENSOR, 1.0, rig.now) });
    assert_eq!(rig.pass(1000), SILENCE);
}

#[test]
fn a_late_reading_is_a_sign_of_life() {
    let mut rig = Rig::new(&[silent("s/#")]);
    let stamped = |stamp_s: i64, rig: &Rig| {
        let time = WallTime::from_millis((WALL_ZERO_S + stamp_s) * 1000);
        Reading { time, time_source: TimeSource::Payload, ..reading(SENSOR, 1.0, rig.now) }
    };
    rig.feed(&stamped(100, &rig));
    assert_eq!(rig.pass(60), ["silent Raised"]);
    assert_eq!(rig.feed(&stamped(99, &rig)), Accepted::Late);
    assert_eq!(rig.said(), ["silent Cleared"]);
}

#[test]
fn readings_waiting_while_the_engine_could_not_run_prevent_a_false_alarm() {
    let mut rig = Rig::new(&[silent("s/#")]);
    rig.read(0, 1.0);
    rig.set(300_000);
    rig.feed(&reading(SENSOR, 1.0, rig.now));
    rig.engine.on_deadline(rig.now, &mut rig.out);
    assert_eq!(rig.said(), SILENCE);
}

#[test]
fn delays_and_reminders_hold_for_stale_sensors_too() {
    let delays = Alarm {
        on_delay: seconds(10),
        off_delay: seconds(20),
        repeat_every: Some(seconds(100)),
        latched: true,
        ..silent("s/#")
    };
    let mut rig = Rig::new(&[delays]);
    rig.read(0, 1.0);
    assert_eq!(rig.pass(69), SILENCE);
    assert_eq!(rig.pass(70), ["silent Raised"]);
    assert_eq!(rig.pass(170), ["silent Repeated"]);
    assert_eq!(rig.read(180, 1.0), SILENCE);
    assert_eq!(rig.pass(230), SILENCE, "latched");
    assert!(rig.engine.snapshot()[0].waits_for_acknowledgement);
    assert_eq!(rig.pass(245), SILENCE, "silent again");
    assert!(!rig.engine.snapshot()[0].waits_for_acknowledgement);
    assert_eq!(rig.read(246, 1.0), SILENCE);
    assert_eq!(rig.pass(266), SILENCE);
    assert!(rig.engine.acknowledge("silent", SENSOR, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["silent Cleared"]);
}

#[test]
fn a_stale_sensor_tells_its_last_readings() {
    let mut rig = Rig::new(&[Alarm { context: 2, ..silent("s/#") }]);
    for second in 0..5 {
        rig.read(second, second as f64);
    }
    rig.set(64_000);
    rig.engine.on_deadline(rig.now, &mut rig.out);
    let event = rig.events().remove(0);
    let EventData::Alarm(data) = &event.data else { panic!() };
    assert_eq!((data.change, data.value.clone()), (Change::Raised, Some(Value::Number(4.0))));
    let context: Vec<Value> = data.context.iter().map(|sample| sample.value.clone()).collect();
    assert_eq!(context, [2.0, 3.0].map(Value::Number));
}
