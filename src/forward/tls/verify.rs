//! The broker's certificate: checked as everywhere, and looked at on the way.
//!
//! Owns the verifier given to rustls, which leaves every decision to WebPki, notes when an accepted chain ends, and says
//! of a stranger who signed it. Never accepts what WebPki refuses.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use super::expiry::{Certificate, Certificates, Whose};

/// Certificates of a presented chain that are looked at; real ones have two or three.
const CHAIN_MAX: usize = 8;

/// Nobody we trust has signed the broker's certificate; who did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Whom the certificate is for.
    pub subject: String,
    /// Who signed it; with a chain, who signed its last certificate.
    pub issuer: String,
    /// It is signed by itself.
    pub self_signed: bool,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate \"{}\" is signed by \"{}\", which is not trusted", self.subject, self.issuer)
    }
}

impl std::error::Error for Stranger {}

/// WebPki's judgement, noted.
#[derive(Debug)]
pub(super) struct Noting {
    inner: Arc<WebPkiServerVerifier>,
    seen: Certificates,
}

impl Noting {
    pub(super) fn new(roots: RootCertStore, provider: Arc<CryptoProvider>, seen: Certificates) -> Self {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect("invariant: there are roots, and no revocation lists that could be wrong");
        Self { inner, seen }
    }
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            Ok(verified) => {
                let presented = std::iter::once(end_entity).chain(intermediates).take(CHAIN_MAX);
                self.seen
                    .note_broker(presented.filter_map(|der| Certificate::read(der, Whose::Broker, None)).collect());
                Ok(verified)
            }
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Err(stranger(end_entity, intermediates)),
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The error of an unknown issuer, with its name.
fn stranger(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Error {
    let read = |der| Certificate::read(der, Whose::Broker, None);
    let last = intermediates.iter().take(CHAIN_MAX).next_back().and_then(read);
    let error = match read(end_entity) {
        Some(own) => {
            let self_signed = own.issuer == own.subject;
            let issuer = last.map_or(own.issuer, |last| last.issuer);
            let stranger = Stranger { subject: own.subject, issuer, self_signed };
            CertificateError::Other(OtherError(Arc::new(stranger)))
        }
        None => CertificateError::UnknownIssuer,
    };
    Error::InvalidCertificate(error)
}
