//! A disk that is filled from outside while readings arrive.

use super::scene::Scene;
use crate::support::PATIENT;
use crate::support::volume::Kind;
use crate::support::wait::{holds_within, long_run};

/// What a full disk is like for a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    /// All the time.
    There,
    /// When the disk has been full for a while.
    Later,
}

/// Messages before the disk is filled, at most: up to some generations.
const BEFORE_MAX: u64 = 2_500;

/// Fills of each kind in the long run.
const FILLS_EACH: usize = 5;

/// Messages to a gateway that has already all it takes: 13 MB.
const FLOOD: u64 = 6_000;

/// How far the gateway may grow meanwhile, KiB: less than a tenth of it.
const FLOOD_KIB_MAX: u64 = 1_200;

/// Fills the disk `rounds` times at some moment and makes room again.
fn fills(kind: Kind, policy: &str, upstream: Upstream, rounds: usize, seed: u64) {
    let mut scene = Scene::new(kind, policy, seed);
    scene.stage.start();
    for _ in 0..rounds {
        if upstream == Upstream::Later {
            scene.stage.network.down();
        }
        scene.say_some(BEFORE_MAX);
        // The gateway is at some place in what was said.
        scene.volume.fill();
        scene.say_some(50);
        if upstream == Upstream::Later {
            scene.say_until_full();
            scene.wait_fault(&["disk", "full"]);
            // What the reserve gives is taken, too: nothing is left for the gateway.
            if scene.rng.bool() {
                scene.volume.fill();
            }
            let stored = scene.store()["last_sequence"].as_u64().unwrap();
            scene.stage.network.restore();
            let consumer = &scene.stage.consumer;
            assert!(consumer.arrives(PATIENT, || consumer.highest_sequence() >= stored), "{}", consumer.summary());
            scene.wait_drained();
            scene.wait_given_back();
        } else {
            // What is delivered makes room, so it may be over before anyone asks.
            scene.say_until_said_full();
        }
        scene.volume.make_room();
        scene.wait_well();
        scene.wait_all();
    }
    scene.report(rounds);
}

#[test]
fn a_full_tmpfs_is_survived_with_the_upstream_there() {
    fills(Kind::Tmpfs, "drop-oldest", Upstream::There, 1, fastrand::u64(..));
}

#[test]
fn a_full_tmpfs_is_drained_when_the_upstream_comes() {
    fills(Kind::Tmpfs, "reject", Upstream::Later, 1, fastrand::u64(..));
}

#[test]
fn a_full_ext4_is_survived_with_the_upstream_there() {
    fills(Kind::Ext4, "reject", Upstream::There, 1, fastrand::u64(..));
}

#[test]
fn a_full_ext4_is_drained_when_the_upstream_comes() {
    fills(Kind::Ext4, "drop-oldest", Upstream::Later, 1, fastrand::u64(..));
}

/// Every file system, policy and upstream, five times each.
#[test]
fn sixty_fills_at_random_moments_lose_nothing() {
    if !long_run() {
        return;
    }
    let mut fills_done = 0;
    for kind in [Kind::Tmpfs, Kind::Ext4] {
        for policy in ["drop-oldest", "drop-least-severe", "reject"] {
            for upstream in [Upstream::There, Upstream::Later] {
                fills(kind, policy, upstream, FILLS_EACH, fastrand::u64(..));
                fills_done += FILLS_EACH;
            }
        }
    }
    println!("{fills_done} fills");
}

/// Somebody else takes every byte as soon as it is free, while a backlog is delivered: no mark can be written, and what
/// is delivered is given back all the same. It is not taken for lost after a kill.
fn greedy_neighbour(kind: Kind) {
    let mut scene = Scene::new(kind, "drop-oldest", fastrand::u64(..));
    scene.stage.start();
    scene.stage.network.down();
    scene.say(4_000);
    scene.wait_stored(4_000);
    scene.volume.fill();
    scene.say_until_full();
    let before = scene.queue_bytes();
    scene.volume.fill();
    scene.stage.network.restore();
    let queue = scene.volume.path().join("store/queue");
    let mut left = before;
    let is_done = holds_within(PATIENT, || {
        scene.volume.fill();
        left = scene.queue_bytes();
        left < before / 2 && scene.store()["waiting"] == 0
    });
    let names = std::fs::read_dir(&queue).unwrap().flatten().map(|entry| entry.file_name());
    println!("left when killed: {:?}", names.collect::<Vec<_>>());
    assert!(is_done, "of {before} bytes {left} are left: {}", scene.store());
    scene.stage.gateway.kill();
    // Once more without room, then with it. The end of a process, and a start, may free some.
    scene.volume.fill();
    scene.stage.gateway.start();
    let is_said = holds_within(PATIENT, || {
        scene.volume.fill();
        scene.store()["fault"].as_str().is_some_and(|fault| fault.contains("full"))
    });
    assert!(is_said, "{}", scene.store());
    scene.stage.gateway.kill();
    scene.volume.make_room();
    scene.stage.gateway.start();
    scene.wait_well();
    scene.wait_all();
}

#[test]
fn a_neighbour_that_takes_every_free_byte_of_a_tmpfs_does_not_stop_the_drain() {
    greedy_neighbour(Kind::Tmpfs);
}

#[test]
fn a_neighbour_that_takes_every_free_byte_of_an_ext4_does_not_stop_the_drain() {
    greedy_neighbour(Kind::Ext4);
}

/// A flood while the disk is full costs no memory: what is not stored stays at its broker.
#[test]
fn memory_stays_bounded_while_the_disk_is_full_and_messages_pour_in() {
    let mut scene = Scene::new(Kind::Tmpfs, "drop-oldest", fastrand::u64(..));
    scene.stage.start();
    scene.stage.network.down();
    scene.say(500);
    scene.volume.fill();
    scene.say_until_full();
    scene.volume.fill();
    // What may be under way: the engine's commits and the sources' channels.
    scene.say(6_000);
    scene.stage.publisher.flush();
    let before = resident_kib(&scene);
    scene.say(FLOOD);
    scene.stage.publisher.flush();
    let after = resident_kib(&scene);
    println!("resident {before} KiB, {after} KiB after {FLOOD} more messages");
    assert!(after < before + FLOOD_KIB_MAX, "{before} KiB grew to {after} KiB");
    scene.volume.make_room();
    scene.stage.network.restore();
    scene.wait_well();
    scene.wait_all();
}

/// Resident memory of the gateway.
fn resident_kib(scene: &Scene) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", scene.stage.gateway.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
