//! The link works, badly: it breaks, crawls, damages; or the broker acknowledges late or never.

use std::time::Duration;

use super::{Trial, trickle};
use crate::support::proxy::{Fault, Way};
use crate::support::{PATIENT, wait_until};

/// How long an event of a trickle may take before the next one is made.
const EACH: Duration = Duration::from_millis(300);

/// Limits that no slowness of these tests comes near, on a busy machine neither.
const PATIENT_LINK: &str = "keep_alive = \"2m\"\nack_timeout = \"2m\"\nconnect_timeout = \"20s\"\n";

#[test]
fn one_write_in_twenty_is_reset() {
    let mut trial = Trial::start("5 % of writes reset (RST)");
    let connections = trial.stage.network.accepted();
    trial.stage.network.inject(Fault::ResetOneIn(20));
    trickle(&mut trial, 40, EACH);
    wait_until("some resets", PATIENT, || {
        trial.cross(1);
        trial.stage.network.accepted() > connections + 1
    });
    trial.told(&["closed the connection"]);
    trial.restore();
    trial.recovers();
}

#[test]
fn every_connection_is_reset_after_some_kilobytes() {
    let mut trial = Trial::start("reset after 8 KiB");
    trial.stage.network.inject(Fault::ResetAfter(8 * 1024));
    trial.cross_during();
    trial.told(&["closed the connection"]);
    trial.restore();
    trial.recovers();
}

#[test]
fn every_connection_is_closed_in_the_middle_of_a_packet() {
    let mut trial = Trial::start("closed in mid-packet");
    trial.stage.network.inject(Fault::CloseAfter(9_001));
    trial.cross_during();
    trial.told(&["closed the connection"]);
    trial.restore();
    trial.recovers();
}

#[test]
fn a_slow_link_is_slow_and_no_more() {
    // 4 KiB/s up and down with 200 ms each way: a bad mobile connection.
    let mut trial = Trial::tls("slow: 4 KiB/s, 200 ms", PATIENT_LINK);
    let connections = trial.stage.network.accepted();
    trial.stage.network.inject(Fault::Slow { latency: Duration::from_millis(200), bytes_per_s: 4096 });
    trial.cross(10);
    wait_until("some of it over the slow link", PATIENT, || trial.stage.consumer.crossings() > 20 * super::SENSORS + 8);
    trial.cross(30);
    trial.restore();
    let trial = trial.recovers();
    assert_eq!(trial.stage.network.accepted(), connections, "a slow link is no reason to connect anew");
    assert_eq!(trial.stage.consumer.repeats(), 0);
}

/// In mid-stream, so that the connection is up before it is damaged.
fn damaged(name: &'static str, way: Way, after: u64, words: &[&str]) {
    let mut trial = Trial::start(name);
    trial.stage.network.inject(Fault::Corrupt { way, after });
    trickle(&mut trial, 40, EACH);
    trial.told(words);
    trial.restore();
    trial.recovers();
}

#[test]
fn a_byte_changed_on_the_way_up_is_noticed_by_the_broker() {
    // The broker says so in an alert, if that gets through before it closes.
    let words = ["arrives changed", "closed the connection"];
    damaged("byte corrupted towards the broker", Way::Up, 6_000, &words);
}

#[test]
fn a_byte_changed_on_the_way_down_is_noticed_here() {
    damaged("byte corrupted from the broker", Way::Down, 40, &["arrives changed"]);
}

#[test]
fn acknowledgements_that_come_late_are_waited_for() {
    let mut trial = Trial::plain("PUBACKs 4 s late", PATIENT_LINK);
    trial.stage.network.inject(Fault::Acks(Some(Duration::from_secs(4))));
    trial.stage.network.cut();
    trial.cross_during();
    wait_until("events to arrive meanwhile", PATIENT, || trial.has_all());
    let connections = trial.stage.network.accepted();
    assert_ne!(trial.stage.status()["store"]["waiting"], 0, "acknowledged before their time");
    wait_until("all acknowledged", PATIENT, || trial.stage.status()["store"]["waiting"] == 0);
    assert_eq!(trial.stage.network.accepted(), connections, "late is not never");
    trial.restore();
    trial.recovers();
}

#[test]
fn acknowledgements_that_never_come_cost_repeats_and_no_event() {
    let mut trial = Trial::plain("PUBACKs never", super::IMPATIENT);
    trial.stage.network.inject(Fault::Acks(None));
    trial.stage.network.cut();
    trial.cross_during();
    trial.told(&["has acknowledged nothing for 2s"]);
    super::wait_for_attempts(&trial, 3);
    trial.restore();
    trial.recovers();
}
