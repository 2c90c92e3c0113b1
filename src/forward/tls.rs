//! Credentials from files to a TLS client configuration, with words for everything that can be wrong with a file.
//!
//! Owns what a connection is made with: CA, certificate, key and password. Files are read anew at every call, so what a
//! technician repairs or replaces on disk works at the next connection. A connection that is up is left alone when its
//! certificate is replaced or ends: TLS asks for it at the start only. Never connects and never logs (but for [`watch`]);
//! a secret never appears in a message.
//!
//! `file` reads, `pem` takes apart, `key` fits certificate and key together, [`verify`] checks the broker's certificate,
//! [`expiry`] and [`watch`] tell when certificates end, [`inspect`] looks at single files.
//!
//! TLS 1.2 and 1.3 by rustls with the `ring` provider, server verified against `ca_file` or the system's roots, no ALPN.

pub mod expiry;
mod file;
pub mod inspect;
mod key;
mod pem;
pub mod verify;
pub mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::clock::WallTime;
use crate::config::model::Credentials;
use expiry::Certificates;
pub use file::FILE_BYTES_MAX;

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

/// Makes the configuration of one connection, for which it is `earliest` or later whatever the clock says. What the
/// broker shows is noted in `seen`.
///
/// # Errors
///
/// A file that is missing, unreadable, empty, no PEM, of the wrong kind, or a key that does not belong to its
/// certificate or is open to others.
pub fn client_config(
    credentials: &Credentials,
    earliest: WallTime,
    seen: &Certificates,
) -> Result<ClientConfig, TlsError> {
    let roots = match &credentials.ca_file {
        Some(file) => roots(file, &pem::certificates(file)?.chain)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = verify::Noting::new(roots, Arc::clone(&provider), seen.clone());
    let seconds = earliest.as_millis().max(0).unsigned_abs() / 1000;
    let time = JudgedFrom(UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
    let builder = ClientConfig::builder_with_details(provider, Arc::new(time))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("invariant: the ring provider has cipher suites for both versions")
        // "Dangerous" is what rustls calls a verifier of one's own; this one asks rustls's.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(match identity(credentials)? {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Identity(Arc::new(identity)))),
        None => builder.with_no_client_auth(),
    })
}

/// The client certificate with its key, if there is to be one.
///
/// # Errors
///
/// What is wrong with either, or with both together.
pub fn identity(credentials: &Credentials) -> Result<Option<CertifiedKey>, TlsError> {
    match (&credentials.cert_file, &credentials.key_file) {
        (Some(cert_file), Some(key_file)) => {
            let chain = pem::certificates(cert_file)?.chain;
            let provider = rustls::crypto::ring::default_provider();
            let key = key::signing_key(&provider, pem::private_key(key_file)?, key_file)?;
            key::identity(chain, key, cert_file, key_file).map(Some)
        }
        (Some(file), None) => Err(TlsError::new(file, "a certificate without its key", "set `key_file` too")),
        (None, Some(file)) => Err(TlsError::new(file, "a key without its certificate", "set `cert_file` too")),
        (None, None) => Ok(None),
    }
}

/// Shows the one certificate there is to whoever asks.
#[derive(Debug)]
struct Identity(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Reads `password_file`, without the line end at its end.
///
/// # Errors
///
/// A file that is missing, unreadable, empty, not text, or open to others.
pub fn password(credentials: &Credentials) -> Result<Option<String>, TlsError> {
    credentials.password_file.as_deref().map(password_from).transpose()
}

/// Reads a file with a secret; bounded, and refused when others can read it.
///
/// # Errors
///
/// A file that is missing, unreadable, too large or open to others.
pub fn secret(file: &Path) -> Result<Vec<u8>, TlsError> {
    file::read_secret(file)
}

fn password_from(file: &Path) -> Result<String, TlsError> {
    let bytes = file::read_secret(file)?;
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
    Ok(password.to_owned())
}

/// The CA certificates of a file, at least one of which can have signed something.
fn roots(file: &Path, certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let mut strangers = Vec::new();
    for (index, der) in certificates.iter().enumerate() {
        roots.add(der.clone()).map_err(|error| {
            let found = format!("certificate {} of the file cannot be used as a CA: {error}", index + 1);
            TlsError::new(file, found, "copy the CA's certificate again from where it was issued")
        })?;
        if let Ok((_, parsed)) = x509_parser::parse_x509_certificate(der)
            && !inspect::is_ca(&parsed)
            // One that the broker has signed for itself is trusted by being here.
            && parsed.subject().as_raw() != parsed.issuer().as_raw()
        {
            strangers.push((parsed.subject().to_string(), parsed.issuer().to_string()));
        }
    }
    match strangers.first() {
        Some((subject, issuer)) if strangers.len() == certificates.len() => Err(TlsError::new(
            file,
            format!("the certificate \"{subject}\" is no CA certificate"),
            format!("put the certificate of its issuer \"{issuer}\" here instead"),
        )),
        _ => Ok(roots),
    }
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

#[cfg(test)]
#[path = "tls/kinds_tests.rs"]
mod kinds_tests;
#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
