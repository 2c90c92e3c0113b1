//! Every kind of key and certificate that people have: taken, or refused in words with what to do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::clock::BUILT;
use crate::forward::testing::{Pki, write_secret};

/// A key that the tests cannot make themselves.
fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys").join(name)).unwrap()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
}

/// Tries a certificate with a key.
fn tried(cert: &str, key: &[u8]) -> Result<ClientConfig, String> {
    let pki = Pki::new();
    std::fs::write(pki.file("cert.pem"), cert).unwrap();
    write_secret(&pki.file("key.pem"), key);
    let credentials = Credentials {
        ca_file: Some(pki.ca_file()),
        cert_file: Some(pki.file("cert.pem")),
        key_file: Some(pki.file("key.pem")),
        ..Credentials::default()
    };
    client_config(&credentials, BUILT, &Certificates::default()).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected \"{part}\" in: {text}");
    }
}

#[test]
fn keys_of_all_kinds_that_can_sign_here_are_taken_in_all_forms() {
    for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(kind).unwrap();
        let cert = named("gw1").self_signed(&key).unwrap();
        tried(&cert.pem(), key.serialize_pem().as_bytes()).unwrap();
    }
    for (pkcs8, further) in
        [("rsa-2048.key", Some("rsa-2048-pkcs1.key")), ("rsa-4096.key", None), ("p256.key", Some("p256-sec1.key"))]
    {
        let key = KeyPair::from_pem(&String::from_utf8(fixture(pkcs8)).unwrap()).unwrap();
        let cert = named("gw1").self_signed(&key).unwrap().pem();
        for form in std::iter::once(pkcs8).chain(further) {
            tried(&cert, &fixture(form)).unwrap_or_else(|error| panic!("{form}: {error}"));
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_named_with_the_way_to_one_that_can() {
    let key = KeyPair::generate().unwrap();
    let cert = named("gw1").self_signed(&key).unwrap().pem();
    let openssl = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    let der = PrivateKeyDer::from_pem_slice(&fixture("p256.key")).unwrap();
    let plain = String::from_utf8(fixture("p256.key")).unwrap();
    let public = plain.replace("PRIVATE", "PUBLIC");
    let ssh = plain.replace("PRIVATE", "OPENSSH PRIVATE");
    let table: &[(&str, Vec<u8>, &[&str])] = &[
        ("P-521", fixture("p521.key"), &["P-521", openssl]),
        ("P-521 as SEC1", fixture("p521-sec1.key"), &["P-521", openssl]),
        ("Ed448", fixture("ed448.key"), &["Ed448", openssl]),
        ("short RSA", fixture("rsa-1024.key"), &["RSA key of 1024 bits", "too short", openssl]),
        ("short RSA as PKCS#1", fixture("rsa-1024-pkcs1.key"), &["RSA key of 1024 bits", openssl]),
        ("encrypted", fixture("p256-encrypted.key"), &["passphrase", "openssl pkey -in", "systemd-creds encrypt"]),
        ("encrypted, old form", fixture("p256-encrypted-sec1.key"), &["passphrase", "openssl pkey -in"]),
        ("PKCS#12", fixture("p256.p12"), &["PKCS#12", "openssl pkcs12", "-nocerts"]),
        ("DER", der.secret_der().to_vec(), &["DER", "openssl pkey -inform der"]),
        ("public", public.into_bytes(), &["public key"]),
        ("SSH", ssh.into_bytes(), &["SSH key"]),
        ("certificate", cert.clone().into_bytes(), &["certificate, not a private key", "mixed up"]),
        ("another", plain.clone().into_bytes(), &["key.pem", "does not belong to a certificate in", "by itself"]),
        ("nothing", b"\r\n".to_vec(), &["the file is empty"]),
        ("half", plain.as_bytes()[..plain.len() / 2].to_vec(), &["ends in the middle"]),
        ("indented", plain.replace('\n', "\n  ").replacen('-', " -", 1).into_bytes(), &["before `-----BEGIN`"]),
    ];
    for (what, key, words) in table {
        let told = tried(&cert, key).err().unwrap_or_else(|| panic!("{what} was taken"));
        assert_says(&told, &["key.pem"]);
        assert_says(&told, words);
    }
}

#[test]
fn text_around_a_certificate_and_a_key_in_the_same_file_are_no_matter() {
    let key = KeyPair::generate().unwrap();
    let cert = named("gw1").self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    let bag = "Bag Attributes\n    localKeyID: 01\nsubject=CN = gw1\n";
    tried(&format!("{bag}{cert}garbage\n\u{0}"), format!("{bag}{key}garbage").as_bytes()).unwrap();
    let both = format!("\u{feff}{bag}{cert}{bag}{key}").replace('\n', "\r\n");
    tried(&cert, both.as_bytes()).unwrap();
    // A certificate may be for everybody to read; with a key in it the file may not.
    let told = tried(&both, key.as_bytes()).unwrap_err();
    assert_says(&told, &["cert.pem", "every user of this machine", "chmod 600"]);
}

#[test]
fn a_chain_is_shown_in_the_right_order_whatever_the_file_has() {
    let key = || KeyPair::generate().unwrap();
    let mut params = named("root");
    ca(&mut params);
    let root = CertifiedIssuer::self_signed(params, key()).unwrap();
    let mut params = named("middle");
    ca(&mut params);
    let middle = CertifiedIssuer::signed_by(params, key(), &root).unwrap();
    let own_key = key();
    let own = named("gw1").signed_by(&own_key, &middle).unwrap();
    let pki = Pki::new();
    write_secret(&pki.file("key.pem"), own_key.serialize_pem().as_bytes());
    let credentials = Credentials {
        cert_file: Some(pki.file("cert.pem")),
        key_file: Some(pki.file("key.pem")),
        ..Credentials::default()
    };
    for file in [root.pem() + &middle.pem() + &own.pem(), middle.pem() + &own.pem() + &root.pem()] {
        std::fs::write(pki.file("cert.pem"), file).unwrap();
        let chain = identity(&credentials).unwrap().unwrap().cert;
        assert_eq!(chain, [own.der().clone(), middle.der().clone(), root.der().clone()]);
        assert_eq!(inspect::cert_file(&pki.file("cert.pem")).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_ca_file_is_to_hold_a_ca_or_the_brokers_own_certificate() {
    let pki = Pki::new();
    pki.server("server", &["localhost"], 1, crate::forward::testing::unix_in_days(100));
    let told = inspect::ca_file(&pki.file("server.pem")).unwrap_err().to_string();
    assert_says(&told, &["server.pem", "CN=broker", "no CA certificate", "issuer \"CN=Test CA\""]);
    let key = KeyPair::generate().unwrap();
    let own = named("broker").self_signed(&key).unwrap().pem();
    std::fs::write(pki.file("own.pem"), own.clone()).unwrap();
    assert_eq!(inspect::ca_file(&pki.file("own.pem")).unwrap(), Vec::<String>::new());
    write_secret(&pki.file("both.pem"), (own + &key.serialize_pem()).as_bytes());
    assert_says(&inspect::ca_file(&pki.file("both.pem")).unwrap()[0], &["both.pem", "private key", "take it out"]);
    for (text, words) in [
        ("-----BEGIN PKCS7-----\nAA==\n-----END PKCS7-----\n", "openssl pkcs7 -print_certs"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n", "have the CA sign it"),
        ("-----BEGIN TRUSTED CERTIFICATE-----\nAA==\n-----END TRUSTED CERTIFICATE-----\n", "openssl x509 -in"),
        (" -----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "before `-----BEGIN`"),
    ] {
        std::fs::write(pki.file("odd.pem"), text).unwrap();
        assert_says(&inspect::ca_file(&pki.file("odd.pem")).unwrap_err().to_string(), &["odd.pem", words]);
    }
}

#[test]
fn a_certificate_that_is_not_for_clients_is_remarked() {
    let pki = Pki::new();
    let key = KeyPair::generate().unwrap();
    let mut params = named("gw1");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    std::fs::write(pki.file("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    assert_says(&inspect::cert_file(&pki.file("cert.pem")).unwrap()[0], &["CN=gw1", "not for clients", "clientAuth"]);
    pki.client("client", "gw1");
    assert_eq!(inspect::cert_file(&pki.file("client.pem")).unwrap(), Vec::<String>::new());
}

#[test]
fn odd_passwords_are_remarked_and_never_shown() {
    let pki = Pki::new();
    let file = pki.file("password");
    for (content, words) in [
        ("s3cret\n", None),
        ("s3 cret\r\n", None),
        ("s3cret \n", Some("ends with a space")),
        (" s3cret", Some("starts with a space")),
        ("s3cret\n\n", Some("several lines")),
        ("\u{feff}s3cret\n", Some("byte order mark")),
    ] {
        write_secret(&file, content.as_bytes());
        let remarks = inspect::password_file(&file).unwrap();
        assert_eq!(remarks.len(), usize::from(words.is_some()), "{content:?}: {remarks:?}");
        if let Some(words) = words {
            assert_says(&remarks[0], &[words, "password"]);
            assert!(!remarks[0].contains("cret"), "{remarks:?}");
        }
    }
}
