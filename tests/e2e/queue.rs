//! What waits upstream: counted, exported, given up; and kill -9 around giving it up.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::stage::Stage;
use crate::support::consumer::{LOST, STARTED};
use crate::support::gateway::{SOURCE_CLIENT, TIDEGATE, said, tidegate};
use crate::support::{PATIENT, SOON, wait_until};

/// How often the gateway is killed while it purges.
const ROUNDS: u64 = 8;

/// Sensors that talk.
const SENSORS: u64 = 10;

/// Crossings of each of them in a round.
const PER_ROUND: u64 = 60;

fn json(stage: &Stage, arguments: &[&str]) -> Value {
    let output = stage.ask(arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

fn waiting(stage: &Stage) -> u64 {
    stage.status()["store"]["waiting"].as_u64().unwrap()
}

/// The numbers given up, as announced; each once.
fn purged(stage: &Stage) -> u64 {
    let lost = stage.consumer.of_kind(LOST);
    lost.iter()
        .map(|event| {
            assert_eq!(event.data("reason"), "purged", "{}", event.json);
            event.data("count").as_u64().unwrap()
        })
        .sum()
}

#[test]
fn what_waits_is_counted_exported_and_given_up_with_an_announcement() {
    let mut stage = Stage::new();
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    wait_until("an empty queue", SOON, || waiting(&stage) == 0);
    assert!(said(&stage.ask(&["queue", "ls"])).contains("nothing waits"));
    stage.network.down();
    stage.cross(3, 1, 10);
    wait_until("the events to wait", SOON, || waiting(&stage) == 30);

    let ls = json(&stage, &["queue", "ls", "--json"]);
    assert_eq!((&ls["events"], &ls["by_severity"]["high"]), (&30.into(), &30.into()), "{ls}");
    assert_eq!(ls["by_type"]["tidegate.threshold.exceeded.v1"], 15);
    assert_eq!(ls["by_sensor"]["plant/s1/value"], 10);
    assert_eq!((&ls["next_to_go"][0]["sequence"], &ls["newest"]["sequence"]), (&2.into(), &31.into()));
    assert!(ls["bytes"].as_u64() > Some(30 * 300));
    let text = said(&stage.ask(&["queue", "ls"]));
    assert!(text.contains("30 events wait") && text.contains("10  plant/s2/value"), "{text}");
    let exported = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(exported(&stage.ask(&["queue", "export"])), 30);

    let output = stage.ask(&["queue", "purge"]);
    assert_eq!(output.status.code(), Some(2), "nobody confirmed");
    assert_eq!(waiting(&stage), 30);
    let text = said(&stage.ask(&["queue", "purge", "--sensor", "plant/s1/value", "--yes"]));
    assert!(text.contains("10 events are given up"), "{text}");
    assert_eq!(json(&stage, &["queue", "ls", "--json"])["by_sensor"]["plant/s1/value"], Value::Null);
    // 20 crossings, and the announcement.
    assert_eq!((waiting(&stage), exported(&stage.ask(&["queue", "export"]))), (21, 21));
    let text = said(&stage.ask(&["queue", "purge", "--before", "1h", "--yes"]));
    assert!(text.contains("nothing that waits matches"), "{text}");

    stage.gateway.kill();
    let store = stage.path("store");
    let at_rest = ["queue", "ls", "--json", "--store", store.to_str().unwrap()];
    let ls: Value = serde_json::from_slice(&tidegate(&at_rest).stdout).unwrap();
    assert_eq!((&ls["events"], &ls["by_sensor"]["plant/s1/value"]), (&21.into(), &Value::Null), "{ls}");
    let at_rest = ["queue", "export", "--store", store.to_str().unwrap()];
    assert_eq!(exported(&tidegate(&at_rest)), 21);

    stage.gateway.start();
    stage.local.wait_subscribed(SOURCE_CLIENT, 2);
    let text = said(&stage.ask(&["queue", "purge", "--yes"]));
    assert!(text.contains("given up"), "{text}");
    stage.network.restore();
    wait_until("an empty queue", PATIENT, || waiting(&stage) == 0);
    stage.consumer.wait_for(LOST, 1, PATIENT);
    stage.consumer.assert_sound();
    assert_eq!(stage.consumer.unannounced(), 0, "{}", stage.consumer.summary());
}

#[test]
fn kills_while_purging_announce_what_was_given_up_once_and_lose_nothing_else() {
    let mut rng = fastrand::Rng::new();
    let mut stage = Stage::new();
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    stage.network.down();
    let socket = stage.path("control.sock");
    for round in 0..ROUNDS {
        let before = stage.status()["store"]["last_sequence"].as_u64();
        stage.cross(SENSORS, 1 + round * PER_ROUND, PER_ROUND);
        wait_until("the events to be stored", PATIENT, || {
            stage.status()["store"]["last_sequence"].as_u64() >= before.map(|last| last + SENSORS * PER_ROUND)
        });
        let sensor = format!("plant/s{}/value", round % SENSORS);
        let mut purge = Command::new(TIDEGATE)
            .args(["queue", "purge", "--yes", "--sensor", &sensor, "--socket", socket.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::park_timeout(Duration::from_micros(rng.u64(0..40_000)));
        stage.gateway.kill();
        purge.wait().unwrap();
        stage.gateway.start();
        stage.local.wait_subscribed(SOURCE_CLIENT, usize::try_from(round).unwrap() + 2);
    }
    stage.network.restore();
    wait_until("an empty queue", PATIENT, || waiting(&stage) == 0);
    let last = stage.status()["store"]["last_sequence"].as_u64().unwrap();
    assert!(stage.consumer.arrives(PATIENT, || stage.consumer.arrived() + purged(&stage) >= last));
    stage.consumer.assert_sound();
    assert_eq!(stage.consumer.unannounced(), 0, "{}", stage.consumer.summary());
    // What was read for sending when it was given up may have arrived as well; nothing was announced twice.
    assert!(purged(&stage) <= ROUNDS * ROUNDS * PER_ROUND, "{}", purged(&stage));
    assert_eq!(stage.consumer.arrived() + purged(&stage), last, "nothing was under way in the outage");
}
