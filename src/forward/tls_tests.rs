#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::os::unix::fs::PermissionsExt;

use rustls::pki_types::pem::PemObject;

use super::*;
use crate::clock::BUILT;
use crate::forward::testing::{Pki, write_secret};

fn credentials(pki: &Pki) -> Credentials {
    Credentials {
        ca_file: Some(pki.ca_file()),
        cert_file: Some(pki.file("client.pem")),
        key_file: Some(pki.file("client.key")),
        ..Credentials::default()
    }
}

/// A directory with a CA and a client certificate.
fn pki() -> Pki {
    let pki = Pki::new();
    pki.client("client", "tidegate-test");
    pki
}

fn configuration(credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    client_config(credentials, BUILT, &Certificates::default())
}

fn error_of(credentials: &Credentials) -> String {
    configuration(credentials).unwrap_err().to_string()
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected \"{part}\" in: {text}");
    }
}

#[test]
fn good_files_make_a_configuration() {
    let pki = pki();
    configuration(&credentials(&pki)).unwrap();
    configuration(&Credentials { ca_file: Some(pki.ca_file()), ..Credentials::default() }).unwrap();
}

#[test]
fn a_ca_file_may_hold_several_certificates_windows_line_ends_and_a_byte_order_mark() {
    let pki = pki();
    let other = Pki::new();
    let one = std::fs::read_to_string(pki.ca_file()).unwrap();
    let two = std::fs::read_to_string(other.ca_file()).unwrap();
    let both = format!("\u{feff}a comment\n{one}\n{two}").replace('\n', "\r\n");
    std::fs::write(pki.ca_file(), both).unwrap();
    assert_eq!(pem::certificates(&pki.ca_file()).unwrap().chain.len(), 2);
    for name in ["client.pem", "client.key"] {
        let text = std::fs::read_to_string(pki.file(name)).unwrap();
        write_secret(&pki.file(name), format!("\u{feff}{text}").replace('\n', "\r\n").as_bytes());
    }
    configuration(&credentials(&pki)).unwrap();
}

#[test]
fn a_missing_file_is_named() {
    let pki = pki();
    std::fs::remove_file(pki.ca_file()).unwrap();
    assert_says(&error_of(&credentials(&pki)), &[&pki.ca_file().display().to_string(), "does not exist", "path"]);
}

#[test]
fn a_directory_in_place_of_a_file_is_named() {
    let pki = pki();
    let directory = Credentials { ca_file: Some(pki.dir().to_owned()), ..Credentials::default() };
    assert_says(&error_of(&directory), &["this is a directory"]);
}

#[test]
fn an_empty_file_and_one_without_a_certificate_are_told_apart() {
    let pki = pki();
    std::fs::write(pki.ca_file(), " \r\n").unwrap();
    assert_says(&error_of(&credentials(&pki)), &["the file is empty"]);
    std::fs::write(pki.ca_file(), "<html>not found</html>").unwrap();
    assert_says(&error_of(&credentials(&pki)), &["no certificate in this file", "BEGIN CERTIFICATE"]);
    std::fs::write(pki.ca_file(), vec![b' '; 2 * 1024 * 1024]).unwrap();
    assert_says(&error_of(&credentials(&pki)), &["larger than 1 MiB"]);
}

#[test]
fn files_that_are_mixed_up_are_told() {
    let pki = pki();
    let key_as_ca = Credentials { ca_file: Some(pki.file("client.key")), ..Credentials::default() };
    assert_says(&error_of(&key_as_ca), &["private key, not a certificate", "mixed up"]);
    write_secret(&pki.file("client.key"), &std::fs::read(pki.file("client.pem")).unwrap());
    assert_says(&error_of(&credentials(&pki)), &["certificate, not a private key", "mixed up"]);
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let pki = pki();
    pki.client("other", "somebody-else");
    let credentials = Credentials { key_file: Some(pki.file("other.key")), ..credentials(&pki) };
    assert_says(&error_of(&credentials), &["other.key", "does not belong to a certificate in", "client.pem"]);
}

#[test]
fn half_an_identity_is_told() {
    let pki = pki();
    assert_says(&error_of(&Credentials { key_file: None, ..credentials(&pki) }), &["set `key_file` too"]);
    assert_says(&error_of(&Credentials { cert_file: None, ..credentials(&pki) }), &["set `cert_file` too"]);
}

