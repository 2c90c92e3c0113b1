//! Delivered events are sent again: behind what is new, to the end whatever happens, and only what is still kept.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::stage::Stage;
use crate::support::gateway::said;
use crate::support::{PATIENT, SOON, wait_until};

/// Events of the replay that may be in flight, and so before a new one.
const INFLIGHT_MAX: usize = 16;

const SENSORS: u64 = 20;
const PER_SENSOR: u64 = 100;

/// A gateway that keeps what it has delivered: 2,000 crossings and its start.
fn delivered() -> Stage {
    let mut stage = Stage::with(|config| config.store.push_str("retain_delivered = \"16MiB\"\n"));
    stage.start();
    stage.cross(SENSORS, 1, PER_SENSOR);
    stage.consumer.wait_for_crossings(SENSORS * PER_SENSOR, PATIENT);
    wait_until("an empty store", SOON, || stage.status()["store"]["waiting"] == 0);
    stage
}

fn replay(stage: &Stage, arguments: &[&str]) -> (Option<i32>, String) {
    let output = stage.ask(&[&["replay"], arguments].concat());
    (output.status.code(), said(&output))
}

/// `tidegate replay status --json`
#[track_caller]
fn view(stage: &Stage) -> Value {
    let output = stage.ask(&["replay", "status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

#[track_caller]
fn wait_done(stage: &Stage) -> Value {
    wait_until("the end of the replay", PATIENT, || view(stage)["state"] == "done");
    view(stage)
}

/// The numbers that have come again, marked.
fn replayed(stage: &Stage) -> BTreeSet<u64> {
    let deliveries = stage.consumer.deliveries();
    deliveries.iter().filter(|delivery| delivery.replayed).map(|delivery| delivery.sequence).collect()
}

fn all_until(sequence: u64) -> BTreeSet<u64> {
    (1..=sequence).collect()
}

#[test]
fn everything_comes_again_and_new_events_wait_behind_a_few_at_most() {
    let mut stage = delivered();
    let through = stage.status()["store"]["delivered"].as_u64().unwrap();
    let mut bounds = Vec::new();
    let mut active_rounds = 0;
    for round in 1..=8 {
        // While nothing passes, what is in flight is all that can be before the new events.
        stage.network.stall();
        if round == 1 {
            let (code, text) = replay(&stage, &["--since", "1h"]);
            assert_eq!(code, Some(0), "{text}");
            assert!(text.contains(&format!("{through} events match")), "{text}");
        }
        let seen = stage.status()["store"]["last_sequence"].as_u64().unwrap();
        stage.cross(4, PER_SENSOR + round, 1);
        let mut status = stage.status();
        wait_until("the new events to be stored", SOON, || {
            status = stage.status();
            status["store"]["last_sequence"].as_u64().unwrap() >= seen + 4
        });
        if let Some(sent) = status["replay"]["sent"].as_u64() {
            active_rounds += 1;
            assert_eq!(status["replay"]["of"], through);
            bounds.extend((seen + 1..=seen + 4).map(|sequence| (sequence, sent as usize + INFLIGHT_MAX)));
        }
        let repeats = stage.consumer.repeats();
        stage.network.restore();
        wait_until("the replay to go on", PATIENT, || {
            stage.consumer.repeats() >= repeats + 100 || view(&stage)["state"] == "done"
        });
    }
    assert!(active_rounds > 0, "no new event met the replay");
    let done = wait_done(&stage);
    assert_eq!((&done["sent"], &done["refused"], &done["gone"]), (&through.into(), &0.into(), &0.into()));
    stage.consumer.wait_for_crossings(SENSORS * PER_SENSOR + 8 * 4, PATIENT);
    wait_until("every event again", SOON, || replayed(&stage) == all_until(through));
    let deliveries = stage.consumer.deliveries();
    for (sequence, most) in bounds {
        let place = deliveries.iter().position(|delivery| delivery.sequence == sequence).unwrap();
        let before = deliveries[..place].iter().filter(|delivery| delivery.replayed).count();
        assert!(before <= most, "{before} replayed events before the new event {sequence}, at most {most} expected");
    }
    assert!(deliveries.iter().all(|delivery| !delivery.replayed || delivery.sequence <= through));
    stage.consumer.assert_lossless();
    assert!(stage.status().get("replay").is_none(), "the status shows only what is under way");

    let (code, text) = replay(&stage, &["--since", "1h", "--sensor", "plant/s3/value", "--wait"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("done, {n} of {n} sent", n = PER_SENSOR + 8)), "{text}");
    assert!(stage.gateway.logged(&["replay done", "sent="]), "{}", stage.gateway.log());
}

#[test]
fn a_replay_goes_on_after_a_kill_in_its_middle() {
    let mut stage = delivered();
    let through = stage.status()["store"]["delivered"].as_u64().unwrap();
    // A fast machine may be through before the network stands still; then it is tried once more.
    for _ in 0..20 {
        let repeats = stage.consumer.repeats();
        assert_eq!(replay(&stage, &["--since", "1h"]).0, Some(0));
        wait_until("a part of the replay", PATIENT, || stage.consumer.repeats() >= repeats + 300);
        stage.network.stall();
        if view(&stage)["state"] == "sending" {
            break;
        }
        stage.network.restore();
    }
    let caught = view(&stage);
    assert_eq!(caught["state"], "sending", "{caught}");
    let sent = caught["sent"].as_u64().unwrap();
    assert!(sent >= 256 && sent < through, "{caught}");
    stage.gateway.kill();
    stage.network.restore();
    stage.gateway.start();
    let done = wait_done(&stage);
    assert_eq!((&done["of"], &done["sent"]), (&through.into(), &through.into()));
    assert_eq!(done["started"], caught["started"]);
    // What arrives is no measure of where it went on: the consumer may be behind.
    let log = stage.gateway.log();
    let resumed = log.lines().find(|line| line.contains("replay goes on")).unwrap_or_else(|| panic!("{log}"));
    let resumed_at: String = resumed.split("sent=").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    assert!(resumed_at.parse::<u64>().unwrap() >= 256, "it began anew: {resumed}");
    wait_until("every event again", SOON, || replayed(&stage) == all_until(through));
    stage.consumer.assert_lossless();
    assert!(!stage.path("store/replay").exists());
}

#[test]
fn a_second_replay_is_refused_and_a_cancelled_one_ends() {
    let mut stage = delivered();
    let (code, text) = replay(&stage, &["status"]);
    assert!(code == Some(0) && text.contains("no replay"), "{text}");
    assert_eq!(replay(&stage, &["cancel"]).0, Some(1));
    stage.network.stall();
    assert_eq!(replay(&stage, &["--since", "1h", "--sensor", "plant/+/value"]).0, Some(0));
    assert!(stage.path("store/replay").exists());
    assert!(said(&stage.ask(&["status"])).contains("replay    0 of 2000 sent"));
    let (code, text) = replay(&stage, &["--since", "2h"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("under way already") && text.contains("0 of 2000") && text.contains("cancel"), "{text}");
    let (code, text) = replay(&stage, &["cancel"]);
    assert!(code == Some(0) && text.contains("cancelled, 0 of 2000 sent"), "{text}");
    assert!(!stage.path("store/replay").exists());
    stage.network.restore();
    stage.cross(1, PER_SENSOR + 1, 20);
    stage.consumer.wait_for_crossings(SENSORS * PER_SENSOR + 20, PATIENT);
    assert!(replayed(&stage).len() <= INFLIGHT_MAX, "only what was in flight already");
    assert_eq!(view(&stage)["state"], "cancelled");
    stage.consumer.assert_lossless();
}

#[test]
fn what_is_not_kept_is_said_plainly() {
    let mut stage = Stage::new();
    stage.start();
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    wait_until("an empty store", SOON, || stage.status()["store"]["waiting"] == 0);
    stage.gateway.stop();
    stage.gateway.start();
    let (code, text) = replay(&stage, &["--since", "1h", "--sensor", "plant/+/value"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("0 events match; retain_delivered is off"), "{text}");

    for (arguments, words) in [
        (&["--since", "2099-01-01T00:00:00Z"][..], "in the future"),
        (&["--since", "1h", "--until", "2h"], "is before"),
        (&["--since", "1h", "--sensor", "plant/#/value"], "plant/#/value"),
    ] {
        let (code, text) = replay(&stage, arguments);
        assert!(code == Some(1) && text.contains(words), "{arguments:?}: {text}");
    }
    for wrong in [&[][..], &["--since", "yesterday"], &["--until", "1h"]] {
        assert_eq!(replay(&stage, wrong).0, Some(2), "{wrong:?}");
    }
}
