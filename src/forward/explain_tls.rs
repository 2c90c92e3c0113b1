//! Why TLS with the upstream broker failed, in one sentence with what to do about it.
//!
//! Owns the words for what is wrong with the broker's certificate, for what the broker's TLS says about us, and for bytes
//! that arrive changed. Pure.

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError};

use super::explain::{Explanation, Phase, place};
use super::tls::verify::Stranger;
use crate::clock::WallTime;
use crate::config::model::Upstream;

/// Explains an error of TLS.
pub(super) fn tls(error: &rustls::Error, upstream: &Upstream, phase: Phase) -> Explanation {
    let place = place(upstream);
    if is_damage(error, phase) {
        return Explanation::plain(format!(
            "what passes between this gateway and {place} arrives changed ({error}); TLS has noticed, so nothing wrong was \
             taken: look for a bad cable, modem or radio link, or a proxy that meddles"
        ));
    }
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error, upstream),
        rustls::Error::AlertReceived(alert) => Explanation::plain(alert_text(*alert, upstream)),
        rustls::Error::InvalidMessage(_)
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::PeerSentOversizedRecord => Explanation::plain(format!(
            "{place} answered with something other than TLS; is this the broker's TLS port (usually 8883), and does a \
             sign-in page or proxy of the network answer in its place?"
        )),
        rustls::Error::PeerIncompatible(_) => {
            Explanation::plain(format!("{place} and this gateway have no TLS version or cipher in common ({error})"))
        }
        _ => Explanation::plain(format!("TLS with {place} failed: {error}")),
    }
}

/// Whether it means that bytes were changed on the way. Once a handshake has been completed nothing else explains a
/// record that cannot be read, on our side or (as its alerts say) on the broker's.
fn is_damage(error: &rustls::Error, phase: Phase) -> bool {
    match error {
        rustls::Error::DecryptError | rustls::Error::AlertReceived(AlertDescription::BadRecordMac) => true,
        rustls::Error::InvalidMessage(_)
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::PeerSentOversizedRecord
        | rustls::Error::AlertReceived(
            AlertDescription::UnexpectedMessage
            | AlertDescription::RecordOverflow
            | AlertDescription::DecodeError
            | AlertDescription::ProtocolVersion,
        ) => phase != Phase::Connecting,
        _ => false,
    }
}

