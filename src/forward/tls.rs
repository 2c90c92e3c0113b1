//! Credentials from files to a TLS client configuration, with words for everything that can be wrong with a file.
//!
//! Owns reading and checking of CA, certificate, key and password files. Files are read anew at every call, so what a
//! technician repairs on disk works at the next connection. Never connects and never logs; a secret never appears in a
//! message.
//!
//! TLS 1.2 and 1.3 by rustls with the `ring` provider, server verified against `ca_file` or the system's roots, no ALPN.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::clock::WallTime;
use crate::config::model::Credentials;

/// Largest credential file read, bytes. A bundle of all public roots is about 230 KiB.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Longest password, bytes: MQTT's limit.
const PASSWORD_BYTES_MAX: usize = 65_535;

/// A credential file that cannot be used. The caller tells it and tries again later: files get repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The file; `None` for the system's roots.
    pub file: Option<PathBuf>,
    /// What was found.
    pub found: String,
    /// What to do.
    pub help: String,
}

impl TlsError {
    fn new(file: &Path, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self { file: Some(file.to_owned()), found: found.into(), help: help.into() }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        write!(f, "{}; {}", self.found, self.help)
    }
}

impl std::error::Error for TlsError {}

/// The time by which certificates are judged: the wall clock, but never before a time that has certainly passed
/// ([`crate::clock::SystemClock::earliest`]).
#[derive(Debug)]
struct JudgedFrom(UnixTime);

impl TimeProvider for JudgedFrom {
    fn current_time(&self) -> Option<UnixTime> {
        // A clock before 1970 is no clock.
        let shown = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Some(UnixTime::since_unix_epoch(shown).max(self.0))
    }
}

/// Makes the configuration of one connection, for which it is `earliest` or later whatever the clock says.
///
/// # Errors
///
/// A file that is missing, unreadable, empty, no PEM, of the wrong kind, or a key that does not belong to its
/// certificate or is open to others.
pub fn client_config(credentials: &Credentials, earliest: WallTime) -> Result<ClientConfig, TlsError> {
    let roots = match &credentials.ca_file {
        Some(file) => roots_from(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let seconds = earliest.as_millis().max(0).unsigned_abs() / 1000;
    let time = JudgedFrom(UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
    let builder = ClientConfig::builder_with_details(provider, Arc::new(time))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("invariant: the ring provider has cipher suites for both versions")
        .with_root_certificates(roots);
    match (&credentials.cert_file, &credentials.key_file) {
        (Some(cert_file), Some(key_file)) => {
            let chain = certificates(cert_file)?;
            let key = private_key(key_file)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| identity_error(&error, cert_file, key_file))
        }
        (Some(file), None) => Err(TlsError::new(file, "a certificate without its key", "set `key_file` too")),
        (None, Some(file)) => Err(TlsError::new(file, "a key without its certificate", "set `cert_file` too")),
        (None, None) => Ok(builder.with_no_client_auth()),
    }
}

/// Reads `password_file`, without the line end at its end.
///
/// # Errors
///
/// A file that is missing, unreadable, empty, not text, or open to others.
pub fn password(credentials: &Credentials) -> Result<Option<String>, TlsError> {
    let Some(file) = &credentials.password_file else { return Ok(None) };
    let bytes = read_secret(file)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| TlsError::new(file, "the password is not UTF-8 text", "save the file as plain UTF-8 text"))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(TlsError::new(file, "the file is empty", "write the password into it, on one line"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        let found = format!("the password has {} bytes", password.len());
        return Err(TlsError::new(file, found, "MQTT takes at most 65,535; is this the right file?"));
    }
    Ok(Some(password.to_owned()))
}

/// What is not wrong but soon or already a cause of trouble: certificates of ours that are expired, not valid yet or
/// about to expire. Files that cannot be read are passed over here; [`client_config`] tells of them.
pub fn warnings(credentials: &Credentials, now: WallTime) -> Vec<String> {
    let mut warnings = Vec::new();
    for (file, what) in [(&credentials.ca_file, "CA certificate"), (&credentials.cert_file, "client certificate")] {
        let Some(file) = file else { continue };
        let Ok(chain) = certificates(file) else { continue };
        for der in &chain {
            let Ok((_, certificate)) = x509_parser::parse_x509_certificate(der) else { continue };
            let not_before = WallTime::from_millis(certificate.validity().not_before.timestamp().saturating_mul(1000));
            let not_after = WallTime::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1000));
            let subject = certificate.subject();
            let file = file.display();
            if now > not_after {
                warnings.push(format!("{file}: {what} \"{subject}\" expired on {not_after}; renew it"));
            } else if now < not_before {
                warnings.push(format!(
                    "{file}: {what} \"{subject}\" is valid from {not_before} on; this gateway's clock says {now}"
                ));
            } else if not_after.since(now).is_some_and(|left| left < EXPIRY_NOTICE) {
                warnings.push(format!("{file}: {what} \"{subject}\" expires on {not_after}; renew it in time"));
            }
        }
    }
    warnings
}

/// How long before its end a certificate is mentioned: time to order a new one and carry it to the site.
const EXPIRY_NOTICE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The CA certificates of a file.
fn roots_from(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(file)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let found = format!("certificate {} of the file cannot be used as a CA: {error}", index + 1);
            TlsError::new(file, found, "copy the CA's certificate again from where it was issued")
        })?;
    }
    Ok(roots)
}

