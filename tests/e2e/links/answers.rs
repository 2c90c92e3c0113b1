//! Somebody else answers in the broker's place.

use super::{Trial, wait_for_attempts};
use crate::support::certs::Authority;
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::proxy::Fault;

#[test]
fn a_captive_portal_is_told_with_its_address() {
    let mut trial = Trial::start("captive portal (HTTP 302)");
    trial.stage.network.inject(Fault::Portal);
    trial.stage.network.cut();
    trial.cross_during();
    trial.told(&[
        "answers HTTP, not MQTT (302 Found and sends browsers to http://portal.example/login): a captive portal",
    ]);
    trial.restore();
    let trial = trial.recovers();
    assert!(!trial.stage.gateway.log().contains("from=plant"), "what follows a question mark may be a secret");
}

#[test]
fn a_portal_before_a_broker_without_tls_is_told_too() {
    let mut trial = Trial::plain("captive portal, upstream without TLS", super::IMPATIENT);
    trial.stage.network.inject(Fault::Portal);
    trial.stage.network.cut();
    trial.cross_during();
    trial.told(&["answers HTTP, not MQTT (302 Found"]);
    trial.restore();
    trial.recovers();
}

#[test]
fn somebody_elses_certificate_gets_no_event() {
    let mut trial = Trial::start("intercepting portal (another certificate)");
    let other = Authority::new(trial.stage.dir(), "stranger");
    let stranger = Mosquitto::start(trial.stage.dir(), "stranger-broker", Options::tls(&other.server()));
    let honest = trial.stage.upstream.front();
    trial.stage.network.retarget(stranger.front());
    trial.stage.network.cut();
    trial.cross_during();
    trial.told(&["is not signed by a CA in"]);
    trial.told(&["somebody else answers in its place"]);
    wait_for_attempts(&trial, 3);
    assert!(!stranger.log().contains("tidegate-gw1"), "the gateway has logged in at a stranger");
    trial.stage.network.retarget(honest);
    trial.restore();
    trial.recovers();
}
