//! Why there is no connection upstream, in one sentence with what to do about it.
//!
//! Owns the words for every failure of name look-up, TCP, TLS and MQTT. Pure: never connects, never logs, never reads a
//! clock. The audience is a technician beside the machine, not the author of the library.

use std::io;
use std::time::Duration;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError};

use super::explain_mqtt5 as mqtt5;
pub use super::explain_time::{time_of_fault, time_of_io};
use super::link::Fault;
pub use super::repeats::{Repeats, Say};
use super::tls::verify::Stranger;
use crate::clock::WallTime;
use crate::config::model::{Protocol, Upstream};

/// What happened, told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// One sentence: what is wrong and what to do.
    pub text: String,
    /// The same without what changes from time to time (the clock), to know a repeat by.
    pub key: String,
}

impl Explanation {
    /// A text that is the same every time.
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { key: text.clone(), text }
    }
}

/// How far a connection had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the broker's CONNACK.
    Connecting,
    /// After it, and after our status was sent, before anything was acknowledged.
    Birth,
    /// After it.
    Connected,
}

/// Explains what ended (or prevented) a connection.
pub fn fault(fault: &Fault, upstream: &Upstream, phase: Phase) -> Explanation {
    match fault {
        Fault::Io(error) => io(error, upstream, phase),
        Fault::BadHost => Explanation::plain(format!(
            "\"{}\" is neither a host name nor an address; correct `url` in [upstream]",
            upstream.url.host
        )),
        Fault::NotMqtt => not_mqtt(upstream),
        Fault::Refused { reason, text, server } => match upstream.protocol {
            Protocol::V311 => refused(*reason, upstream),
            Protocol::V5 => mqtt5::refused(*reason, text.as_deref(), server.as_deref(), upstream),
        },
        Fault::OnlyQosZero => Explanation::plain(format!(
            "{} takes messages of QoS 0 only, which may be lost; allow QoS 1 there",
            place(upstream)
        )),
        Fault::Closed => closed(upstream, phase),
        Fault::Goodbye { reason, text, server } => {
            mqtt5::goodbye(*reason, text.as_deref(), server.as_deref(), upstream)
        }
        Fault::NoPong(limit) => Explanation::plain(format!(
            "{} has not answered a ping for {}; the network in between is down or the broker hangs",
            place(upstream),
            human(*limit)
        )),
        Fault::Violation(what) => violation(what, upstream),
    }
}

/// The broker breaks the protocol.
pub fn violation(what: &str, upstream: &Upstream) -> Explanation {
    let version = upstream.protocol.name();
    Explanation::plain(format!("{} does not keep to {version} ({what}); look into its log", place(upstream)))
}

/// Explains an error of the operating system or of TLS beneath it.
pub fn io(error: &io::Error, upstream: &Upstream, phase: Phase) -> Explanation {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls(inner, upstream, phase);
    }
    let place = place(upstream);
    let host = &upstream.url.host;
    let text = error.to_string();
    if text.contains("failed to lookup address information") || text.contains("could not resolve to any address") {
        return Explanation::plain(if text.contains("Temporary failure") || text.contains("try again") {
            format!("the name {host} cannot be looked up: no name server answers; check the network and its DNS server")
        } else {
            format!("there is no host named {host}; check the spelling in `url`, and the DNS server this gateway uses")
        });
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Explanation::plain(format!(
            "{place} refuses connections: nothing listens on port {}; is the broker running, and is the port right?",
            upstream.url.port
        )),
        io::ErrorKind::TimedOut => timeout(upstream, phase),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            Explanation::plain(format!(
                "there is no route to {place}; is the network cable, the modem or the VPN of this gateway connected?"
            ))
        }
        io::ErrorKind::AddrNotAvailable => {
            Explanation::plain(format!("this gateway has no network address to reach {place} from; check its network"))
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => closed(upstream, phase),
        _ => Explanation::plain(format!("the connection to {place} failed: {error}")),
    }
}

