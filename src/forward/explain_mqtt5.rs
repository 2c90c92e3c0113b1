//! Reason codes of MQTT 5 in words, with what to do.
//!
//! Owns the sentences for a CONNACK that says no, a broker's DISCONNECT and a PUBACK that refuses an event. Pure.

use std::fmt::Write as _;

use super::explain::{self, Explanation, place};
use crate::config::model::Upstream;

/// Explains a CONNACK that says no (MQTT 5, table 3-1).
pub fn refused(reason: u8, text: Option<&str>, server: Option<&str>, upstream: &Upstream) -> Explanation {
    let place = place(upstream);
    let words = match reason {
        0x85 | 2 => explain::bad_client_id(upstream),
        0x86 | 4 => explain::bad_login(upstream),
        0x87 | 5 => explain::not_let_in(upstream),
        // 1 is how a broker says it that knows older versions only.
        0x84 | 1 => {
            format!("{place} does not speak MQTT 5; enable that version there, or set `protocol = \"3.1.1\"` here")
        }
        0x88 | 3 => format!("{place} says that it is not available at the moment; nothing to do here"),
        0x89 => format!("{place} says that it is too busy to take us; it is tried again"),
        0x8a => format!(
            "{place} has banned this gateway (client id \"{}\"); ask its operator to lift the ban",
            upstream.client_id
        ),
        0x8c => format!("{place} wants another way to log in than user name, password and certificate"),
        0x90 => format!(
            "{place} does not take the topic of our last will, \"{}\"; allow it there, or set another `status_topic` or \
             \"off\"",
            explain::status_topic(upstream)
        ),
        0x95 => format!("{place} finds our login too large; is its limit of the packet size very low?"),
        0x97 => format!("{place} says that a quota is used up; raise it there, or wait until it is renewed"),
        0x99 => format!("{place} does not take the form of our last will; look into its log"),
        0x9a => format!(
            "{place} keeps no retained messages, which the gateway's status needs; allow them there, or set \
             `status_topic = \"off\"`"
        ),
        0x9b => format!("{place} does not take QoS 1, without which events may be lost; allow it there"),
        0x9c | 0x9d => elsewhere(reason, server, upstream),
        0x9f => format!("{place} says that clients connect too often; it is tried again, more slowly"),
        0x80 | 0x83 => format!("{place} refuses the connection without a reason that MQTT has; look into its log"),
        0x81 | 0x82 => format!("{place} says that our login does not follow MQTT 5; look into its log"),
        other => format!("{place} refused the connection with a code that MQTT 5 does not know ({other:#04x})"),
    };
    told(words, text)
}

/// Explains a broker's DISCONNECT (MQTT 5, table 3-10).
pub fn goodbye(reason: u8, text: Option<&str>, server: Option<&str>, upstream: &Upstream) -> Explanation {
    let place = place(upstream);
    let words = match reason {
        0x87 => format!("{place} ended the connection: we are not authorised; look at the broker's access rules"),
        0x89 => format!("{place} ended the connection: it is too busy; it is tried again"),
        0x8b => format!("{place} is being shut down; we come back when it does"),
        0x8d => format!("{place} heard nothing from us for too long; the network in between was down"),
        0x8e => format!(
            "another client came to {place} with the client id \"{}\", and the broker ended our connection; each gateway \
             must have its own `client_id`",
            upstream.client_id
        ),
        0x90 => format!("{place} ended the connection: it does not take a topic of ours; allow it there"),
        0x93 => format!("{place} ended the connection: too many messages in flight; set a smaller `window`"),
        0x94 => format!("{place} ended the connection over a topic alias that it had offered; look into its log"),
        0x95 => format!(
            "{place} ended the connection: a message was too large for it; lower `payload_bytes_max`, or raise its limit"
        ),
        0x96 => format!("{place} ended the connection: we send too fast for it; raise its limit"),
        0x97 => {
            format!("{place} ended the connection: a quota is used up; raise it there, or wait until it is renewed")
        }
        0x98 => format!("{place} ended the connection by the hand of its operator"),
        0x99 => format!("{place} ended the connection: it does not take the form of a message; look into its log"),
        0x9a => format!("{place} ended the connection: it keeps no retained messages; allow them there"),
        0x9b => format!("{place} ended the connection: it does not take QoS 1; allow it there"),
        0x9c | 0x9d => elsewhere(reason, server, upstream),
        0x9f => format!("{place} ended the connection: clients connect too often; it is tried again, more slowly"),
        0xa0 => format!("{place} ended the connection because it lasted as long as it may; it is made again"),
        0x81 | 0x82 => format!("{place} says that what we sent does not follow MQTT 5; look into its log"),
        0 | 0x80 | 0x83 => {
            format!("{place} ended the connection without a reason that MQTT has; look into its log")
        }
        other => format!("{place} ended the connection (reason {other:#04x}); look into its log"),
    };
    told(words, text)
}

