#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::path::PathBuf;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError};

use super::*;
use crate::forward::testing;
use crate::forward::tls::verify::Stranger;

fn upstream() -> Upstream {
    let credentials = crate::config::model::Credentials {
        ca_file: Some(PathBuf::from("/etc/tidegate/ca.pem")),
        username: Some("boiler".to_owned()),
        password_file: Some(PathBuf::from("/etc/tidegate/password")),
        ..Default::default()
    };
    testing::upstream("broker.example.com", 8883, Some(credentials))
}

fn tls_text(error: rustls::Error) -> Explanation {
    let error = Fault::Io(io::Error::new(io::ErrorKind::InvalidData, error));
    fault(&error, &upstream(), Phase::Connecting)
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected \"{part}\" in: {text}");
    }
}

#[test]
fn an_expired_certificate_names_both_dates_and_repeats_are_known_by_the_first() {
    let at = |time| {
        let not_after = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
        tls_text(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }))
    };
    let first = at(1_767_312_000);
    assert_says(&first.text, &["expired on 2026-01-01T00:00:00Z", "clock says 2026-01-02T00:00:00Z", "renew"]);
    assert_eq!(first.key, at(1_767_398_400).key);
    assert_ne!(first.text, at(1_767_398_400).text);
}

#[test]
fn a_clock_that_is_behind_waits_for_time() {
    let time = UnixTime::since_unix_epoch(Duration::from_secs(0));
    let not_before = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
    let told = tls_text(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }));
    assert_says(&told.text, &["valid from 2026-01-01", "clock says 1970-01-01", "waiting for the clock"]);
}

#[test]
fn a_certificate_for_another_name_lists_the_names_it_has() {
    let told = |presented: &[&str]| {
        let expected = ServerName::try_from("broker.example.com").unwrap();
        let presented = presented.iter().map(|name| (*name).to_owned()).collect();
        tls_text(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }))
            .text
    };
    assert_says(
        &told(&["DnsName(\"mqtt.example.org\")", "IpAddress(10.0.0.1)"]),
        &["is for mqtt.example.org, 10.0.0.1, not for the name broker.example.com"],
    );
    assert_says(&told(&[]), &["no subjectAltName", "broker.example.com"]);
    assert_says(&told(&["a", "b", "c", "d", "e", "f", "g"]), &["a, b, c, d, e, 2 more"]);
}

#[test]
fn a_certificate_from_another_ca_names_the_file_to_look_at() {
    let told = |error| tls_text(rustls::Error::InvalidCertificate(error)).text;
    assert_says(&told(CertificateError::UnknownIssuer), &["not signed by a CA in /etc/tidegate/ca.pem"]);
    let stranger = |self_signed| {
        let stranger = Stranger { subject: "CN=broker".to_owned(), issuer: "CN=other".to_owned(), self_signed };
        told(CertificateError::Other(rustls::OtherError(std::sync::Arc::new(stranger))))
    };
    assert_says(&stranger(false), &["CN=broker", "not signed by a CA in /etc/tidegate/ca.pem but by \"CN=other\""]);
    assert_says(&stranger(true), &["CN=broker", "self-signed", "`ca_file`"]);
    assert_says(&told(CertificateError::BadSignature), &["another key", "/etc/tidegate/ca.pem"]);
    let mut system = upstream();
    system.credentials.ca_file = None;
    let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert_says(&tls(&error, &system, Phase::Connecting).text, &["system's root certificates", "`ca_file`"]);
}

#[test]
fn every_return_code_of_the_broker_has_its_sentence() {
    for (code, parts) in [
        (4, vec!["user \"boiler\"", "/etc/tidegate/password"]),
        (5, vec!["user \"boiler\"", "client id \"tidegate-test\"", "access rules"]),
        (2, vec!["\"tidegate-test\"", "`client_id`"]),
        (3, vec!["not available"]),
        (1, vec!["MQTT 3.1.1"]),
        (9, vec!["does not know (9)", "MQTT 5-only"]),
    ] {
        let no = Fault::Refused { reason: code, text: None, server: None };
        let told = fault(&no, &upstream(), Phase::Connecting);
        assert_says(&told.text, &["broker.example.com:8883"]);
        assert_says(&told.text, &parts);
    }
}

#[test]
fn alerts_say_what_is_wrong_with_our_certificate() {
    let told = |alert| tls_text(rustls::Error::AlertReceived(alert)).text;
    assert_says(&told(AlertDescription::CertificateRequired), &["demands a client certificate", "`cert_file`"]);
    assert_says(&told(AlertDescription::HandshakeFailure), &["client certificate"]);
    assert_says(&told(AlertDescription::ProtocolVersion), &["TLS 1.2"]);
    let mut with_certificate = upstream();
    with_certificate.credentials.cert_file = Some(PathBuf::from("/etc/tidegate/client.pem"));
    let error = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
    let error = Fault::Io(io::Error::new(io::ErrorKind::InvalidData, error));
    let told = fault(&error, &with_certificate, Phase::Connected);
    assert_says(&told.text, &["does not know the CA", "/etc/tidegate/client.pem"]);
}

#[test]
fn the_operating_systems_errors_have_their_sentences() {
    for (kind, parts) in [
        (io::ErrorKind::ConnectionRefused, vec!["refuses connections", "8883", "running"]),
        (io::ErrorKind::NetworkUnreachable, vec!["no route", "cable"]),
        (io::ErrorKind::HostUnreachable, vec!["no route"]),
        (io::ErrorKind::TimedOut, vec!["did not answer within 10s", "firewall"]),
        (io::ErrorKind::ConnectionReset, vec!["closed the connection before it accepted us"]),
        (io::ErrorKind::UnexpectedEof, vec!["client certificate"]),
        (io::ErrorKind::Other, vec!["failed"]),
    ] {
        let told = io(&io::Error::from(kind), &upstream(), Phase::Connecting);
        assert_says(&told.text, &parts);
    }
    let unknown = io::Error::other("failed to lookup address information: Name or service not known");
    assert_says(&io(&unknown, &upstream(), Phase::Connecting).text, &["no host named broker.example.com", "spelling"]);
    let silent = io::Error::other("failed to lookup address information: Temporary failure in name resolution");
    assert_says(&io(&silent, &upstream(), Phase::Connecting).text, &["no name server answers"]);
}

#[test]
fn an_ipv6_address_is_written_with_brackets() {
    assert_eq!(place(&testing::upstream("::1", 1883, None)), "[::1]:1883");
}

#[test]
fn bytes_that_were_changed_on_the_way_are_told_as_such_and_only_in_an_established_session() {
    let told = |error, phase| tls(&error, &upstream(), phase).text;
    for error in [
        rustls::Error::DecryptError,
        rustls::Error::AlertReceived(AlertDescription::BadRecordMac),
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion),
    ] {
        assert_says(&told(error, Phase::Connected), &["arrives changed", "cable"]);
    }
    let foreign = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    assert_says(&told(foreign, Phase::Connecting), &["something other than TLS"]);
}

#[test]
fn only_what_speaks_neither_tls_nor_mqtt_is_another_protocol() {
    let of_tls = |error| Fault::Io(io::Error::new(io::ErrorKind::InvalidData, error));
    let foreign = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    assert!(is_other_protocol(&of_tls(foreign)));
    assert!(!is_other_protocol(&of_tls(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))));
    assert!(is_other_protocol(&Fault::NotMqtt));
    assert!(!is_other_protocol(&Fault::Io(io::ErrorKind::ConnectionReset.into())));
    assert!(!is_other_protocol(&Fault::Refused { reason: 5, text: None, server: None }));
}
