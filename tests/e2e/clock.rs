//! A box without a clock battery, and clocks that jump.

use std::fs;

use jiff::Timestamp;
use serde_json::Value;

use crate::stage::Stage;
use crate::support::certs::{Authority, Validity};
use crate::support::clock::{FakeClock, real_s};
use crate::support::consumer::{EXCEEDED, Event, STALE, STARTED};
use crate::support::gateway::{high_alarm, line, mqtt_source};
use crate::support::mosquitto::Options;
use crate::support::{PATIENT, SOON, wait_until};

/// 2027-06-01T00:00:00Z: what the time turns out to be. The broker's certificate is valid from January of that year, later
/// than any build of this version.
const RIGHT_S: i64 = 1_811_808_000;

/// 1970-01-01T00:00:40Z and 2021-03-01T00:00:00Z: what a box without a battery believes.
const BOOTED_S: [i64; 2] = [40, 1_614_556_800];

const YEAR_S: i64 = 365 * 24 * 3600;

/// How long a test can take at most, for comparing times.
const TEST_S: i64 = 900;

/// A stage over TLS with a certificate valid from the start of a year; a second source listens at the same broker.
fn tls_stage(year: i32) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let shown = ca.issue("broker", &["localhost"], Validity::From(year));
    let ca_line = line("ca_file", ca.cert.display());
    let mut stage = Stage::build(dir, Options::tls(&shown), |config| config.upstream += &ca_line);
    let far = format!("mqtts://localhost:{}", stage.upstream.port());
    stage.config.sources.push(mqtt_source("far", &far) + &ca_line);
    stage.gateway.configure(&stage.config);
    stage
}

fn time_s(text: &Value) -> i64 {
    text.as_str().unwrap().parse::<Timestamp>().unwrap().as_second()
}

fn near(text: &Value, expected_s: i64) -> bool {
    (time_s(text) - expected_s).abs() <= TEST_S
}

/// Every time in the event is near this.
fn assert_all_near(event: &Event, expected_s: i64) {
    assert!(near(&event.json["time"], expected_s), "{}", event.json);
    if event.data("alarm").is_null() {
        return;
    }
    assert!(near(&event.data("episode")["start"], expected_s), "{}", event.json);
    for sample in event.data("context").as_array().into_iter().flatten() {
        assert!(near(&sample["time"], expected_s), "{}", event.json);
    }
}

/// Boots with a wrong clock and a broker whose certificate is not valid yet, and waits until that is told.
fn boot(stage: &mut Stage, booted_s: i64) -> FakeClock {
    let dir = stage.dir().to_owned();
    let clock = FakeClock::new(&dir, &mut stage.gateway, booted_s);
    stage.start();
    stage.cross(2, 1, 10);
    let year = &Timestamp::from_second(booted_s).unwrap().to_string()[..4];
    let says = format!("clock says {year}-");
    let words = ["valid from 2027-01-01", &says, "goes on by itself"];
    stage.gateway.wait_logged(&[&["not connected upstream"][..], &words].concat());
    stage.gateway.wait_logged(&[&["source lost", "far"][..], &words].concat());
    wait_until("events in the store", SOON, || stage.status()["store"]["waiting"].as_u64() >= Some(21));
    let status = stage.status();
    assert_eq!(status["clock"]["state"], "unsynchronized");
    assert!(near(&status["clock"]["time"], booted_s), "{status}");
    assert_eq!(stage.consumer.arrived(), 0, "sent to a broker whose certificate cannot be judged");
    clock
}

/// What waited has arrived, repaired; what comes now is stamped by a right clock.
fn repaired(stage: &mut Stage) {
    stage.consumer.wait_for_crossings(20, PATIENT);
    let waited = stage.consumer.events();
    for event in waited.iter().filter(|event| event.sequence <= 21) {
        assert_eq!(event.json["clock"], "estimated", "{}", event.json);
        assert_all_near(event, RIGHT_S);
    }
    for pair in stage.consumer.about("plant/s0/value").windows(2) {
        assert!(
            pair[0].json["time"].as_str() <= pair[1].json["time"].as_str(),
            "{} then {}",
            pair[0].json,
            pair[1].json
        );
    }
    wait_until("the second source", PATIENT, || stage.status()["sources"]["far"]["up"] == true);
    stage.cross(2, 11, 10);
    stage.consumer.wait_for_crossings(40, PATIENT);
    stage.consumer.assert_lossless();
    for event in stage.consumer.about("plant/s1/value").iter().filter(|event| event.seq > Some(10)) {
        assert_eq!(event.json["clock"], "synchronized", "{}", event.json);
        assert_all_near(event, RIGHT_S);
    }
    let status = stage.status();
    assert_eq!(status["clock"]["state"], "synchronized");
    assert!(status["clock"]["repaired"].as_u64() >= Some(20), "{status}");
}

#[test]
fn a_box_that_boots_in_the_past_waits_for_the_time_and_repairs_its_stamps() {
    for booted_s in BOOTED_S {
        let mut stage = tls_stage(2027);
        let clock = boot(&mut stage, booted_s);
        clock.set(RIGHT_S);
        clock.confirm();
        repaired(&mut stage);
        let status = stage.status();
        assert!(near(&status["clock"]["last_jump"]["before"], booted_s), "{status}");
        assert!(near(&status["clock"]["last_jump"]["after"], RIGHT_S), "{status}");
        let told = stage.gateway.log().lines().filter(|line| line.contains("the wall clock was set")).count();
        assert_eq!(told, 1);
    }
}

