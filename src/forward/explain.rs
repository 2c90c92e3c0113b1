//! Why there is no connection upstream, in one sentence with what to do about it.
//!
//! Owns the words for every failure of name look-up, TCP and MQTT 3.1.1; `explain_tls`, `explain_time` and
//! `explain_mqtt5` have the others. Pure: never connects, never logs, never reads a
//! clock. The audience is a technician beside the machine, not the author of the library.

use std::io;
use std::time::Duration;

use super::explain_mqtt5 as mqtt5;
pub use super::explain_time::{time_of_fault, time_of_io};
use super::explain_tls::tls;
use super::link::Fault;
pub use super::repeats::{Repeats, Say};
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
             speak no TLS on this port, or forbid our {} (look into its log)",
            ours(upstream, &["client id"])
        ),
        Phase::Connecting if upstream.url.tls => format!(
            "{place} closed the connection before it accepted us; it may speak no TLS on this port, or forbid our {} (look \
             into its log)",
            ours(upstream, &["certificate", "client id"])
        ),
        Phase::Connecting => format!(
            "{place} closed the connection before it accepted us; it may expect TLS on this port (`mqtts://`), or \
             forbid our {} (look into its log)",
            ours(upstream, &["client id"])
        ),
    })
}

/// What of ours a broker may forbid at once: these, and a last will where there is one. A source has none.
fn ours(upstream: &Upstream, always: &[&str]) -> String {
    let will = upstream.status_topic.as_deref().map(|topic| format!("last will on \"{topic}\""));
    let all: Vec<&str> = always.iter().copied().chain(will.as_deref()).collect();
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => all.concat(),
    }
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

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;

#[cfg(test)]
mod will_tests {
    use super::*;
    use crate::config::load_text;

    #[test]
    fn a_last_will_is_blamed_only_where_there_is_one() {
        for (url, keys) in [
            ("mqtt", "allow_plaintext = true"),
            ("mqtts", ""),
            ("mqtts", "cert_file = \"/c.pem\"\nkey_file = \"/k.pem\""),
        ] {
            let text = format!("[upstream]\nurl = \"{url}://broker.example\"\n{keys}\n");
            let mut upstream = load_text("t.toml".as_ref(), &text, &|_| None).ok().and_then(|one| one.config.upstream);
            let upstream = upstream.as_mut().expect("an upstream");
            upstream.status_topic = Some("tidegate/gw1/status".into());
            assert!(closed(upstream, Phase::Connecting).text.contains("or last will on \"tidegate/gw1/status\" (look"));
            // What a local source is shown as.
            upstream.status_topic = None;
            let text = closed(upstream, Phase::Connecting).text;
            assert!(!text.contains("will") && !text.contains("off") && text.contains("client id (look"), "{text}");
        }
    }
}
