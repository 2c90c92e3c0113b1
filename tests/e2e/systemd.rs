//! What the gateway tells systemd, and how it takes being told to stop.

use std::time::Duration;

use crate::stage::Stage;
use crate::support::{PATIENT, SOON, wait_until};

/// The watchdog's time in the test. The gateway should speak at least twice in it.
const WATCHDOG: Duration = Duration::from_secs(8);

#[test]
fn readiness_and_state_are_told() {
    let mut stage = Stage::new();
    stage.start();
    wait_until("a status", SOON, || stage.gateway.notify.count("STATUS=") > 0);
    assert_eq!(stage.gateway.notify.count("READY=1"), 1);
    assert_eq!(stage.gateway.notify.count("STOPPING=1"), 0);
    let status = stage.gateway.notify.notices().into_iter().find(|notice| notice.text.starts_with("STATUS="));
    assert!(status.unwrap().text.len() > "STATUS=".len());
    // Without a watchdog to answer to, nothing is said to it.
    assert_eq!(stage.gateway.notify.count("WATCHDOG=1"), 0);
}

#[test]
fn the_watchdog_is_answered_in_time_also_in_an_outage_and_under_load() {
    let mut stage = Stage::new();
    stage.gateway.environment("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string());
    stage.network.down();
    stage.start();
    let mut seq = 1;
    wait_until("four answers", PATIENT, || {
        stage.cross(4, seq, 10);
        seq += 10;
        stage.gateway.notify.count("WATCHDOG=1") >= 4
    });
    let notices = stage.gateway.notify.notices();
    let times: Vec<_> = notices.iter().filter(|notice| notice.text == "WATCHDOG=1").map(|notice| notice.at).collect();
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap < WATCHDOG, "silent for {gap:?}");
    }
}

#[test]
fn a_reload_is_announced_with_its_time_and_ended_with_ready() {
    let mut stage = Stage::new();
    stage.start();
    stage.gateway.reload();
    let notices = stage.gateway.notify.notices();
    let reloading = notices.iter().position(|notice| notice.text == "RELOADING=1").unwrap();
    let stamp = notices.iter().find(|notice| notice.text.starts_with("MONOTONIC_USEC=")).unwrap();
    assert_eq!(stamp.datagram, notices[reloading].datagram, "the time belongs into the same message");
    let usec: u64 = stamp.text["MONOTONIC_USEC=".len()..].parse().unwrap();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now_usec = u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1000).unwrap();
    assert!(usec > 0 && usec <= now_usec, "MONOTONIC_USEC={usec} at {now_usec}");
    assert!(notices[reloading..].iter().any(|notice| notice.text == "READY=1"));
}

#[test]
fn a_refused_reload_also_ends_with_ready() {
    let mut stage = Stage::new();
    stage.start();
    stage.gateway.configure_text("[gateway\n");
    stage.gateway.reload();
    assert!(stage.gateway.is_running());
}

#[test]
fn a_stop_is_announced_ends_well_and_loses_nothing() {
    let mut stage = Stage::new();
    stage.start();
    stage.cross(8, 1, 50);
    assert_eq!(stage.gateway.stop().code(), Some(0));
    assert_eq!(stage.gateway.notify.count("STOPPING=1"), 1);
    stage.gateway.start();
    stage.consumer.wait_for_crossings(400, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_stop_asks_for_as_much_time_as_its_grace() {
    let mut stage = Stage::with(|config| config.gateway += "shutdown_grace = \"10m\"\n");
    stage.start();
    assert_eq!(stage.gateway.stop().code(), Some(0));
    let notices = stage.gateway.notify.notices();
    let asked = notices.iter().find(|notice| notice.text.starts_with("EXTEND_TIMEOUT_USEC=")).unwrap();
    let usec: u64 = asked.text["EXTEND_TIMEOUT_USEC=".len()..].parse().unwrap();
    assert!(usec > 600_000_000, "asks for {usec} us");
    let stopping = notices.iter().find(|notice| notice.text == "STOPPING=1").unwrap();
    assert_eq!(stopping.datagram, asked.datagram, "it begins to count with the stop");
}

#[test]
fn a_stop_does_not_wait_for_an_upstream_that_is_away() {
    let mut stage = Stage::with(|config| config.gateway += "shutdown_grace = \"1s\"\n");
    stage.network.stall();
    stage.start();
    stage.cross(8, 1, 20);
    let asked = std::time::Instant::now();
    assert_eq!(stage.gateway.stop().code(), Some(0));
    // The grace, and much for a loaded machine.
    assert!(asked.elapsed() < Duration::from_secs(10), "took {:?}", asked.elapsed());
    stage.network.restore();
    stage.gateway.start();
    stage.consumer.wait_for_crossings(160, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_second_start_on_the_same_store_is_refused_and_named() {
    let mut stage = Stage::new();
    stage.start();
    let mut second = crate::support::gateway::Gateway::new(&stage.path("second"), &stage.config);
    second.spawn();
    assert_eq!(second.wait_exit(SOON).code(), Some(1));
    let store = stage.path("store").display().to_string();
    assert!(second.logged(&[&store]), "the message does not name {store}: {}", second.log());
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, PATIENT);
    stage.consumer.assert_lossless();
}
