//! Looking at credential files one by one, as `tidegate check` does before anything starts.
//!
//! Owns what is worth a remark though it works: the wrong purpose, an old CA, a password with a space at its end. The
//! same code reads the files here and for a connection, so that the two never differ. Never connects.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::TlsError;
use super::expiry::{Certificate, Whose};
use super::pem;
use crate::config::model::Credentials;

/// All certificates of our files. Those that cannot be read are passed over; a connection tells of them.
pub fn certificates(credentials: &Credentials) -> Vec<Certificate> {
    let mut known = Vec::new();
    for (file, whose) in [(&credentials.ca_file, Whose::Ca), (&credentials.cert_file, Whose::Client)] {
        let Some(file) = file else { continue };
        let Ok(found) = pem::certificates(file) else { continue };
        known.extend(found.chain.iter().filter_map(|der| Certificate::read(der, whose, Some(file))));
    }
    known
}

/// What works and is probably not as meant, in all files that can be read.
pub fn remarks(credentials: &Credentials) -> Vec<String> {
    let told = |file: &Option<PathBuf>, look: fn(&Path) -> Result<Vec<String>, TlsError>| match file {
        Some(file) => look(file).unwrap_or_default(),
        None => Vec::new(),
    };
    let mut remarks = told(&credentials.ca_file, ca_file);
    remarks.extend(told(&credentials.cert_file, cert_file));
    remarks.extend(told(&credentials.password_file, password_file));
    remarks
}

/// Looks at a `ca_file`; returns remarks.
///
/// # Errors
///
/// What a connection would refuse.
pub fn ca_file(file: &Path) -> Result<Vec<String>, TlsError> {
    let found = pem::certificates(file)?;
    super::roots(file, &found.chain)?;
    let mut remarks = Vec::new();
    if found.with_key {
        remarks.push(format!(
            "{}: a private key lies beside the CA certificate; whoever has it can pose as the broker: take it out of this \
             file and off this machine",
            file.display()
        ));
    }
    Ok(remarks)
}

/// Looks at a `cert_file`; returns remarks.
///
/// # Errors
///
/// What a connection would refuse.
pub fn cert_file(file: &Path) -> Result<Vec<String>, TlsError> {
    let found = pem::certificates(file)?;
    // In a chain in the wrong order the first is a CA, which is fine.
    let unfit = |der: &CertificateDer<'_>| {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        (!is_ca(&parsed) && !is_for_clients(&parsed)).then(|| parsed.subject().to_string())
    };
    Ok(found.chain.iter().find_map(unfit).into_iter().map(|subject| {
        format!(
            "{}: the certificate \"{subject}\" is not for clients (its extended key usage lacks clientAuth); most brokers \
             refuse it: have it issued again for TLS client authentication",
            file.display()
        )
    }).collect())
}

/// Looks at a `key_file`.
///
/// # Errors
///
/// What a connection would refuse.
pub fn key_file(file: &Path) -> Result<(), TlsError> {
    let key = pem::private_key(file)?;
    super::key::signing_key(&rustls::crypto::ring::default_provider(), key, file).map(drop)
}

/// Looks at a `password_file`; returns remarks, which never show the password.
///
/// # Errors
///
/// What a connection would refuse.
pub fn password_file(file: &Path) -> Result<Vec<String>, TlsError> {
    let password = super::password_from(file)?;
    let path = file.display();
    let mut remarks = Vec::new();
    if password.contains(['\n', '\r']) {
        remarks.push(format!("{path}: the password has several lines, all of which are sent; is that meant?"));
    } else if password.trim() != password {
        let end = if password.trim_start() == password { "ends" } else { "starts" };
        remarks.push(format!("{path}: the password {end} with a space, which is sent as part of it; is that meant?"));
    }
    if password.starts_with('\u{feff}') {
        remarks.push(format!(
            "{path}: the password starts with a byte order mark, which is sent as part of it; save the file without"
        ));
    }
    Ok(remarks)
}

/// Whether a certificate may sign others. Those of version 1 cannot say; a root of that kind is taken.
pub(super) fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    match certificate.basic_constraints() {
        Ok(Some(constraints)) => constraints.value.ca,
        _ => certificate.version().0 == 0,
    }
}

fn is_for_clients(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.any || usage.value.client_auth,
        _ => true,
    }
}
