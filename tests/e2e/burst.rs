//! A burst of long messages, as a data logger sends them after an outage of its own: the gateway's memory does not
//! follow it, and none of it is lost.

use std::fmt::Write as _;

use crate::stage::Stage;
use crate::support::{LONG, PATIENT, wait_until};

/// Messages that the broker has for the gateway at once.
const MESSAGES: u64 = 500;

/// Readings in each, as many as are taken from one.
const READINGS: u64 = 1_000;

/// The unit's `MemoryMax`, KiB.
const MEMORY_KIB_MAX: u64 = 96 * 1024;

/// A message whose every reading crosses the limit, the first one downwards.
fn to_and_fro() -> String {
    let mut text = String::from("[");
    for reading in 0..READINGS {
        let value = if reading % 2 == 0 { 20 } else { 80 };
        write!(text, r#"{}{{"value":{value}}}"#, if reading == 0 { "" } else { "," }).unwrap();
    }
    text + "]"
}

/// The most memory that the gateway ever had, KiB.
fn peak_kib(stage: &Stage) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_burst_of_long_messages_takes_no_more_memory_than_the_unit_allows_and_every_crossing_is_stored() {
    let mut stage = Stage::with(|config| {
        config.sources[0] = config.sources[0].replace("carry = [\"seq\", \"ts\"]", "each = \"[*]\"");
    });
    stage.network.down();
    stage.start();
    println!("alone {} KiB", peak_kib(&stage));
    // The session stays, and the broker keeps for it what comes.
    assert_eq!(stage.gateway.stop().code(), Some(0));
    let payload = to_and_fro();
    for _ in 0..MESSAGES {
        stage.publisher.publish("sensors/s1/temp", &payload);
    }
    stage.publisher.flush();

    stage.gateway.start();
    // The first reading finds everything normal; the starts are events, too.
    let crossings = MESSAGES * READINGS - 1;
    wait_until("all of it to be stored", LONG, || stage.status()["store"]["waiting"].as_u64() >= Some(crossings + 2));
    let peak = peak_kib(&stage);
    println!("at most {peak} KiB");
    assert!(peak < MEMORY_KIB_MAX, "{peak} KiB");

    // All of it is acknowledged: nothing comes again.
    assert_eq!(stage.gateway.stop().code(), Some(0));
    stage.gateway.start();
    stage.publisher.publish("sensors/s2/temp", r#"[{"value":80}]"#);
    let stored = crossings + 3 + 1;
    wait_until("what came last", PATIENT, || stage.status()["store"]["waiting"].as_u64() >= Some(stored));
    let status = stage.status();
    assert_eq!((&status["store"]["waiting"], &status["store"]["lost"]), (&stored.into(), &0.into()));
}
