//! Upgrades and downgrades: the real gateway on stores that another version of it has written.
//!
//! `tests/fixtures/store-v1` is a store as an early program of stored form 1 left it when it was killed: nine events
//! delivered, ten waiting, both alarms active. It must never change; `store-v1.jsonl` are the ten, exported by that same
//! program. A new stored form gets a fixture of its own, and this one stays.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::rotten::damage::{copy_dir, later_version, newest};
use crate::stage::Stage;
use crate::support::consumer::Event;
use crate::support::gateway::{SOURCE_CLIENT, said, tidegate};
use crate::support::{PATIENT, wait_until};

/// The last sequence number in the fixture.
const LAST: u64 = 19;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The events that wait in the fixture, by sequence number.
fn expected() -> BTreeMap<u64, Value> {
    let text = fs::read_to_string(fixture("store-v1.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.map(|event| (event["sequence"].as_str().unwrap().parse().unwrap(), event)).collect()
}

/// Everything below a directory with its content, but for the lock, which names the process that looked.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            all.extend(snapshot(&path));
            all.insert(path, Vec::new());
        } else if !path.ends_with("lock") {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

#[test]
fn a_store_of_the_first_version_is_delivered_and_its_alarms_go_on() {
    let mut stage = Stage::new();
    copy_dir(&fixture("store-v1"), &stage.path("store"));
    stage.start();
    let expected = expected();
    let arrived = |stage: &Stage| -> Vec<Event> {
        stage.consumer.events().into_iter().filter(|event| expected.contains_key(&event.sequence)).collect()
    };
    wait_until("the events that waited", PATIENT, || arrived(&stage).len() == expected.len());
    for event in arrived(&stage) {
        // Whether it waited is said when it is sent.
        let without = |event: &Value| {
            let mut event = event.clone();
            event.as_object_mut().unwrap().remove("backlog");
            event
        };
        assert_eq!(without(&event.json), without(&expected[&event.sequence]));
    }
    // Above the limit still: no news. Below it: the end of the same episode, with the next numbers.
    stage.say("s0", 81.0, 100);
    stage.say("s0", 20.0, 101);
    let ends = |stage: &Stage| stage.consumer.events().into_iter().find(|event| event.seq == Some(101));
    wait_until("the end of the alarm", PATIENT, || ends(&stage).is_some());
    let end = ends(&stage).unwrap();
    let raised = expected.values().rfind(|event| event["subject"] == "plant/s0/value").unwrap();
    assert_eq!(end.json["correlationid"], raised["correlationid"]);
    assert!(end.sequence > LAST, "{end:?}");
    assert!(stage.consumer.events().iter().all(|event| event.seq != Some(100)), "an active alarm is repeated");
    assert_eq!(stage.consumer.announced_lost(), 0);
    let findings = stage.gateway.log();
    assert!(!findings.contains("set aside") && !findings.contains("later version"), "{findings}");
}

#[test]
fn a_store_of_a_later_version_stays_as_it_is_is_said_everywhere_and_goes_on_under_that_version() {
    let mut stage = Stage::new();
    stage.network.down();
    stage.start();
    stage.cross(4, 1, 25);
    wait_until("all to be stored", PATIENT, || stage.status()["store"]["waiting"] == 101);
    assert_eq!(stage.gateway.stop().code(), Some(0));
    let store = stage.path("store");
    let db = newest(&store);
    let as_written = fs::read(&db).unwrap();
    later_version(&db);
    let before = snapshot(&store);
    let subscribed = stage.local.subscriptions(SOURCE_CLIENT);

    // The older program, put in the newer one's place.
    stage.gateway.start();
    stage.gateway.wait_logged(&["no store", "later version of tidegate", "install that version again"]);
    let told = stage.gateway.notify.notices();
    assert!(
        told.iter().any(|notice| notice.text.contains("STATUS=waiting for the store")
            && notice.text.contains("later version of tidegate")),
        "{told:?}"
    );
    let status = said(&stage.ask(&["status"]));
    assert!(status.contains("FAULT") && status.contains("later version of tidegate"), "{status}");
    assert_eq!(stage.local.subscriptions(SOURCE_CLIENT), subscribed, "something is taken that cannot be stored");
    let doctor = tidegate(&["doctor", "--store", store.to_str().unwrap()]);
    assert!(said(&doctor).contains("of a later version: install that version again"), "{}", said(&doctor));
    // It looks again and again; that changes nothing either.
    stage.cross(1, 26, 1);
    assert!(stage.gateway.is_running());
    assert_eq!(stage.gateway.stop().code(), Some(0));
    assert!(snapshot(&store) == before, "the store has changed");

    // And the newer one again.
    fs::write(&db, as_written).unwrap();
    stage.network.restore();
    stage.gateway.start();
    stage.consumer.wait_for_crossings(101, PATIENT);
    stage.consumer.assert_lossless();
    assert_eq!(stage.consumer.announced_lost(), 0);
}
