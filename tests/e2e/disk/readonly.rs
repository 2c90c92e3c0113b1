//! A disk that lets nobody write, for a while or from the start.

use super::scene::Scene;
use crate::support::PATIENT;
use crate::support::volume::Kind;

/// The disk becomes read-only while events wait and come, and can be written again after they were delivered.
fn read_only_for_a_while(kind: Kind, policy: &str, begin: fn(&Scene), end: fn(&Scene)) {
    let mut scene = Scene::new(kind, policy, fastrand::u64(..));
    scene.stage.start();
    scene.stage.network.down();
    scene.say_some(1_500);
    begin(&scene);
    scene.say_until_fault();
    scene.wait_fault(&["read-only"]);
    let stored = scene.store()["last_sequence"].as_u64().unwrap();
    scene.stage.network.restore();
    let consumer = &scene.stage.consumer;
    assert!(consumer.arrives(PATIENT, || consumer.highest_sequence() >= stored), "{}", consumer.summary());
    scene.wait_drained();
    end(&scene);
    scene.wait_well();
    scene.wait_all();
    scene.report(1);
}

#[test]
fn a_tmpfs_that_becomes_read_only_is_waited_for() {
    read_only_for_a_while(
        Kind::Tmpfs,
        "drop-oldest",
        |scene| scene.volume.cover_read_only(),
        |scene| scene.volume.uncover(),
    );
}

#[test]
fn an_ext4_that_becomes_read_only_is_waited_for() {
    read_only_for_a_while(Kind::Ext4, "reject", |scene| scene.volume.cover_read_only(), |scene| scene.volume.uncover());
}

#[test]
fn an_ext4_that_the_kernel_makes_read_only_is_waited_for_until_it_is_mounted_again() {
    read_only_for_a_while(Kind::Ext4, "drop-oldest", |scene| scene.volume.abort(), |scene| scene.volume.repair());
}

/// A disk that is read-only when the gateway starts, with a backlog on it.
fn read_only_at_start(kind: Kind) {
    let mut scene = Scene::new(kind, "reject", fastrand::u64(..));
    scene.stage.start();
    scene.stage.network.down();
    scene.say(800);
    scene.wait_stored(800);
    assert_eq!(scene.stage.gateway.stop().code(), Some(0));
    scene.volume.remount("ro");
    scene.stage.gateway.start();
    scene.wait_fault(&["read-only"]);
    scene.say(10);
    scene.stage.publisher.flush();
    scene.stage.network.restore();
    scene.stage.consumer.wait_for_crossings(800, PATIENT);
    scene.wait_drained();
    scene.volume.remount("rw");
    scene.wait_well();
    scene.wait_all();
    scene.report(1);
}

#[test]
fn a_backlog_on_a_tmpfs_that_is_read_only_at_start_is_delivered() {
    read_only_at_start(Kind::Tmpfs);
}

#[test]
fn a_backlog_on_an_ext4_that_is_read_only_at_start_is_delivered() {
    read_only_at_start(Kind::Ext4);
}

#[test]
fn a_disk_that_is_read_only_before_the_first_start_only_delays_it() {
    let mut scene = Scene::new(Kind::Ext4, "drop-oldest", fastrand::u64(..));
    scene.volume.remount("ro");
    scene.stage.start();
    scene.say(100);
    scene.stage.publisher.flush();
    scene.wait_fault(&["read-only"]);
    scene.volume.remount("rw");
    scene.wait_well();
    scene.wait_all();
    scene.report(1);
}
