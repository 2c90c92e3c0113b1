//! The link is there and says nothing: at some stage of a connection, one way, for a while, or after a pause.

use std::time::Duration;

use super::{Trial, wait_for_attempts};
use crate::support::proxy::{Fault, Way};
use crate::support::wait::holds_within;
use crate::support::{PATIENT, SOON, wait_until};

/// New connections meet the fault at this stage.
fn silent_from(name: &'static str, fault: Fault, words: &[&str]) {
    let mut trial = Trial::start(name);
    trial.stage.network.inject(fault);
    trial.stage.network.cut();
    trial.cross_during();
    trial.told(words);
    wait_for_attempts(&trial, 2);
    trial.restore();
    trial.recovers();
}

#[test]
fn silence_after_the_tcp_connection() {
    silent_from("silent after TCP", Fault::Mute, &["did not answer within 2s"]);
}

#[test]
fn silence_after_the_tls_handshake() {
    silent_from("silent after TLS", Fault::SilentAfterRecords(1), &["did not answer within 2s"]);
}

#[test]
fn silence_after_the_login() {
    let words = ["has acknowledged nothing for 2s; the network in between is down", "has not answered a ping"];
    silent_from("silent after CONNACK", Fault::SilentAfterRecords(2), &words);
}

/// A connection that is up meets the fault.
fn swallowed(name: &'static str, ways: &[Way]) {
    let mut trial = Trial::start(name);
    trial.stage.network.inject(Fault::Swallow(ways.to_vec()));
    trial.cross_during();
    trial.told(&["has acknowledged nothing for 2s; the network in between is down", "has not answered a ping"]);
    trial.restore();
    trial.recovers();
}

#[test]
fn nothing_gets_through_either_way() {
    swallowed("black hole, both ways", &[Way::Up, Way::Down]);
}

#[test]
fn nothing_gets_up() {
    swallowed("black hole towards the broker (half-open)", &[Way::Up]);
}

#[test]
fn nothing_gets_down() {
    swallowed("black hole from the broker (half-open)", &[Way::Down]);
}

#[test]
fn a_stall_that_is_shorter_than_patience_costs_nothing() {
    // A patience that this stall cannot outlast, however slow the machine is.
    let mut trial =
        Trial::tls("stall, goes on in time", "keep_alive = \"5m\"\nack_timeout = \"5m\"\nconnect_timeout = \"2s\"\n");
    let connections = trial.stage.network.accepted();
    trial.stage.network.stall();
    trial.cross_during();
    wait_until("the stall to hold events back", SOON, || trial.stage.status()["upstream"]["inflight"] != 0);
    trial.restore();
    let trial = trial.recovers();
    assert_eq!(trial.stage.network.accepted(), connections, "a short stall is no reason to connect anew");
    assert_eq!(trial.stage.consumer.repeats(), 0);
}

#[test]
fn a_stall_that_outlasts_patience_ends_the_connection() {
    let mut trial = Trial::start("stall, too long");
    trial.stage.network.stall();
    trial.cross_during();
    trial.told(&["has acknowledged nothing for 2s; the network in between is down", "has not answered a ping"]);
    wait_for_attempts(&trial, 1);
    trial.restore();
    trial.recovers();
}

#[test]
fn a_connection_that_a_router_forgot_while_idle_is_found_dead_by_the_next_event() {
    // Kept alive less often than the router remembers.
    let mut trial = Trial::tls(
        "NAT forgets an idle connection",
        "keep_alive = \"1h\"\nack_timeout = \"1s\"\nconnect_timeout = \"2s\"\n",
    );
    let connections = trial.stage.network.accepted();
    trial.stage.network.inject(Fault::ForgetIdle(Duration::from_millis(200)));
    wait_until("the router to forget", SOON, || trial.stage.network.forgotten() > 0);
    trial.cross(1);
    trial.told(&[
        "has acknowledged nothing for 1s; the network in between is down (also without a word: a router that \
                 forgot the connection)",
    ]);
    // No repair: the next connection is a new one, which the router knows for a while.
    assert!(holds_within(PATIENT, || trial.has_all()), "the event has not arrived over a new connection");
    assert!(trial.stage.network.accepted() > connections);
    trial.restore();
    trial.recovers();
}
