//! Wrong credentials at each make: told in words, nothing let through, recovered from when the files are put right.

use std::fs;
use std::time::Instant;

use crate::broker::{Make, PASSWORD};
use crate::faults::for_each_make;
use crate::scene::{SENSORS, Scene};
use crate::support::certs::{Authority, Validity, write_secret};
use crate::support::{PATIENT, wait_until};
use crate::tally::Tally;

/// Attempts after which a gateway certainly tries again and does not give up.
const ATTEMPTS: u64 = 3;

/// A failing attempt is told with one of these: how a broker refuses is its own affair, closing at once included.
fn refused(scene: &mut Scene, first: u64, words: &[&str]) {
    scene.cross(first, 1);
    let tried = scene.network.accepted();
    wait_until("further attempts", PATIENT, || scene.network.accepted() >= tried + ATTEMPTS);
    let log = scene.gateway.log();
    let told = |word: &&str| log.lines().any(|line| line.contains("not connected upstream") && line.contains(*word));
    assert!(words.iter().any(told), "the log has none of {words:?}");
}

fn wrong_password(make: Make) {
    let (mut scene, _broker) = Scene::with(make);
    write_secret(&scene.path("password"), "wr0ng-s3cret");
    scene.start();
    refused(&mut scene, 1, &["user name or password", "password"]);
    assert_eq!(scene.consumer.arrived(), 0);
    write_secret(&scene.path("password"), PASSWORD);
    let taken = scene.settle(SENSORS, true, Instant::now());
    Tally::of(make.name(), "wrong password", SENSORS, &scene.consumer, taken);
    scene.consumer.assert_lossless();
    assert!(!scene.gateway.log().contains("s3cret"), "a password is in the log");
}

fn wrong_certificate(make: Make) {
    let (mut scene, broker) = Scene::with(make);
    let right = broker.pki.client.clone();
    let (cert, key) = (fs::read(&right.cert).unwrap(), fs::read_to_string(&right.key).unwrap());
    let other = Authority::new(&scene.path("elsewhere"), "other").issue("gw1", &["gw1"], Validity::Current);
    fs::copy(&other.cert, &right.cert).unwrap();
    write_secret(&right.key, &fs::read_to_string(&other.key).unwrap());
    scene.start();
    refused(&mut scene, 1, &["certificate"]);
    assert_eq!(scene.consumer.arrived(), 0);
    fs::write(&right.cert, cert).unwrap();
    write_secret(&right.key, &key);
    let taken = scene.settle(SENSORS, true, Instant::now());
    Tally::of(make.name(), "wrong certificate", SENSORS, &scene.consumer, taken);
    scene.consumer.assert_lossless();
}

for_each_make! {
    wrong_password: mosquitto_refuses_a_wrong_password, rabbitmq_refuses_a_wrong_password, nats_refuses_a_wrong_password;
    wrong_certificate: mosquitto_refuses_a_strangers_certificate, rabbitmq_refuses_a_strangers_certificate,
        nats_refuses_a_strangers_certificate;
}
