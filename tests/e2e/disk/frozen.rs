//! A disk that does not answer at all: who writes to it hangs, and cannot be killed.

use std::time::Duration;

use super::scene::Scene;
use crate::support::volume::Kind;
use crate::support::{PATIENT, wait_until};

/// The watchdog's time in the test.
const WATCHDOG: Duration = Duration::from_secs(4);

fn fed(scene: &Scene) -> usize {
    scene.stage.gateway.notify.count("WATCHDOG=1")
}

#[test]
fn a_store_that_is_stuck_in_a_write_does_not_feed_the_watchdog_and_goes_on_afterwards() {
    let mut scene = Scene::new(Kind::Ext4, "drop-oldest", fastrand::u64(..));
    scene.stage.gateway.environment("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string());
    scene.stage.start();
    scene.say(20);
    wait_until("the watchdog to be fed", PATIENT, || fed(&scene) >= 2);

    let frozen = scene.volume.freeze();
    scene.say(20);
    // systemd would end it by now.
    wait_until("a watchdog's time without food", PATIENT, || {
        let notices = scene.stage.gateway.notify.notices();
        let last = notices.iter().rfind(|notice| notice.text == "WATCHDOG=1").unwrap();
        last.at.elapsed() > WATCHDOG
    });
    // All else goes on: who asks is answered.
    assert_eq!(scene.stage.status()["gateway"], "gw1");
    let before = fed(&scene);
    drop(frozen);
    wait_until("the watchdog to be fed again", PATIENT, || fed(&scene) > before);
    scene.wait_all();
}