/// Explains why the broker's certificate is not taken.
fn certificate(error: &CertificateError, upstream: &Upstream) -> Explanation {
    let host = &upstream.url.host;
    let trusted = match &upstream.credentials.ca_file {
        Some(file) => file.display().to_string(),
        None => "this system's root certificates (`ca_file` is not set)".to_owned(),
    };
    if let CertificateError::Other(other) = error
        && let Some(stranger) = other.0.downcast_ref::<Stranger>()
    {
        return unknown_issuer(stranger, &trusted);
    }
    match error {
        CertificateError::UnknownIssuer => Explanation::plain(format!(
            "the certificate shown by {} is not signed by a CA in {trusted}; if the broker has a certificate of another \
             CA now, put that CA's certificate there; if not, somebody else answers in its place (sign-in page or TLS \
             inspection of the network)",
            place(upstream)
        )),
        CertificateError::BadSignature => Explanation::plain(format!(
            "the broker's certificate is signed by another key than that of the CA of the same name in {trusted}; put \
             the present CA certificate there"
        )),
        CertificateError::ExpiredContext { time, not_after } => {
            let key = format!("the broker's certificate expired on {}", stamp(*not_after));
            Explanation {
                text: format!(
                    "{key}; this gateway's clock says {}: if that is right, renew the certificate, else set the clock",
                    stamp(*time)
                ),
                key,
            }
        }
        CertificateError::Expired => Explanation::plain("the broker's certificate has expired; renew it"),
        CertificateError::NotValidYetContext { time, not_before } => {
            let key = format!("the broker's certificate is valid from {} on", stamp(*not_before));
            Explanation {
                text: format!(
                    "{key}, but this gateway's clock says {}; waiting for the clock to be set (time server reachable?)",
                    stamp(*time)
                ),
                key,
            }
        }
        CertificateError::NotValidYet => {
            Explanation::plain("the broker's certificate is not valid yet by this gateway's clock; check the clock")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let wanted = match expected {
                ServerName::IpAddress(_) => "address",
                _ => "name",
            };
            Explanation::plain(if presented.is_empty() {
                format!(
                    "the broker's certificate names no host (no subjectAltName); have it issued again for the {wanted} \
                     {host}"
                )
            } else {
                format!(
                    "the broker's certificate is for {}, not for the {wanted} {host}; use a name it has in `url`, or \
                     have it issued again",
                    names(presented)
                )
            })
        }
        CertificateError::NotValidForName => Explanation::plain(format!(
            "the broker's certificate is not for {host}; use a name it has in `url`, or have it issued again"
        )),
        CertificateError::Revoked => Explanation::plain("the broker's certificate is revoked; have it issued again"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Explanation::plain(
            "the broker's certificate is not for servers (its extended key usage lacks serverAuth); have it issued \
             again",
        ),
        other => {
            let debug = format!("{other:?}");
            Explanation::plain(if debug.contains("CaUsedAsEndEntity") {
                "the broker shows a CA certificate as its own; let that CA sign a certificate for the broker (without \
                 CA:TRUE) and use that"
                    .to_owned()
            } else if debug.contains("UnsupportedCertVersion") {
                "the broker's certificate is of X.509 version 1; have it issued again as version 3, with a \
                 subjectAltName"
                    .to_owned()
            } else {
                format!("the broker's certificate cannot be accepted: {other}")
            })
        }
    }
}

/// The broker's certificate leads to nobody we trust.
fn unknown_issuer(stranger: &Stranger, trusted: &str) -> Explanation {
    let Stranger { subject, issuer, self_signed } = stranger;
    Explanation::plain(if *self_signed {
        format!(
            "the broker's certificate \"{subject}\" is self-signed, and not signed by a CA in {trusted}; if it is the \
             right one, put that certificate itself into `ca_file`"
        )
    } else {
        format!(
            "the broker's certificate \"{subject}\" is not signed by a CA in {trusted} but by \"{issuer}\"; if the broker \
             has a certificate of that CA, put the CA's certificate there, or let the broker show its whole chain; if not, \
             somebody else answers in its place (sign-in page or TLS inspection of the network)"
        )
    })
}

/// Explains what the broker's TLS said about us.
fn alert_text(alert: AlertDescription, upstream: &Upstream) -> String {
    let mine = match &upstream.credentials.cert_file {
        Some(file) => format!("the client certificate in {}", file.display()),
        None => "this gateway, which shows no client certificate".to_owned(),
    };
    let none = upstream.credentials.cert_file.is_none();
    match alert {
        AlertDescription::CertificateRequired => {
            "the broker demands a client certificate; set `cert_file` and `key_file`".to_owned()
        }
        AlertDescription::HandshakeFailure if none => {
            "the broker ended the TLS handshake; most often it demands a client certificate: set `cert_file` and \
             `key_file`"
                .to_owned()
        }
        AlertDescription::UnknownCA => format!("the broker does not know the CA that signed {mine}; check the chain"),
        AlertDescription::CertificateExpired => format!("the broker says that {mine} has expired; renew it"),
        AlertDescription::CertificateRevoked => format!("the broker says that {mine} is revoked; have it issued again"),
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => {
            format!("the broker rejects {mine} ({alert:?}); check that its CA is the one the broker trusts")
        }
        AlertDescription::ProtocolVersion => {
            "the broker takes neither TLS 1.2 nor TLS 1.3; enable one of them there".to_owned()
        }
        AlertDescription::UnrecognisedName => {
            format!("the broker does not serve the name {}; correct `url`", upstream.url.host)
        }
        other => format!("the broker ended the TLS handshake ({other:?}); look into its log"),
    }
}

fn stamp(time: UnixTime) -> WallTime {
    WallTime::from_millis(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// Most names of a certificate told; some have hundreds.
const NAMES_TOLD_MAX: usize = 5;

/// A certificate's names, from rustls's `DnsName("x")` and `IpAddress(...)` forms to plain text.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        inner.trim_matches('"').to_owned()
    };
    let mut told: Vec<String> = presented.iter().take(NAMES_TOLD_MAX).map(plain).collect();
    if presented.len() > NAMES_TOLD_MAX {
        told.push(format!("{} more", presented.len() - NAMES_TOLD_MAX));
    }
    told.join(", ")
}