/// The roots of the system; those that rustls does not take are passed over, as every client does.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let why = loaded.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(TlsError {
            file: None,
            found: format!("this system has no root certificates{why}"),
            help: "install the package `ca-certificates`, or set `ca_file` to the broker's CA".to_owned(),
        });
    }
    Ok(roots)
}

/// All certificates of a PEM file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(file)?;
    let text = pem_text(file, &bytes, "x509")?;
    let mut chain = Vec::new();
    let mut keys = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|error| damaged(file, &error))?;
        match kind {
            SectionKind::Certificate => chain.push(CertificateDer::from(der)),
            kind if is_key(kind) => keys += 1,
            _ => {}
        }
    }
    if let Some((index, why)) = chain.iter().enumerate().find_map(|(index, der)| Some((index, unparsable(der)?))) {
        let found = format!("certificate {} of the file is damaged ({why})", index + 1);
        return Err(TlsError::new(file, found, "copy it again from where it was issued"));
    }
    if !chain.is_empty() {
        return Ok(chain);
    }
    Err(if keys > 0 || contains(text, b"PRIVATE KEY-----") {
        TlsError::new(file, "this is a private key, not a certificate", "are the files mixed up?")
    } else if contains(text, b"-----BEGIN TRUSTED CERTIFICATE-----") {
        let help = format!("convert it with `openssl x509 -in {} -out cert.pem`", file.display());
        TlsError::new(file, "the certificate is in OpenSSL's own \"trusted\" form", help)
    } else if contains(text, b"-----BEGIN CERTIFICATE REQUEST-----")
        || contains(text, b"-----BEGIN NEW CERTIFICATE REQUEST-----")
    {
        TlsError::new(file, "this is a request for a certificate, not a certificate", "have the CA sign it")
    } else {
        TlsError::new(
            file,
            "there is no certificate in this file",
            "expected PEM text with a line `-----BEGIN CERTIFICATE-----`",
        )
    })
}

/// The private key of a PEM file.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read_secret(file)?;
    let text = pem_text(file, &bytes, "pkey")?;
    if contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(text, b"Proc-Type: 4,ENCRYPTED") {
        let help = format!(
            "nobody can type a passphrase here: remove it with `openssl pkey -in {} -out client.key`",
            file.display()
        );
        return Err(TlsError::new(file, "the key is encrypted with a passphrase", help));
    }
    let mut certificates = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|error| damaged(file, &error))?;
        match kind {
            SectionKind::Certificate => certificates += 1,
            kind if is_key(kind) => {
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
    } else if contains(text, b"-----BEGIN PUBLIC KEY-----") {
        TlsError::new(file, "this is a public key", "expected the private key that belongs to the certificate")
    } else {
        TlsError::new(
            file,
            "there is no private key in this file",
            "expected PEM text with a line `-----BEGIN PRIVATE KEY-----`",
        )
    })
}

/// Why a certificate and a key do not go together.
fn identity_error(error: &rustls::Error, cert_file: &Path, key_file: &Path) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::new(
            key_file,
            format!("the key does not belong to the certificate in {}", cert_file.display()),
            "both must come from the same request, and the file's first certificate must be the gateway's own",
        ),
        rustls::Error::InvalidCertificate(_) => TlsError::new(
            cert_file,
            format!("the certificate cannot be used: {error}"),
            "copy it again from where it was issued",
        ),
        _ => TlsError::new(
            key_file,
            format!("the key cannot be used: {error}"),
            "expected RSA of 2048 to 8192 bits, ECDSA P-256 or P-384, or Ed25519",
        ),
    }
}

/// Reads a file that only we may read.
fn read_secret(file: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = read(file)?;
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    let mode = metadata.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(TlsError::new(
            file,
            format!("every user of this machine can get at this secret (mode {:04o})", mode & 0o7777),
            format!("close it with `chmod 600 {}`", file.display()),
        ));
    }
    Ok(bytes)
}

/// Reads a file, bounded.
fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    // Looked at before it is opened: opening a pipe waits for somebody to write into it.
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(TlsError::new(file, "it is no regular file", "correct the path in the configuration"));
    }
    let open = std::fs::File::open(file).map_err(|error| unreadable(file, &error))?;
    open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(file, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::new(file, "the file is larger than 1 MiB", "is this the right file?"));
    }
    Ok(bytes)
}

/// Says why a file could not be read.
fn unreadable(file: &Path, error: &std::io::Error) -> TlsError {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            TlsError::new(file, "the file does not exist", "put it there or correct the path in the configuration")
        }
        std::io::ErrorKind::PermissionDenied => TlsError::new(
            file,
            "the gateway's user may not read this file",
            "make the user that runs tidegate its owner, and check the directories above it",
        ),
        std::io::ErrorKind::IsADirectory => {
            TlsError::new(file, "this is a directory", "name the file in it that is meant")
        }
        _ => TlsError::new(file, format!("cannot be read: {error}"), "check the disk and the path"),
    }
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
            ("PKCS#12 (.p12, .pfx)", format!("take it apart with `openssl pkcs12 -in {path} -nodes -out bundle.pem`"))
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

/// Whether a PEM section holds a private key.
fn is_key(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
