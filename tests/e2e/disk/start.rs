//! A disk that is full before the gateway starts, while it stops, or has no room for more files.

use std::fs;

use super::scene::{DISK_BYTES, Scene};
use crate::support::volume::{Kind, Shape};
use crate::support::{PATIENT, wait_until};

/// The gateway starts for the first time on a disk without a free byte, says so, refuses, and begins when it can.
fn full_before_the_first_start(kind: Kind) {
    let mut scene = Scene::new(kind, "drop-oldest", fastrand::u64(..));
    scene.volume.fill();
    scene.stage.start();
    scene.say(100);
    scene.stage.publisher.flush();
    scene.wait_fault(&["disk", "full"]);
    assert_eq!(scene.store()["last_sequence"], 0);
    scene.volume.make_room();
    scene.wait_well();
    scene.wait_all();
    scene.report(1);
    assert_eq!(scene.stage.gateway.stop().code(), Some(0));
}

#[test]
fn a_tmpfs_that_is_full_before_the_first_start_only_delays_it() {
    full_before_the_first_start(Kind::Tmpfs);
}

#[test]
fn an_ext4_that_is_full_before_the_first_start_only_delays_it() {
    full_before_the_first_start(Kind::Ext4);
}

/// The disk fills up between two runs, the first of which leaves a backlog: it is delivered and given back, and the
/// alarms go on from where they were.
fn full_at_start_with_a_backlog(kind: Kind, is_killed: bool) {
    let mut scene = Scene::new(kind, "reject", fastrand::u64(..));
    scene.stage.start();
    scene.stage.network.down();
    scene.say(2_001);
    scene.wait_stored(2_001);
    if is_killed {
        scene.stage.gateway.kill();
    } else {
        assert_eq!(scene.stage.gateway.stop().code(), Some(0));
    }
    // The reserve, too, is gone.
    fs::remove_file(scene.volume.path().join("store/reserve")).unwrap();
    scene.volume.fill();
    let before = scene.queue_bytes();
    scene.stage.gateway.start();
    scene.wait_fault(&["disk", "full"]);
    assert!(scene.store()["waiting"].as_u64() >= Some(2_001));
    scene.say(10);
    scene.stage.publisher.flush();
    scene.stage.network.restore();
    // Nobody makes room but the gateway itself, by giving back what is delivered.
    scene.wait_all();
    scene.wait_drained();
    wait_until("what is delivered to be removed", PATIENT, || scene.queue_bytes() < before / 2);
    scene.wait_well();
    scene.report(2);
}

#[test]
fn a_backlog_on_a_full_tmpfs_is_delivered_and_makes_room() {
    full_at_start_with_a_backlog(Kind::Tmpfs, false);
}

#[test]
fn a_backlog_on_a_full_ext4_left_by_kill_9_is_delivered_and_makes_room() {
    full_at_start_with_a_backlog(Kind::Ext4, true);
}

/// The disk is full and the upstream away when the gateway is told to stop. What was not stored was not acknowledged.
fn full_while_stopping(kind: Kind) {
    let mut scene =
        Scene::shaped(Shape { kind, bytes: DISK_BYTES, inodes: None }, "drop-oldest", fastrand::u64(..), |config| {
            config.gateway += "shutdown_grace = \"1s\"\n";
        });
    scene.stage.start();
    scene.stage.network.down();
    scene.say(500);
    scene.volume.fill();
    scene.say_until_full();
    scene.volume.fill();
    assert_eq!(scene.stage.gateway.stop().code(), Some(0));
    // And once more with nothing free at all.
    scene.stage.gateway.start();
    scene.wait_fault(&["disk", "full"]);
    assert_eq!(scene.stage.gateway.stop().code(), Some(0));
    scene.volume.make_room();
    scene.stage.gateway.start();
    scene.stage.network.restore();
    scene.wait_well();
    scene.wait_all();
}

#[test]
fn a_stop_on_a_full_tmpfs_loses_nothing() {
    full_while_stopping(Kind::Tmpfs);
}

#[test]
fn a_stop_on_a_full_ext4_loses_nothing() {
    full_while_stopping(Kind::Ext4);
}

#[test]
fn a_disk_without_inodes_is_full_in_other_words() {
    let shape = Shape { kind: Kind::Ext4, bytes: DISK_BYTES, inodes: Some(64) };
    let mut scene = Scene::shaped(shape, "drop-oldest", fastrand::u64(..), |_| {});
    scene.stage.start();
    scene.stage.network.down();
    scene.say(200);
    scene.wait_stored(200);
    scene.volume.fill_inodes();
    // The next generation needs some.
    scene.say_until_fault();
    scene.wait_fault(&["no more files"]);
    // Not even at a start.
    scene.stage.gateway.kill();
    scene.stage.gateway.start();
    scene.wait_fault(&["no more files"]);
    let stored = scene.store()["last_sequence"].as_u64().unwrap();
    scene.stage.network.restore();
    let consumer = &scene.stage.consumer;
    assert!(consumer.arrives(PATIENT, || consumer.highest_sequence() >= stored), "{}", consumer.summary());
    scene.wait_drained();
    scene.volume.make_room();
    scene.wait_well();
    scene.wait_all();
    scene.report(2);
}
