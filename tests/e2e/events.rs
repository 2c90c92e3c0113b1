//! Looking back: what was delivered is kept, found again after a kill, and shown live and from the directory alike.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::stage::Stage;
use crate::support::gateway::{crossing_value, said, tidegate};
use crate::support::{PATIENT, SOON, wait_until};

/// Fat crossings: enough of them to fill more than one generation of the store.
const FAT: u64 = 1_500;

/// Sensors that talk.
const SENSORS: u64 = 5;

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sequence(event: &Value) -> u64 {
    event["sequence"].as_str().unwrap().parse().unwrap()
}

/// Every file below a directory with its bytes.
fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Up to which number the store's mark says that everything is delivered.
fn marked_delivered(store: &Path) -> Option<u64> {
    std::fs::read_to_string(store.join("mark")).ok()?.split(' ').nth(4)?.parse().ok()
}

fn listed(stage: &Stage, arguments: &[&str]) -> Vec<Value> {
    let output = stage.ask(&[&["events", "list", "--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_was_delivered_is_found_again_after_a_kill_live_and_from_the_directory() {
    let mut stage = Stage::with(|config| config.store.push_str("retain_delivered = \"16MiB\"\n"));
    stage.start();
    for n in 0..FAT {
        let seq = n / SENSORS + 1;
        let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(1_000).collect();
        let body = format!(r#"{{"value":{:?},"seq":{seq},"ts":"{text}"}}"#, crossing_value(seq));
        stage.publisher.publish(&format!("sensors/s{}/temp", n % SENSORS), body);
    }
    stage.publisher.flush();
    stage.consumer.wait_for_crossings(FAT, PATIENT);
    let retained = stage.path("store/retained");
    wait_until("a generation to be kept", SOON, || retained.read_dir().is_ok_and(|mut dirs| dirs.next().is_some()));
    wait_until("an empty store", SOON, || stage.status()["store"]["waiting"] == 0);
    assert!(stage.status()["store"]["retained_bytes"].as_u64().unwrap() > 500_000);

    // What the store knows only in memory to be delivered would wait again after a kill.
    let delivered = stage.status()["store"]["delivered"].as_u64().unwrap();
    wait_until("that to be on disk", SOON, || marked_delivered(&stage.path("store")) == Some(delivered));

    stage.gateway.kill();
    stage.network.down();
    stage.gateway.start();
    stage.cross(2, FAT / SENSORS + 1, 5);
    wait_until("ten crossings and the start to wait", SOON, || stage.status()["store"]["waiting"] == 11);
    let last = stage.status()["store"]["last_sequence"].as_u64().unwrap();

    let live = stage.path("live.jsonl");
    let output = stage.ask(&["events", "export", "--output", live.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let all = lines(&live);
    assert_eq!(all.iter().map(sequence).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    let arrived = stage.consumer.events();
    assert_eq!(arrived.len() as u64, last - 11);
    for event in &arrived {
        let shown = &all[event.sequence as usize - 1];
        let mut shown = shown.clone();
        assert_eq!(shown.as_object_mut().unwrap().remove("delivery").unwrap(), "delivered");
        // Decided when it was sent.
        shown["backlog"] = event.json["backlog"].clone();
        assert_eq!(shown, *event.json);
    }
    assert!(all[last as usize - 11..].iter().all(|event| event["delivery"] == "waiting"));

    let newest = listed(&stage, &["--limit", "5"]);
    assert_eq!(newest, all[all.len() - 5..]);
    assert_eq!(said(&stage.ask(&["events", "list"])).lines().count(), 50);
    assert_eq!(listed(&stage, &["--type", "started"]).len(), 2);
    let one = stage.path("one.jsonl");
    let wanted = ["--sensor", "plant/s1/+", "--type", "threshold.cleared", "--output", one.to_str().unwrap()];
    assert_eq!(stage.ask(&[&["events", "export"][..], &wanted].concat()).status.code(), Some(0));
    let expected: Vec<&Value> = all
        .iter()
        .filter(|event| event["subject"] == "plant/s1/value" && event["type"] == "tidegate.threshold.cleared.v1")
        .collect();
    assert!(expected.len() > 100);
    assert_eq!(lines(&one).iter().collect::<Vec<_>>(), expected);
    let since = all[700]["time"].as_str().unwrap();
    let until = all[710]["time"].as_str().unwrap();
    let between = said(&stage.ask(&["events", "list", "--since", since, "--until", until, "--limit", "10000"]));
    let numbers: Vec<u64> =
        between.lines().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert!((701..=711).all(|number| numbers.contains(&number)), "{numbers:?}");
    assert!(!numbers.contains(&1) && !numbers.contains(&last), "{numbers:?}");
    let text = said(&stage.ask(&["events", "list", "--severity", "high", "--limit", "1"]));
    assert!(text.contains("waiting") && text.contains("too-warm") && text.contains("plant/s1/value"), "{text}");

    let id = all[99]["id"].as_str().unwrap();
    for wanted in [id, "100"] {
        let text = said(&stage.ask(&["events", "show", wanted]));
        assert!(text.contains(id) && text.contains("delivered") && text.contains("episode.count"), "{text}");
        let output = stage.ask(&["events", "show", wanted, "--json"]);
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), all[99]);
    }
    assert_eq!(stage.ask(&["events", "show", "1000000"]).status.code(), Some(1));
    assert_eq!(stage.ask(&["events", "show", "the-last-one"]).status.code(), Some(2));

    stage.gateway.kill();
    let store = stage.path("store");
    let before = files(&store);
    let at_rest = stage.path("at-rest.jsonl");
    let place = ["--store", store.to_str().unwrap(), "--gateway", "gw1"];
    let output = tidegate(&[&["events", "export", "--output", at_rest.to_str().unwrap()], &place[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(lines(&at_rest), all, "the same without a gateway");
    let output = tidegate(&[&["events", "show", id, "--json"], &place[..]].concat());
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), all[99]);
    assert_eq!(files(&store), before, "looking changes nothing");

    stage.network.restore();
    stage.gateway.start();
    stage.consumer.wait_for_crossings(FAT + 10, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn who_finds_nothing_is_told_why() {
    let mut stage = Stage::new();
    stage.start();
    stage.cross(1, 1, 2);
    stage.consumer.wait_for_crossings(2, PATIENT);
    let output = stage.ask(&["events", "list", "--type", "stale"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("no event matches") && text.contains("retain_delivered = \"64MiB\""), "{text}");
    for (arguments, code, words) in [
        (&["events", "list", "--type", "exceded"][..], 2, "threshold.exceeded"),
        (&["events", "list", "--since", "yesterday"], 2, "as in 2h"),
        (&["events", "list", "--limit", "0"], 2, "events export"),
        (&["events", "list", "--store", "/nonexistent"], 1, "it holds `queue`"),
        (&["events", "list", "--socket", "/nonexistent/control.sock"], 1, "is the gateway running?"),
    ] {
        let output = tidegate(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
    }
}