#[test]
fn events_of_a_killed_run_are_repaired_when_the_time_has_arrived_in_the_same_boot() {
    let mut stage = tls_stage(2027);
    let clock = boot(&mut stage, BOOTED_S[0]);
    stage.gateway.kill();
    clock.set(RIGHT_S);
    clock.confirm();
    stage.gateway.start();
    repaired(&mut stage);
}

#[test]
fn a_certificate_older_than_the_program_lets_a_box_in_1970_in_at_once() {
    let mut stage = tls_stage(2020);
    let dir = stage.dir().to_owned();
    let _clock = FakeClock::new(&dir, &mut stage.gateway, BOOTED_S[0]);
    stage.start();
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    stage.consumer.assert_lossless();
    for event in stage.consumer.events() {
        assert_eq!(event.json["clock"], "unsynchronized", "{}", event.json);
        assert_all_near(&event, BOOTED_S[0]);
    }
    wait_until("the second source", PATIENT, || stage.status()["sources"]["far"]["up"] == true);
}

#[test]
fn the_last_time_known_lets_a_box_in_1970_in_after_a_restart_and_damage_to_it_does_no_harm() {
    let mut stage = tls_stage(2027);
    let dir = stage.dir().to_owned();
    let clock = FakeClock::new(&dir, &mut stage.gateway, RIGHT_S);
    clock.confirm();
    stage.start();
    stage.consumer.wait_for(STARTED, 1, PATIENT);
    let kept = stage.path("store/clock");
    wait_until("the time written down", SOON, || kept.exists());
    assert_eq!(stage.gateway.stop().code(), Some(0));
    clock.forget();
    clock.set(BOOTED_S[0]);
    stage.gateway.start();
    stage.consumer.wait_for(STARTED, 2, PATIENT);
    assert_eq!(stage.status()["clock"]["state"], "unsynchronized");
    assert_eq!(stage.gateway.stop().code(), Some(0));
    fs::write(&kept, [0xFF; 100]).unwrap();
    stage.gateway.start();
    stage.gateway.wait_logged(&["not connected upstream", "valid from 2027-01-01", "clock says 1970-"]);
    clock.set(RIGHT_S);
    clock.confirm();
    stage.consumer.wait_for(STARTED, 3, PATIENT);
    stage.consumer.assert_sound();
}

#[test]
fn a_restart_knows_what_the_run_before_it_knew() {
    let mut stage = Stage::new();
    let dir = stage.dir().to_owned();
    let clock = FakeClock::new(&dir, &mut stage.gateway, RIGHT_S);
    clock.confirm();
    stage.start();
    assert_eq!(stage.status()["clock"]["confirmed_by"], "systemd-timesyncd");
    wait_until("the time written down", SOON, || stage.path("store/clock").exists());
    stage.gateway.kill();
    clock.forget();
    stage.gateway.start();
    let status = stage.status();
    assert_eq!(status["clock"]["state"], "synchronized");
    assert_eq!(status["clock"]["confirmed_by"], "an earlier run in this boot");
}

#[test]
fn jumps_of_years_both_ways_lose_nothing_and_raise_nothing() {
    let mut stage = Stage::with(|config| {
        config.alarms = vec![
            high_alarm("too-warm", "plant/+/value", 75.0, "high"),
            line("name", "silent") + "sensors = [\"plant/mute/value\"]\nstale_after = \"6s\"\n",
            line("name", "absent") + "sensors = [\"plant/hot/value\"]\nstale_after = \"1h\"\n",
        ];
    });
    let dir = stage.dir().to_owned();
    let now_s = real_s();
    let clock = FakeClock::new(&dir, &mut stage.gateway, now_s);
    clock.confirm();
    stage.start();
    stage.say("mute", 20.0, 1);
    stage.say("hot", 80.0, 1);
    stage.cross(4, 1, 10);
    let settings = [now_s + 10 * YEAR_S, now_s - 5 * YEAR_S, now_s];
    for (round, setting_s) in (1..).zip(settings) {
        clock.set(setting_s);
        stage.say("hot", 80.0, 1 + round);
        stage.cross(4, 1 + round * 10, 10);
        let seen = round;
        wait_until("the jump to be seen", SOON, || stage.status()["clock"]["jumps"].as_u64() == Some(seen));
        let status = stage.status();
        assert!(near(&status["clock"]["last_jump"]["after"], setting_s), "{status}");
        assert!(near(&status["upstream"]["since"], setting_s), "{status}");
    }
    stage.consumer.wait_for_crossings(160, PATIENT);
    stage.consumer.wait_for(STALE, 1, PATIENT);
    stage.consumer.assert_lossless();
    let stale = stage.consumer.of_kind(STALE);
    assert_eq!(stale.len(), 1);
    let silence_s = stale[0].data("measured").as_f64().unwrap();
    assert!((6.0..120.0).contains(&silence_s), "silent for {silence_s} s");
    let hot = stage.consumer.about("plant/hot/value");
    assert_eq!(hot.len(), 1, "raised once, never cleared: {hot:?}");
    assert_eq!(hot[0].kind, EXCEEDED);
    for event in stage.consumer.events().iter().filter(|event| !event.data("episode").is_null()) {
        let lasted_s = event.data("episode")["duration_ms"].as_i64().unwrap() / 1000;
        assert!(lasted_s <= TEST_S, "{}", event.json);
        // One story: the start is as long ago as the episode has lasted, by whichever clock the event has.
        let (start_s, time_s) = (time_s(&event.data("episode")["start"]), time_s(&event.json["time"]));
        assert!((time_s - start_s - lasted_s).abs() <= 2, "{}", event.json);
    }
    let told = stage.gateway.log().lines().filter(|line| line.contains("the wall clock was set")).count();
    assert_eq!(told, 3);
}
