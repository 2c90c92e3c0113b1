//! A disk that is filled from outside while readings arrive.

use super::scene::Scene;
use crate::support::PATIENT;
use crate::support::volume::Kind;
use crate::support::wait::long_run;

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

/// As many as there is time for: few, or all sixty.
fn rounds() -> usize {
    if long_run() { 5 } else { 1 }
}

#[test]
fn a_full_tmpfs_is_survived_with_the_upstream_there() {
    fills(Kind::Tmpfs, "drop-oldest", Upstream::There, rounds(), fastrand::u64(..));
}

#[test]
fn a_full_tmpfs_is_drained_when_the_upstream_comes() {
    fills(Kind::Tmpfs, "reject", Upstream::Later, rounds(), fastrand::u64(..));
}

#[test]
fn a_full_ext4_is_survived_with_the_upstream_there() {
    fills(Kind::Ext4, "reject", Upstream::There, rounds(), fastrand::u64(..));
}

#[test]
fn a_full_ext4_is_drained_when_the_upstream_comes() {
    fills(Kind::Ext4, "drop-oldest", Upstream::Later, rounds(), fastrand::u64(..));
}
