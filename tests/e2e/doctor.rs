//! `tidegate doctor` on stores of the real gateway: says what is so, exports what is readable, changes no byte.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::stage::Stage;
use crate::support::gateway::{TIDEGATE, said};
use crate::support::{PATIENT, envelope, wait_until};

/// Crossings stored and not delivered.
const CROSSINGS: u64 = 200;

/// Everything below a directory, with its content.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            all.extend(snapshot(&path));
            all.insert(path, Vec::new());
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

/// Runs it on a store and checks that nothing has changed.
fn doctor(store: &Path, arguments: &[&str]) -> Output {
    let before = snapshot(store);
    let output = Command::new(TIDEGATE).arg("doctor").arg("--store").arg(store).args(arguments).output().unwrap();
    assert!(snapshot(store) == before, "the store has changed");
    output
}

fn report(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// A store with waiting events; the gateway still runs.
fn filled() -> Stage {
    let mut stage = Stage::new();
    stage.network.down();
    stage.start();
    stage.cross(4, 1, CROSSINGS / 4);
    wait_until("all to be stored", PATIENT, || stage.status()["store"]["waiting"] == CROSSINGS + 1);
    stage
}

fn newest_db(store: &Path) -> PathBuf {
    let mut dirs: Vec<_> = fs::read_dir(store.join("queue")).unwrap().map(|entry| entry.unwrap().path()).collect();
    dirs.sort_unstable();
    dirs.pop().unwrap().join("db")
}

#[test]
fn a_healthy_store_is_told_exported_and_left_alone() {
    let mut stage = filled();
    let store = stage.path("store");
    let running = Command::new(TIDEGATE).arg("doctor").arg("--store").arg(&store).output().unwrap();
    assert_eq!(running.status.code(), Some(0), "{}", said(&running));
    assert!(said(&running).contains(&format!("in use by process {}", stage.gateway.pid())), "{}", said(&running));
    stage.gateway.kill();

    let output = doctor(&store, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("HEALTHY") && said(&output).contains("201 events waiting"), "{}", said(&output));
    let output = doctor(&store, &["--json", "--export", "-", "--gateway", "gw1"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let events: Vec<serde_json::Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len() as u64, CROSSINGS + 1);
    for (event, sequence) in events.iter().zip(1_u64..) {
        envelope::validate(event).unwrap();
        assert_eq!(event["sequence"].as_str().unwrap().parse(), Ok(sequence));
        assert_eq!(event["source"], "/tidegate/gw1");
    }
    let file = stage.path("events.jsonl");
    let arguments = ["--export", file.to_str().unwrap(), "--all", "--gateway", "gw1"];
    assert_eq!(doctor(&store, &arguments).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count() as u64, CROSSINGS + 1);
    let again = doctor(&store, &arguments);
    assert_eq!(again.status.code(), Some(1), "what is there is not overwritten: {}", said(&again));
}

#[test]
fn damage_is_told_and_counted_as_the_next_start_announces_it() {
    let mut stage = filled();
    let store = stage.path("store");
    assert_eq!(stage.gateway.stop().code(), Some(0));
    let file = fs::File::options().write(true).open(newest_db(&store)).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&vec![0x5a; 12 * 1024], length / 3).unwrap();
    let output = doctor(&store, &["--json"]);
    let found = report(&output);
    let exported = doctor(&store, &["--export", "-", "--gateway", "gw1"]);
    let kept = String::from_utf8_lossy(&exported.stdout).lines().count() as u64;
    let lost: u64 = found["start"]["lost"].as_array().unwrap().iter().map(|lost| lost["count"].as_u64().unwrap()).sum();
    if lost > 0 {
        assert_eq!(output.status.code(), Some(1));
        let text = said(&doctor(&store, &[]));
        assert!(text.contains("DAMAGED") && text.contains("announced upstream"), "{text}");
    }
    assert_eq!(kept + lost, CROSSINGS + 1);
    stage.network.restore();
    stage.start();
    stage
        .consumer
        .arrives(PATIENT, || stage.consumer.crossings() + 1 >= kept && stage.consumer.announced_lost() == lost);
    stage.consumer.assert_sound();
    assert_eq!(stage.consumer.announced_lost(), lost);
}

#[test]
fn garbage_and_a_missing_file_are_damage_and_no_crash() {
    let mut stage = filled();
    stage.gateway.kill();
    let store = stage.path("store");
    let db = newest_db(&store);
    for bytes in [Some(Vec::new()), Some(vec![0xd7; 50_000]), None] {
        match bytes {
            Some(bytes) => fs::write(&db, bytes).unwrap(),
            None => fs::remove_file(&db).unwrap(),
        }
        let output = doctor(&store, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("DAMAGED"), "{}", said(&output));
    }
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| Command::new(TIDEGATE).arg("doctor").args(arguments).output().unwrap();
    let nowhere = dir.path().join("nowhere");
    let output = run(&["--store", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let output = run(&["--store", dir.path().to_str().unwrap(), "--export", "-"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--gateway"));
    let output = run(&["--config", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("--store"));
    let output = run(&["--store", "a", "--config", "b"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn a_folder_without_a_store_is_not_called_healthy() {
    let mut stage = filled();
    assert_eq!(stage.gateway.stop().code(), Some(0));
    let store = stage.path("store");
    let above = store.parent().unwrap();
    let run = |path: &Path| {
        let output = Command::new(TIDEGATE).arg("doctor").arg("--store").arg(path).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(!said(&output).contains("HEALTHY"), "{}", said(&output));
        assert!(
            said(&output).contains("holds no store (no folder `queue`); is its disk mounted?"),
            "{}",
            said(&output)
        );
        said(&output)
    };
    assert!(run(above).contains(&format!("one folder further down: {}?", store.display())));
    assert!(run(&store.join("queue")).contains(&format!("the folder above: {}?", store.display())));
    let empty = tempfile::tempdir().unwrap();
    assert!(!run(empty.path()).contains("help"));

    // One that is configured and has never been used is as it should be.
    let config = empty.path().join("tidegate.toml");
    let new = empty.path().join("store");
    fs::create_dir(&new).unwrap();
    fs::write(&config, format!("[store]\npath = {:?}\n", new.display().to_string())).unwrap();
    let output = Command::new(TIDEGATE).arg("doctor").arg("--config").arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("EMPTY     no gateway has run here yet"), "{}", said(&output));
    assert!(!said(&output).contains("HEALTHY"), "{}", said(&output));
}
