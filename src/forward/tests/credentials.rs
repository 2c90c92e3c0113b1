//! Wrong passwords and certificates: told, and repaired on disk while running.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::{Running, server_pki, trusting};
use crate::config::model::Credentials;
use crate::forward::testing::{FakeStore, Mosquitto, Pki, unix_in_days, until, upstream, write_secret};

#[tokio::test]
async fn a_wrong_password_is_told_and_repaired_on_disk() {
    let pki = server_pki();
    let passwords = pki.file("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-c", "-b"])
        .arg(&passwords)
        .args(["boiler", "right"])
        .output()
        .unwrap();
    assert!(made.status.success());
    let extra = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let broker = Mosquitto::start(&pki, "server", &extra);
    let credentials = Credentials {
        username: Some("boiler".to_owned()),
        password_file: Some(pki.file("password")),
        ..trusting(&pki)
    };
    let store = FakeStore::new();
    store.add(3);
    let running = Running::start(upstream("localhost", broker.tls_port, Some(credentials)), &store);
    running.error_with("password: the file does not exist").await;
    write_secret(&pki.file("password"), b"wrong\n");
    let told = running.error_with("does not let this gateway in").await;
    assert!(told.contains("user \"boiler\" with the password in"), "{told}");
    write_secret(&pki.file("password"), b"right\n");
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_ca_is_told_and_repaired_on_disk() {
    let pki = server_pki();
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true");
    let store = FakeStore::new();
    store.add(3);
    let other = Pki::new();
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&other))), &store);
    running.error_with("signed by").await;
    std::fs::copy(pki.ca_file(), other.ca_file()).unwrap();
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
}

#[tokio::test]
async fn expired_early_and_misnamed_certificates_are_told_and_recover_with_the_broker() {
    let pki = server_pki();
    pki.server("expired", &["localhost"], unix_in_days(-100), unix_in_days(-1));
    pki.server("early", &["localhost"], unix_in_days(5), unix_in_days(100));
    pki.server("misnamed", &["elsewhere.example.com"], unix_in_days(-1), unix_in_days(100));
    let mut broker = Mosquitto::start(&pki, "expired", "allow_anonymous true");
    let store = FakeStore::new();
    store.add(3);
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&pki))), &store);
    for (certificate, sentence) in [
        ("expired", "the broker's certificate expired on"),
        ("early", "the broker's certificate is valid from"),
        ("misnamed", "is for elsewhere.example.com, not for the name localhost"),
        ("server", ""),
    ] {
        broker.kill();
        broker.configure(&pki, certificate, "allow_anonymous true");
        broker.launch();
        running.error_with(sentence).await;
    }
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_demands_a_client_certificate_says_so_and_takes_a_good_one() {
    let pki = server_pki();
    let strange = Pki::new();
    strange.client("client", "tidegate-test");
    pki.client("client", "tidegate-test");
    let broker = Mosquitto::start(&pki, "server", "allow_anonymous true\nrequire_certificate true");
    let store = FakeStore::new();
    store.add(3);
    let running = Running::start(upstream("localhost", broker.tls_port, Some(trusting(&pki))), &store);
    running.error_with("client certificate").await;
    running.stop().await;
    let credentials = |from: &Pki| Credentials {
        cert_file: Some(from.file("client.pem")),
        key_file: Some(from.file("client.key")),
        ..trusting(&pki)
    };
    let running = Running::start(upstream("localhost", broker.tls_port, Some(credentials(&strange))), &store);
    running.error_with("client.pem").await;
    for name in ["client.pem", "client.key"] {
        std::fs::copy(pki.file(name), strange.file(name)).unwrap();
    }
    until("all delivered", || store.delivered() == 3).await;
    running.stop().await;
}
