//! A store that cannot be opened: the gateway waits for a person to repair it, says so, and takes nothing meanwhile.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::stage::Stage;
use crate::support::gateway::{SOURCE_CLIENT, line, said};
use crate::support::{PATIENT, SOON, wait_until};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// A gateway for whose store there is a file in the way, which stops root, too.
fn stuck() -> Stage {
    let stage = Stage::new();
    fs::write(stage.path("store"), "").unwrap();
    stage
}

#[test]
fn a_store_that_cannot_be_made_is_waited_for_and_said_everywhere() {
    let mut stage = stuck();
    stage.gateway.environment("WATCHDOG_USEC", "4000000");
    stage.gateway.start();
    let store = stage.path("store").display().to_string();
    stage.gateway.wait_logged(&["no store", &store, "move it away"]);
    wait_until("systemd to be told", SOON, || {
        let told = stage.gateway.notify.notices();
        told.iter()
            .any(|notice| notice.text.starts_with("STATUS=waiting for the store") && notice.text.contains(&store))
    });
    let output = stage.ask(&["status"]);
    assert!(said(&output).contains("FAULT") && said(&output).contains(&store), "{}", said(&output));
    let alarms = stage.ask(&["alarms", "list"]);
    assert_eq!(alarms.status.code(), Some(1), "{}", said(&alarms));
    wait_until("the watchdog to be fed", PATIENT, || stage.gateway.notify.count("WATCHDOG=1") >= 3);
    assert_eq!(stage.local.subscriptions(SOURCE_CLIENT), 0, "nothing is taken");
    let lines = stage.gateway.log().lines().filter(|line| line.contains("no store")).count();
    assert_eq!(lines, 1, "said once: {}", stage.gateway.log());

    fs::remove_file(stage.path("store")).unwrap();
    stage.local.wait_subscribed(SOURCE_CLIENT, 1);
    stage.gateway.wait_logged(&["the store is open"]);
    stage.cross(2, 1, 5);
    stage.consumer.wait_for_crossings(10, PATIENT);
    stage.consumer.assert_lossless();
    assert!(!said(&stage.ask(&["status"])).contains("FAULT"));
}

#[test]
fn a_stop_is_heard_while_waiting() {
    let mut stage = stuck();
    stage.gateway.start();
    assert_eq!(stage.gateway.stop().code(), Some(0));
    assert_eq!(stage.gateway.notify.count("STOPPING=1"), 1);
}

#[test]
fn a_reload_while_waiting_may_name_another_store() {
    let mut stage = stuck();
    stage.gateway.start();
    stage.gateway.configure_text("[gateway\n");
    stage.gateway.reload();
    stage.gateway.wait_logged(&["not reloaded"]);
    let (old, new) = (line("path", stage.path("store").display()), line("path", stage.path("elsewhere").display()));
    stage.config.store = stage.config.store.replace(&old, &new);
    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.local.wait_subscribed(SOURCE_CLIENT, 1);
    stage.cross(1, 1, 4);
    stage.consumer.wait_for_crossings(4, PATIENT);
    assert!(stage.path("elsewhere/queue").exists());
}

#[test]
fn a_store_of_another_user_is_waited_for_with_the_command_that_repairs_it() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can hand a directory to another user.
        return;
    }
    let mut stage = Stage::new();
    let store = stage.path("store");
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(stage.dir(), fs::Permissions::from_mode(0o777)).unwrap();
    stage.gateway.run_as(NOBODY);
    stage.gateway.start();
    stage.gateway.wait_logged(&["no store", "tidegate runs as nobody", "sudo chown -R nobody:"]);
    chown(&store, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o750)).unwrap();
    stage.local.wait_subscribed(SOURCE_CLIENT, 1);
    stage.cross(1, 1, 4);
    stage.consumer.wait_for_crossings(4, PATIENT);
    stage.consumer.assert_lossless();
    assert_eq!(stage.gateway.stop().code(), Some(0));
}