/// Explains a PUBACK that refuses an event (MQTT 5, table 3-4): for a dead letter and the log.
pub fn refused_event(reason: u8, text: Option<&str>, topic: &str) -> String {
    let words = match reason {
        0x83 => "the broker refused it for reasons of its own; look into its log".to_owned(),
        0x87 => format!(
            "the broker does not let this gateway publish to \"{topic}\" (not authorized); allow this client that topic in \
             the broker's access rules (ACL)"
        ),
        0x90 => format!("the broker does not take the topic \"{topic}\"; correct `topic`, or allow it there"),
        0x91 => "the broker says that the packet id is in use; look into its log".to_owned(),
        0x95 => "the broker says that it is too large".to_owned(),
        0x97 => "a quota of the broker is used up; raise it there, or wait until it is renewed".to_owned(),
        0x99 => "the broker does not take the form of the payload; look into its log".to_owned(),
        0x80 => "the broker refused it without saying why; look into its log".to_owned(),
        other => format!("the broker refused it with reason {other:#04x}; look into its log"),
    };
    told(words, text).text
}

fn elsewhere(reason: u8, server: Option<&str>, upstream: &Upstream) -> String {
    let place = place(upstream);
    let mut words = match reason {
        0x9c => format!("{place} asks us to use another broker for a while"),
        _ => format!("{place} has moved"),
    };
    match server {
        Some(server) => {
            let _ = write!(words, " (\"{server}\"); set it as `url` if that is right");
        }
        None => words.push_str("; ask its operator which, and set it as `url`"),
    }
    words
}

/// The broker's own words come last and are no part of what a repeat is known by.
fn told(key: String, text: Option<&str>) -> Explanation {
    match text {
        Some(said) if !said.is_empty() => Explanation { text: format!("{key} (it says: \"{said}\")"), key },
        _ => Explanation::plain(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::testing;

    #[test]
    fn every_reason_of_mqtt_5_has_its_sentence_and_names_the_broker() {
        let upstream = testing::upstream("broker.example.com", 8883, None);
        for reason in (0x80..=0x8c).chain([0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f]) {
            let told = refused(reason, None, None, &upstream).text;
            assert!(told.contains("broker.example.com:8883"), "{reason:#x}: {told}");
            assert!(reason == 0x8b || !told.contains("does not know"), "{reason:#x}: {told}");
        }
        for reason in
            (0x80..=0xa2).filter(|reason| !matches!(reason, 0x84..=0x86 | 0x88 | 0x8a | 0x8c | 0x8f | 0x91 | 0x92))
        {
            let told = goodbye(reason, None, None, &upstream).text;
            assert!(told.contains("broker.example.com:8883"), "{reason:#x}: {told}");
        }
    }

    #[test]
    fn what_to_do_and_the_brokers_own_words_are_told() {
        let upstream = testing::upstream("broker.example.com", 8883, None);
        for (reason, part) in [
            (0x84, "protocol = \"3.1.1\""),
            (1, "does not speak MQTT 5"),
            (0x86, "refuses the user name or password"),
            (0x87, "access rules"),
            (0x89, "too busy"),
            (0x8a, "banned"),
        ] {
            let told = refused(reason, Some("no \u{1F41F}"), None, &upstream);
            assert!(told.text.contains(part) && told.text.ends_with("(it says: \"no \u{1F41F}\")"), "{}", told.text);
            assert!(!told.key.contains("it says"));
        }
        let moved = refused(0x9d, None, Some("new.example.com"), &upstream).text;
        assert!(moved.contains("has moved (\"new.example.com\")"), "{moved}");
        let taken = goodbye(0x8e, None, None, &upstream).text;
        assert!(taken.contains("client id \"tidegate-test\""), "{taken}");
        assert!(refused_event(0x87, None, "a/b").contains("publish to \"a/b\""));
    }
}