#[test]
fn a_truncated_file_is_told() {
    let pki = pki();
    let text = std::fs::read(pki.ca_file()).unwrap();
    std::fs::write(pki.ca_file(), &text[..text.len() / 2]).unwrap();
    assert_says(&error_of(&credentials(&pki)), &["ends in the middle"]);
    let text = String::from_utf8(text).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[2] = "????";
    std::fs::write(pki.ca_file(), lines.join("\n")).unwrap();
    assert_says(&error_of(&credentials(&pki)), &["between BEGIN and END is damaged"]);
    std::fs::write(pki.ca_file(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert_says(&error_of(&credentials(&pki)), &["certificate 1 of the file is damaged"]);
}

#[test]
fn binary_files_come_with_the_command_that_converts_them() {
    let pki = pki();
    let der = CertificateDer::from_pem_file(pki.ca_file()).unwrap();
    std::fs::write(pki.ca_file(), &der).unwrap();
    assert_says(&error_of(&credentials(&pki)), &["binary (DER)", "openssl x509 -inform der"]);
    let bundle = Credentials { ca_file: Some(pki.file("bundle.p12")), ..Credentials::default() };
    std::fs::write(pki.file("bundle.p12"), [0x30, 0x82, 0x0a, 0x00, 0x02, 0x01, 0x03]).unwrap();
    assert_says(&error_of(&bundle), &["PKCS#12", "openssl pkcs12"]);
    std::fs::write(pki.file("bundle.p12"), [0xFF, 0xFE, b'-', 0]).unwrap();
    assert_says(&error_of(&bundle), &["UTF-16"]);
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let pki = pki();
    std::fs::write(pki.file("password"), "secret\n").unwrap();
    for (name, mode, refused) in
        [("client.key", 0o644, true), ("client.key", 0o640, false), ("client.key", 0o400, false)]
    {
        std::fs::set_permissions(pki.file(name), std::fs::Permissions::from_mode(mode)).unwrap();
        match configuration(&credentials(&pki)) {
            Ok(_) => assert!(!refused, "{mode:o}"),
            Err(error) => {
                assert!(refused, "{mode:o}");
                assert_says(&error.to_string(), &["0644", "chmod 600", "client.key"]);
            }
        }
    }
    std::fs::set_permissions(pki.file("password"), std::fs::Permissions::from_mode(0o604)).unwrap();
    let with_password = Credentials { password_file: Some(pki.file("password")), ..Credentials::default() };
    assert_says(&password(&with_password).unwrap_err().to_string(), &["chmod 600"]);
}

#[test]
fn a_password_ends_before_its_line_end() {
    let pki = pki();
    let file = pki.file("password");
    let credentials = Credentials { password_file: Some(file.clone()), ..Credentials::default() };
    for (content, expected) in
        [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("s3cret", "s3cret"), (" s \n\n", " s \n")]
    {
        write_secret(&file, content.as_bytes());
        assert_eq!(password(&credentials).unwrap().unwrap(), expected);
    }
    write_secret(&file, b"\n");
    assert_says(&password(&credentials).unwrap_err().to_string(), &["the file is empty"]);
    write_secret(&file, b"\xff\xfe");
    assert_says(&password(&credentials).unwrap_err().to_string(), &["not UTF-8"]);
    assert_eq!(password(&Credentials::default()).unwrap(), None);
}

#[test]
fn certificates_near_or_past_their_end_are_told_and_still_taken() {
    let pki = pki();
    let credentials = credentials(&pki);
    let now = crate::clock::SystemClock::new().wall();
    let notices = |credentials: &Credentials, now| {
        let seen = Certificates::default();
        seen.note_files(inspect::certificates(credentials));
        seen.by_end().iter().filter_map(|one| one.notice(now)).collect::<Vec<_>>()
    };
    assert_eq!(notices(&credentials, now), Vec::<String>::new());
    let years = |n: i64| now.offset(n * 366 * 24 * 3600 * 1_000_000_000);
    let late = notices(&credentials, years(60));
    assert_eq!(late.len(), 2, "{late:?}");
    assert_says(&late[1], &["CA certificate", "expired on", "renew"]);
    assert_says(&late[0], &["client certificate", "CN=tidegate-test", "expired on"]);
    assert_says(&notices(&credentials, years(-60))[0], &["is valid from", "clock says"]);
    pki.client_until("brief", "brief", crate::forward::testing::unix_in_days(3));
    let brief = Credentials { cert_file: Some(pki.file("brief.pem")), ..credentials };
    assert_says(&notices(&brief, now)[0], &["expires on", "in time", "days"]);
    pki.client_until("old", "old", crate::forward::testing::unix_in_days(-3));
    let old = Credentials { cert_file: Some(pki.file("old.pem")), key_file: Some(pki.file("old.key")), ..brief };
    configuration(&old).unwrap();
}