/// Explains an error of TLS.
fn tls(error: &rustls::Error, upstream: &Upstream, phase: Phase) -> Explanation {
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

/// Whether something answered that speaks neither TLS nor MQTT.
pub fn is_other_protocol(fault: &Fault) -> bool {
    match fault {
        Fault::NotMqtt => true,
        Fault::Io(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            matches!(inner, Some(rustls::Error::InvalidMessage(_)))
        }
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

/// Explains a CONNACK that says no (MQTT 3.1.1, table 3.1).
fn refused(code: u8, upstream: &Upstream) -> Explanation {
    let place = place(upstream);
    Explanation::plain(match code {
        1 => format!("{place} does not speak MQTT 3.1.1; enable that version there"),
        2 => bad_client_id(upstream),
        3 => format!("{place} says that it is not available at the moment; nothing to do here"),
        4 => bad_login(upstream),
        5 => not_let_in(upstream),
        code => format!(
            "{place} refused the connection with a code that MQTT 3.1.1 does not know ({code}); is it an MQTT 5-only \
             broker?"
        ),
    })
}

/// The user as configured, and where the password comes from.
fn user(upstream: &Upstream) -> String {
    match (&upstream.credentials.username, &upstream.credentials.password_file) {
        (Some(user), Some(file)) => format!("user \"{user}\" with the password in {}", file.display()),
        (Some(user), None) => format!("user \"{user}\" without a password, `password_file` is not set"),
        (None, _) => "no user name, `username` is not set".to_owned(),
    }
}

pub(super) fn bad_client_id(upstream: &Upstream) -> String {
    format!("{} does not take the client id \"{}\"; set another `client_id`", place(upstream), upstream.client_id)
}

pub(super) fn bad_login(upstream: &Upstream) -> String {
    format!("{} refuses the user name or password ({}); correct one of them", place(upstream), user(upstream))
}

pub(super) fn not_let_in(upstream: &Upstream) -> String {
    format!(
        "{} does not let this gateway in ({}, client id \"{}\"); correct user or password, or allow it in the broker's \
         access rules",
        place(upstream),
        user(upstream),
        upstream.client_id
    )
}

/// The peer closed the connection without a word.
fn closed(upstream: &Upstream, phase: Phase) -> Explanation {
    let place = place(upstream);
    Explanation::plain(match phase {
        Phase::Connected => format!(
            "{place} closed the connection; it was restarted, forbids the topic or the message, or another client uses \
             the client id \"{}\" (look into its log)",
            upstream.client_id
        ),
        Phase::Birth => format!(
            "{place} closed the connection before it acknowledged anything; most likely it forbids the topic of the \
             gateway's status, \"{}\": allow it in the broker's access rules, or set another `status_topic` or \"off\"; \
             or another client uses the client id \"{}\" (look into its log)",
            status_topic(upstream),
            upstream.client_id
        ),
        Phase::Connecting if upstream.url.tls && upstream.credentials.cert_file.is_none() => format!(
            "{place} closed the connection before it accepted us; it may demand a client certificate (`cert_file`), \
             speak no TLS on this port, or forbid our client id or last will on \"{}\" (look into its log)",
            status_topic(upstream)
        ),
        Phase::Connecting if upstream.url.tls => format!(
            "{place} closed the connection before it accepted us; it may speak no TLS on this port, or forbid our \
             certificate, client id or last will on \"{}\" (look into its log)",
            status_topic(upstream)
        ),
        Phase::Connecting => format!(
            "{place} closed the connection before it accepted us; it may expect TLS on this port (`mqtts://`), or \
             forbid our client id or last will on \"{}\" (look into its log)",
            status_topic(upstream)
        ),
    })
}

/// Where birth and last will go.
pub(super) fn status_topic(upstream: &Upstream) -> &str {
    upstream.status_topic.as_deref().unwrap_or("off")
}

/// Nobody answered in time.
pub fn timeout(upstream: &Upstream, phase: Phase) -> Explanation {
    let place = place(upstream);
    Explanation::plain(match phase {
        Phase::Connecting => format!(
            "{place} did not answer within {}; a firewall may swallow our packets, the address may be wrong, the network \
             is down, or the broker hangs",
            human(upstream.connect_timeout)
        ),
        Phase::Birth | Phase::Connected => {
            format!("{place} does not take our data any more; the network in between is down")
        }
    })
}

/// Something answered that is no broker.
fn not_mqtt(upstream: &Upstream) -> Explanation {
    let tls = if upstream.url.tls { "" } else { " expects TLS (`mqtts://`)," };
    Explanation::plain(format!(
        "{} answered with something other than MQTT; the port{tls} belongs to another service, or a sign-in page or \
         proxy of the network answers in the broker's place",
        place(upstream)
    ))
}

/// `host:port` as written in `url`.
pub fn place(upstream: &Upstream) -> String {
    let host = &upstream.url.host;
    if host.contains(':') { format!("[{host}]:{}", upstream.url.port) } else { format!("{host}:{}", upstream.url.port) }
}

/// A duration as people write it.
pub fn human(duration: Duration) -> String {
    humantime::format_duration(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
        .to_string()
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

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
