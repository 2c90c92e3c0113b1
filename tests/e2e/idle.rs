//! A fresh installation: the configuration that is shipped, not touched by anybody yet.

use crate::stage::Stage;
use crate::support::gateway::{SOURCE_CLIENT, line, said};
use crate::support::{PATIENT, wait_until};

/// The shipped configuration, with the files in the test's directory and the name of the example's gateway.
fn shipped(stage: &Stage) -> String {
    let text = include_str!("../../config/tidegate.toml");
    let (store, id) = ("path = \"/var/lib/tidegate\"", "# id = \"boiler-room-7\"");
    assert!(text.contains(store) && text.contains(id));
    let socket = line("control_socket", stage.path("control.sock").display());
    text.replace(store, &line("path", stage.path("store").display())).replace(id, &format!("id = \"gw1\"\n{socket}"))
}

#[test]
fn as_shipped_it_runs_is_healthy_says_what_to_do_and_takes_the_first_source_on_reload() {
    let mut stage = Stage::new();
    stage.gateway.configure_text(&shipped(&stage));
    stage.gateway.environment("WATCHDOG_USEC", "4000000");
    stage.gateway.start();
    stage.gateway.wait_logged(&["idle", "[[source]]", "tidegate.toml"]);
    wait_until("the watchdog to be fed", PATIENT, || stage.gateway.notify.count("WATCHDOG=1") >= 3);
    assert!(stage.gateway.is_running());
    let told = stage.gateway.notify.notices();
    assert!(told.iter().any(|notice| notice.text.starts_with("STATUS=idle") && notice.text.contains("tidegate.toml")));
    let status = stage.ask(&["status"]);
    assert_eq!(status.status.code(), Some(0), "{}", said(&status));

    stage.gateway.configure(&stage.config);
    stage.gateway.reload();
    stage.local.wait_subscribed(SOURCE_CLIENT, 1);
    stage.cross(2, 1, 5);
    stage.consumer.wait_for_crossings(10, PATIENT);
    stage.consumer.assert_lossless();
    wait_until("systemd to be told that it is idle no more", PATIENT, || {
        let last = stage.gateway.notify.notices();
        let last = last.iter().rfind(|notice| notice.text.starts_with("STATUS=")).expect("a status");
        !last.text.contains("idle")
    });
}
