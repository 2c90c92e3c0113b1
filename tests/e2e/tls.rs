//! Certificates and passwords: the right ones let the gateway in; each wrong one is named, waited out and recovered from.

use std::os::unix::fs::PermissionsExt;
use std::{fs, path::Path};

use tempfile::TempDir;

use crate::stage::Stage;
use crate::support::certs::{Authority, Identity, Validity, write_secret};
use crate::support::consumer::STARTED;
use crate::support::gateway::{SOURCE_CLIENT, line};
use crate::support::mosquitto::Options;
use crate::support::{PATIENT, SOON, wait_until};

/// Attempts after which a gateway certainly tries again and does not give up.
const ATTEMPTS: u64 = 3;

/// A stage whose upstream broker shows a certificate; the gateway trusts `ca.pem` in the test's directory.
fn stage(dir: TempDir, trusted: &Authority, shown: &Identity, further: &str) -> Stage {
    let ca = dir.path().join("ca.pem");
    fs::copy(&trusted.cert, &ca).unwrap();
    Stage::build(dir, Options::tls(shown), |config| config.upstream += &(line("ca_file", ca.display()) + further))
}

/// Starts, sends crossings that cannot arrive, waits until the gateway has said why and tried again.
fn refused(stage: &mut Stage, words: &[&str]) {
    stage.start();
    stage.cross(2, 1, 20);
    let tried = stage.network.accepted();
    wait_until("further attempts", PATIENT, || stage.network.accepted() >= tried + ATTEMPTS);
    stage.gateway.wait_logged(words);
    assert_eq!(stage.consumer.arrived(), 0, "events passed a broker that must not be trusted");
    assert!(stage.gateway.is_running());
}

/// After the repair, everything arrives.
fn recovered(stage: &mut Stage) {
    stage.cross(2, 21, 20);
    stage.consumer.wait_for_crossings(80, PATIENT);
    stage.consumer.assert_lossless();
}

fn show(stage: &mut Stage, identity: Identity) {
    stage.upstream.stop();
    stage.upstream.options.tls = Some(identity);
    stage.upstream.resume();
}

#[test]
fn events_arrive_over_tls_with_a_client_certificate_and_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let client = ca.issue("client", &["gw1"], Validity::Current);
    let password = dir.path().join("password");
    write_secret(&password, "right\n");
    let further = line("cert_file", client.cert.display())
        + &line("key_file", client.key.display())
        + &line("username", "gw1")
        + &line("password_file", password.display());
    let mut stage = stage(dir, &ca, &ca.server(), &further);
    stage.upstream.options.client_ca = Some(ca.cert.clone());
    stage.upstream.options.accounts = vec![("gw1".to_owned(), "right".to_owned())];
    stage.upstream.restart();
    stage.start();
    stage.cross(4, 1, 50);
    stage.consumer.wait_for_crossings(200, PATIENT);
    stage.consumer.assert_lossless();
    assert!(stage.upstream.log().contains("u'gw1'"), "the broker does not know the gateway by its name");
}

#[test]
fn a_broker_signed_by_another_ca_is_refused_until_the_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, other) = (Authority::new(dir.path(), "right"), Authority::new(dir.path(), "other"));
    let mut stage = stage(dir, &other, &ca.server(), "");
    refused(&mut stage, &["certificate", "CA"]);
    fs::copy(&ca.cert, stage.path("ca.pem")).unwrap();
    recovered(&mut stage);
}

#[test]
fn a_missing_ca_file_is_named_and_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "right");
    let mut stage = stage(dir, &ca, &ca.server(), "");
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    fs::remove_file(stage.path("ca.pem")).unwrap();
    stage.network.cut();
    stage.gateway.wait_logged(&[stage.path("ca.pem").to_str().unwrap()]);
    stage.cross(2, 1, 20);
    fs::copy(&ca.cert, stage.path("ca.pem")).unwrap();
    recovered(&mut stage);
}

#[test]
fn an_expired_certificate_is_refused_until_the_broker_has_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "right");
    let expired = ca.issue("expired", &["localhost"], Validity::Expired);
    let mut stage = stage(dir, &ca, &expired, "");
    refused(&mut stage, &["certificate", "expired"]);
    show(&mut stage, ca.server());
    recovered(&mut stage);
}

#[test]
fn a_certificate_for_another_host_is_refused_until_the_broker_has_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "right");
    let elsewhere = ca.issue("elsewhere", &["broker.example"], Validity::Current);
    let mut stage = stage(dir, &ca, &elsewhere, "");
    refused(&mut stage, &["certificate", "name"]);
    assert!(stage.gateway.logged(&["broker.example"]), "the log does not say whose certificate it is");
    show(&mut stage, ca.server());
    recovered(&mut stage);
}

#[test]
fn a_wrong_password_is_refused_until_the_file_is_replaced_and_no_password_is_ever_told() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "right");
    let password = dir.path().join("password");
    write_secret(&password, "f1rst-s3cret\n");
    let further = line("username", "gw1") + &line("password_file", password.display());
    let mut stage = stage(dir, &ca, &ca.server(), &further);
    stage.config.gateway += &line("log_level", "trace");
    stage.gateway.configure(&stage.config);
    stage.upstream.options.accounts = vec![("gw1".to_owned(), "s3cond-s3cret".to_owned())];
    stage.upstream.restart();
    refused(&mut stage, &["password"]);
    write_secret(&password, "s3cond-s3cret\n");
    recovered(&mut stage);
    assert!(!stage.gateway.log().contains("s3cret"), "a password is in the log");
}

#[test]
fn a_broker_that_wants_a_client_certificate_is_not_entered_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "right");
    let mut stage = stage(dir, &ca, &ca.server(), "");
    stage.upstream.options.client_ca = Some(ca.cert.clone());
    stage.upstream.restart();
    refused(&mut stage, &["certificate"]);
    stage.upstream.options.client_ca = None;
    stage.upstream.restart();
    recovered(&mut stage);
}

#[test]
fn a_key_that_others_can_read_is_refused_until_it_is_protected() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "right");
    let client = ca.issue("client", &["gw1"], Validity::Current);
    let further = line("cert_file", client.cert.display()) + &line("key_file", client.key.display());
    let mut stage = stage(dir, &ca, &ca.server(), &further);
    stage.upstream.options.client_ca = Some(ca.cert.clone());
    stage.upstream.restart();
    let protect = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    protect(&client.key, 0o644);
    // Either at once, as a mistake in the configuration, or at every attempt to connect.
    stage.gateway.spawn();
    stage.gateway.wait_logged(&[client.key.to_str().unwrap()]);
    assert_eq!(stage.consumer.arrived(), 0);
    protect(&client.key, 0o600);
    let subscribed = |stage: &Stage| stage.local.subscriptions(SOURCE_CLIENT) > 0;
    wait_until("the gateway to run or to end", PATIENT, || !stage.gateway.is_running() || subscribed(&stage));
    if !stage.gateway.is_running() {
        assert_eq!(stage.gateway.wait_exit(PATIENT).code(), Some(78));
        stage.gateway.start();
    }
    stage.local.wait_subscribed(SOURCE_CLIENT, 1);
    stage.cross(2, 1, 20);
    recovered(&mut stage);
}
