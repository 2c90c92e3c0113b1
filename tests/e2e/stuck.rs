//! The store can write nothing for a while: the gateway waits, answers and obeys, and goes on by itself.

use std::path::PathBuf;
use std::time::Duration;

use crate::stage::Stage;
use crate::support::gateway::high_alarm;
use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, wait_until};

/// The watchdog's time in the test.
const WATCHDOG: Duration = Duration::from_secs(4);

/// How long a gateway that can go on takes for one message at most.
const A_MOMENT: Duration = Duration::from_secs(2);

/// A gateway whose store cannot be written; returns what has to be removed to repair it.
pub fn start_stuck(stage: &mut Stage) -> PathBuf {
    // A file by the name of the directory that the store wants to make; it stops root, too.
    let queue = stage.path("store/queue");
    std::fs::create_dir_all(&queue).unwrap();
    let obstacle = queue.join("tmp-gen-00000001.1");
    std::fs::write(&obstacle, "").unwrap();
    stage.start();
    obstacle
}

/// Sends readings until the engine takes no more of them; returns how many were sent.
pub fn fill(stage: &mut Stage) -> u64 {
    let mut seq = 0;
    loop {
        seq += 1;
        stage.cross(1, seq, 1);
        if !holds_within(A_MOMENT, || stage.status()["readings"]["evaluated"] == seq) {
            return seq;
        }
        assert!(seq < 100, "the engine waits for nobody");
    }
}

#[test]
fn a_reload_does_not_wait_for_the_store_and_loses_nothing() {
    let mut stage = Stage::new();
    let obstacle = start_stuck(&mut stage);
    let sent = fill(&mut stage);
    stage.config.alarms.push(high_alarm("boiling", "plant/+/value", 100.0, "critical"));
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();

    std::fs::remove_file(obstacle).unwrap();
    stage.consumer.wait_for_crossings(sent, PATIENT);
    stage.say("s9", 120.0, 1);
    let about_s9 = || stage.consumer.about("plant/s9/value").into_iter().map(|event| event.data("alarm").clone());
    wait_until("both alarms", PATIENT, || about_s9().count() == 2);
    assert!(about_s9().any(|alarm| alarm == "boiling"));
    stage.consumer.assert_lossless();
}

#[test]
fn a_stop_is_heard_also_after_a_reload_and_what_is_not_stored_is_told() {
    let mut stage = Stage::with(|config| config.gateway += "shutdown_grace = \"1s\"\n");
    start_stuck(&mut stage);
    let sent = fill(&mut stage);
    stage.config.alarms.push(high_alarm("boiling", "plant/+/value", 100.0, "critical"));
    stage.gateway.configure(&stage.config);
    stage.gateway.signal("HUP");
    wait_until("the reload to begin", SOON, || stage.gateway.notify.count("RELOADING=1") > 0);
    assert_eq!(stage.gateway.stop().code(), Some(0));
    assert!(stage.gateway.logged(&["not stored"]), "{}", stage.gateway.log());

    // Nothing was acknowledged to the sensors' broker: it says all of it again.
    std::fs::remove_file(stage.path("store/queue/tmp-gen-00000001.1")).unwrap();
    stage.gateway.start();
    stage.consumer.wait_for_crossings(sent, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn the_watchdog_is_answered_while_the_engine_waits_for_the_store() {
    let mut stage = Stage::new();
    stage.gateway.environment("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string());
    start_stuck(&mut stage);
    fill(&mut stage);
    let before = stage.gateway.notify.count("WATCHDOG=1");
    // A restart would change nothing about the disk, and would cut what is being delivered.
    wait_until("three more answers", PATIENT, || stage.gateway.notify.count("WATCHDOG=1") >= before + 3);
}

#[test]
fn who_says_stop_again_does_not_wait_for_the_grace_to_pass() {
    let mut stage = Stage::with(|config| config.gateway += "shutdown_grace = \"10m\"\n");
    let obstacle = start_stuck(&mut stage);
    let sent = fill(&mut stage);
    stage.gateway.signal("TERM");
    stage.gateway.wait_logged(&["stopping"]);
    // The same word twice in a moment counts once; said until it is heard.
    let mut status = None;
    wait_until("the end", PATIENT, || {
        if stage.gateway.is_running() {
            stage.gateway.signal("TERM");
        } else {
            status = Some(stage.gateway.wait_exit(SOON));
        }
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));

    std::fs::remove_file(obstacle).unwrap();
    stage.gateway.start();
    stage.consumer.wait_for_crossings(sent, PATIENT);
    stage.consumer.assert_lossless();
}
