//! Credentials over the years: replaced while the gateway runs, and about to end.

use std::fs;

use crate::stage::Stage;
use crate::support::PATIENT;
use crate::support::certs::{Authority, Identity, Validity, write_secret};
use crate::support::consumer::STARTED;
use crate::support::gateway::{line, said};
use crate::support::mosquitto::Options;
use crate::support::wait_until;

/// A stage that trusts `ca.pem`, shows `gw.pem` with `gw.key` and logs in with `password`, all in its directory.
fn stage(first: &Authority, shown: &Identity, client: &Identity, dir: tempfile::TempDir) -> Stage {
    let at = dir.path().to_owned();
    fs::copy(&first.cert, at.join("ca.pem")).unwrap();
    fs::copy(&client.cert, at.join("gw.pem")).unwrap();
    write_secret(&at.join("gw.key"), &fs::read_to_string(&client.key).unwrap());
    write_secret(&at.join("password"), "first\n");
    let mut options = Options::tls(shown);
    options.client_ca = Some(first.cert.clone());
    options.accounts = vec![("gw1".to_owned(), "first".to_owned())];
    Stage::build(dir, options, |config| {
        config.upstream += &(line("ca_file", at.join("ca.pem").display())
            + &line("cert_file", at.join("gw.pem").display())
            + &line("key_file", at.join("gw.key").display())
            + &line("username", "gw1")
            + &line("password_file", at.join("password").display()));
    })
}

#[test]
fn all_four_credentials_are_replaced_while_running_and_a_half_done_replacement_is_told_and_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(dir.path(), "old"), Authority::new(dir.path(), "new"));
    let client = old.issue("client", &["gw1"], Validity::Current);
    let mut stage = stage(&old, &old.server(), &client, dir);
    stage.start();
    stage.cross(2, 1, 20);
    stage.consumer.wait_for_crossings(40, PATIENT);

    // The broker goes over to the new CA and the new password; of the gateway's files the key is there first.
    let next = new.issue("next", &["gw1"], Validity::Current);
    stage.upstream.stop();
    stage.upstream.options.tls = Some(new.server());
    stage.upstream.options.client_ca = Some(new.cert.clone());
    stage.upstream.options.accounts = vec![("gw1".to_owned(), "second".to_owned())];
    write_secret(&stage.path("gw.key"), &fs::read_to_string(&next.key).unwrap());
    stage.upstream.resume();
    stage.gateway.wait_logged(&["gw.key", "does not belong to a certificate in", "gw.pem"]);
    stage.cross(2, 21, 20);
    fs::copy(&new.cert, stage.path("ca.pem")).unwrap();
    fs::copy(&next.cert, stage.path("gw.pem")).unwrap();
    write_secret(&stage.path("password"), "second\n");
    stage.consumer.wait_for_crossings(80, PATIENT);
    stage.consumer.assert_lossless();
    assert!(stage.gateway.is_running());
    assert_eq!(stage.consumer.count(STARTED), 1, "it was not started anew for that");
    wait_until("the new certificates in the status", PATIENT, || {
        stage.status()["upstream"]["certificate"]["days_left"].as_i64().is_some_and(|days| days > 1000)
    });
}

#[test]
fn a_certificate_near_its_end_is_told_in_log_and_status_and_an_expired_one_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let client = ca.issue("client", &["gw1"], Validity::ForDays(20));
    let server = ca.issue("server", &["localhost"], Validity::ForDays(10));
    let mut stage = stage(&ca, &server, &client, dir);
    stage.start();
    stage.gateway.wait_logged(&["WARN", "broker's certificate \"CN=server\" expires on", "renew it in time"]);
    assert!(stage.gateway.logged(&["gw.pem: client certificate \"CN=client\" expires on"]));
    let shown = stage.status()["upstream"]["certificate"].clone();
    assert_eq!((&shown["what"], &shown["subject"]), (&"broker's certificate".into(), &"CN=server".into()), "{shown}");
    assert_eq!(shown["days_left"], 9, "{shown}");
    let told = said(&stage.ask(&["status"]));
    assert!(told.contains("WARNING: the broker's certificate \"CN=server\" expires on"), "{told}");

    // Seen at the next connection, without a start.
    let over = ca.issue("over", &["gw1"], Validity::Expired);
    fs::copy(&over.cert, stage.path("gw.pem")).unwrap();
    write_secret(&stage.path("gw.key"), &fs::read_to_string(&over.key).unwrap());
    stage.network.cut();
    stage.gateway.wait_logged(&["ERROR", "gw.pem: client certificate \"CN=over\" expired on 2020-01-02", "renew"]);
    wait_until("the status to say so", PATIENT, || said(&stage.ask(&["status"])).contains("EXPIRED: "));
}
