//! A limit on the size of files (`ulimit -f`, `LimitFSIZE=`): what goes beyond fails, and would end a process that does
//! not expect the signal.

use std::process::Command;

use super::scene::Scene;
use crate::support::PATIENT;
use crate::support::volume::Kind;

const MIB: u64 = 1024 * 1024;

/// Random text carried by each message, so that what is committed together stays far below the limits.
const SMALL_PAD_CHARS: usize = 300;

/// Sets the limit of a running process.
fn limit(scene: &Scene, bytes: &str) {
    let pid = scene.stage.gateway.pid().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit {bytes}");
}

#[test]
fn generations_stay_below_a_limit_that_was_there_at_the_start() {
    for mib in [1, 2, 4] {
        let mut scene = Scene::new(Kind::Tmpfs, "reject", fastrand::u64(..));
        scene.pad_chars = SMALL_PAD_CHARS;
        scene.stage.gateway.wrap(&["prlimit", &format!("--fsize={}", mib * MIB)]);
        scene.stage.start();
        scene.stage.network.down();
        scene.say(6_000);
        scene.wait_stored(6_000);
        assert!(scene.store()["fault"].is_null());
        assert!(!scene.stage.gateway.logged(&["ERROR"]), "{}", scene.stage.gateway.log());
        scene.stage.network.restore();
        scene.wait_all();
    }
}

#[test]
fn a_limit_that_leaves_no_room_is_told_in_words_and_survived() {
    let mut scene = Scene::new(Kind::Ext4, "drop-oldest", fastrand::u64(..));
    scene.stage.start();
    scene.stage.network.down();
    scene.say_some(1_000);
    limit(&scene, "10000");
    scene.say_until_fault();
    scene.wait_fault(&["no file may grow beyond 10000 bytes", "LimitFSIZE"]);
    let stored = scene.store()["last_sequence"].as_u64().unwrap();
    scene.stage.network.restore();
    let consumer = &scene.stage.consumer;
    assert!(consumer.arrives(PATIENT, || consumer.highest_sequence() >= stored), "{}", consumer.summary());
    scene.wait_drained();
    limit(&scene, "unlimited");
    scene.wait_well();
    scene.wait_all();
    scene.report(1);
}

#[test]
fn a_limit_that_comes_while_it_runs_makes_smaller_generations() {
    let mut scene = Scene::new(Kind::Tmpfs, "drop-oldest", fastrand::u64(..));
    scene.pad_chars = SMALL_PAD_CHARS;
    scene.stage.start();
    scene.stage.network.down();
    scene.say(300);
    limit(&scene, &(MIB + MIB / 2).to_string());
    scene.say(6_000);
    scene.wait_stored(6_300);
    assert!(scene.store()["fault"].is_null());
    scene.stage.network.restore();
    scene.wait_all();
    scene.report(1);
}
