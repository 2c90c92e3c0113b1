//! From the bytes of a file to certificates and keys, with words for everything else that a file may be.
//!
//! Owns PEM (RFC 7468) and what people put in its place: DER, PKCS#12, PKCS#7, UTF-16, requests, SSH keys, passphrases.
//! Text before and after the sections (`Bag Attributes`), a byte order mark and Windows line ends are no matter. Never
//! judges a certificate or a key.

use std::path::Path;

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use super::file::{read, read_secret, refuse_open_to_others};

/// The certificates of a file.
pub(super) struct Certificates {
    /// At least one, in the file's order; each can be parsed.
    pub chain: Vec<CertificateDer<'static>>,
    /// There is a private key beside them.
    pub with_key: bool,
}

/// All certificates of a PEM file, at least one. A file that holds a key as well must be closed to others.
pub(super) fn certificates(file: &Path) -> Result<Certificates, TlsError> {
    let bytes = read(file)?;
    let text = pem_text(file, &bytes, "x509")?;
    let mut chain = Vec::new();
    let with_key = contains(text, b"PRIVATE KEY-----");
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|error| damaged(file, &error))?;
        if kind == SectionKind::Certificate {
            chain.push(CertificateDer::from(der));
        }
    }
    if let Some((index, why)) = chain.iter().enumerate().find_map(|(index, der)| Some((index, unparsable(der)?))) {
        let found = format!("certificate {} of the file is damaged ({why})", index + 1);
        return Err(TlsError::new(file, found, "copy it again from where it was issued"));
    }
    if chain.is_empty() {
        return Err(no_certificate(file, text, with_key));
    }
    if with_key {
        refuse_open_to_others(file)?;
    }
    Ok(Certificates { chain, with_key })
}

/// What a file is that should hold a certificate and does not.
fn no_certificate(file: &Path, text: &[u8], with_key: bool) -> TlsError {
    let path = file.display();
    if with_key {
        TlsError::new(file, "this is a private key, not a certificate", "are the files mixed up?")
    } else if contains(text, b"-----BEGIN TRUSTED CERTIFICATE-----") {
        let help = format!("convert it with `openssl x509 -in {path} -out cert.pem`");
        TlsError::new(file, "the certificate is in OpenSSL's own \"trusted\" form", help)
    } else if contains(text, b"CERTIFICATE REQUEST-----") {
        TlsError::new(file, "this is a request for a certificate, not a certificate", "have the CA sign it")
    } else if contains(text, b"-----BEGIN PKCS7-----") {
        let help = format!("take them out with `openssl pkcs7 -print_certs -in {path} -out chain.pem`");
        TlsError::new(file, "the certificates are wrapped up as PKCS#7 (.p7b)", help)
    } else if contains(text, b"-----BEGIN CERTIFICATE-----") {
        indented(file)
    } else {
        TlsError::new(
            file,
            "there is no certificate in this file",
            "expected PEM text with a line `-----BEGIN CERTIFICATE-----`",
        )
    }
}

/// The private key of a PEM file that is closed to others.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read_secret(file)?;
    let text = pem_text(file, &bytes, "pkey")?;
    if contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(text, b"Proc-Type: 4,ENCRYPTED") {
        let path = file.display();
        let help = format!(
            "nobody can type a passphrase here: remove it with `openssl pkey -in {path} -out client.key`, then \
             `chmod 600 client.key`; to keep the key encrypted on the disk, let systemd hold it (`systemd-creds encrypt \
             client.key ...` and `LoadCredentialEncrypted=` in the unit)"
        );
        return Err(TlsError::new(file, "the key is encrypted with a passphrase", help));
    }
    let mut certificates = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|error| damaged(file, &error))?;
        match kind {
            SectionKind::Certificate => certificates += 1,
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                if let Some(key) = PrivateKeyDer::from_pem(kind, der) {
                    return Ok(key);
                }
            }
            _ => {}
        }
    }
    Err(if certificates > 0 {
        TlsError::new(file, "this is a certificate, not a private key", "are the files mixed up?")
    } else if contains(text, b"-----BEGIN OPENSSH PRIVATE KEY-----") {
        TlsError::new(file, "this is an SSH key", "expected the key that belongs to the certificate")
    } else if contains(text, b"-----BEGIN DSA PRIVATE KEY-----") {
        TlsError::new(file, "this is a DSA key, which TLS does not use any more", super::key::NEW_KEY)
    } else if contains(text, b"PUBLIC KEY-----") {
        TlsError::new(file, "this is a public key", "expected the private key that belongs to the certificate")
    } else if contains(text, b"PRIVATE KEY-----") {
        indented(file)
    } else {
        TlsError::new(
            file,
            "there is no private key in this file",
            "expected PEM text with a line `-----BEGIN PRIVATE KEY-----`",
        )
    })
}

/// The BEGIN line is there, but not at the start of a line.
fn indented(file: &Path) -> TlsError {
    TlsError::new(
        file,
        "there is text or a space before `-----BEGIN` in its line, or the line breaks are lost",
        "copy it again, as a file and not through an editor or a chat",
    )
}

/// The text of a PEM file without a byte order mark; refuses what is no text.
fn pem_text<'a>(file: &Path, bytes: &'a [u8], openssl_command: &str) -> Result<&'a [u8], TlsError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(TlsError::new(file, "the file is empty", "put the PEM text into it"));
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(TlsError::new(file, "the text is UTF-16", "save the file again as plain ASCII or UTF-8 text"));
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // A DER structure of any size we care about: SEQUENCE with a length of two or more bytes.
    if text.starts_with(&[0x30]) && !contains(text, b"-----BEGIN") {
        let path = file.display();
        let (what, help) = if is_pkcs12(file, text) {
            let part = if openssl_command == "pkey" { "-nocerts -nodes" } else { "-nokeys" };
            ("PKCS#12 (.p12, .pfx)", format!("take it apart with `openssl pkcs12 -in {path} {part} -out {path}.pem`"))
        } else {
            ("DER", format!("convert it with `openssl {openssl_command} -inform der -in {path} -out {path}.pem`"))
        };
        return Err(TlsError::new(file, format!("the file is binary ({what}), expected PEM text"), help));
    }
    Ok(text)
}

/// PKCS#12 starts with a SEQUENCE that holds the version number 3; certificates and keys do not.
fn is_pkcs12(file: &Path, der: &[u8]) -> bool {
    let by_name =
        file.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("p12") || ext.eq_ignore_ascii_case("pfx"));
    by_name || der.get(4..7) == Some(&[0x02, 0x01, 0x03])
}

/// Says that a PEM file does not follow its format.
fn damaged(file: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    let found = match error {
        rustls::pki_types::pem::Error::MissingSectionEnd { .. } => {
            "the file ends in the middle (there is no `-----END` line)".to_owned()
        }
        rustls::pki_types::pem::Error::Base64Decode(_) => "the text between BEGIN and END is damaged".to_owned(),
        other => format!("the file is damaged: {other}"),
    };
    TlsError::new(file, found, "copy it again, as a file and not through an editor or a chat")
}

/// Why a certificate cannot be parsed, if so.
fn unparsable(der: &CertificateDer<'_>) -> Option<String> {
    x509_parser::parse_x509_certificate(der).err().map(|error| error.to_string())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
