//! Keys and certificates as people have them: the wrong ones are told with what to do while events wait, the right ones
//! are taken in any form, and a repair needs no restart.

use std::fs;
use std::path::PathBuf;

use crate::stage::Stage;
use crate::support::PATIENT;
use crate::support::certs::{Authority, Validity, write_secret};
use crate::support::gateway::line;
use crate::support::mosquitto::Options;
use crate::support::wait::holds_within;

fn fixture(name: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name);
    fs::read_to_string(file).unwrap()
}

/// As an editor on Windows saves it.
fn as_on_windows(text: &str) -> String {
    format!("\u{feff}{}", text.replace('\n', "\r\n"))
}

#[test]
fn each_wrong_key_is_told_and_the_right_one_is_taken_as_windows_saves_it() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new(dir.path(), "ca");
    let client = ca.issue("client", &["gw1"], Validity::Current);
    let other = ca.issue("other", &["gw2"], Validity::Current);
    let (key, cert) = (fs::read_to_string(&client.key).unwrap(), fs::read_to_string(&client.cert).unwrap());
    let authority = fs::read_to_string(&ca.cert).unwrap();
    let [key_file, cert_file, ca_file] = ["gw.key", "gw.pem", "trusted.pem"].map(|name| dir.path().join(name));
    write_secret(&key_file, &fixture("p521.key"));
    fs::write(&cert_file, as_on_windows(&cert)).unwrap();
    fs::write(&ca_file, as_on_windows(&authority)).unwrap();
    let further = line("ca_file", ca_file.display())
        + &line("cert_file", cert_file.display())
        + &line("key_file", key_file.display());
    let options = Options { client_ca: Some(ca.cert.clone()), ..Options::tls(&ca.server()) };
    let mut stage = Stage::build(dir, options, |config| config.upstream += &further);
    stage.start();
    stage.cross(2, 1, 10);
    let told = |stage: &Stage, words: &[&str]| {
        let text = || stage.status()["upstream"]["last_error"].as_str().unwrap_or_default().to_owned();
        let told = holds_within(PATIENT, || words.iter().all(|word| text().contains(word)));
        assert!(told, "expected {words:?} in: {}", text());
    };
    told(&stage, &["gw.key", "P-521", "openssl genpkey"]);
    for (wrong, words) in [
        (fixture("ed448.key"), ["Ed448", "openssl genpkey"]),
        (fixture("p256-encrypted.key"), ["passphrase", "openssl pkey -in"]),
        (fixture("p256-encrypted-sec1.key"), ["passphrase", "openssl pkey -in"]),
        (fixture("rsa-1024.key"), ["RSA key of 1024 bits", "too short"]),
        (fs::read_to_string(&other.key).unwrap(), ["does not belong to a certificate in", "gw.pem"]),
        (cert.clone(), ["not a private key", "mixed up"]),
        (key[..key.len() / 2].to_owned(), ["ends in the middle", "gw.key"]),
    ] {
        write_secret(&key_file, &wrong);
        told(&stage, &words);
    }
    assert_eq!(stage.consumer.arrived(), 0);
    write_secret(&key_file, &as_on_windows(&key));
    stage.consumer.wait_for_crossings(20, PATIENT);
    stage.consumer.assert_lossless();
    assert!(stage.upstream.log().contains("tidegate-gw1"), "it came in with its certificate");
}
