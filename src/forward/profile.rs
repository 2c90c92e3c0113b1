//! What each kind of broker takes, so that nothing is sent that it answers by ending the connection.
//!
//! Owns the limits of the profiles, with the place each is written down, and the search for sensors whose topics became
//! the same. Pure: never connects and never publishes. The configuration checks against a profile what can be checked
//! without an event; a session checks the rest before each publish and sets aside what does not fit.
//!
//! | profile | slashes | topic, bytes | a level may not hold | payload | keep-alive | publishes/s | retains |
//! |---|---|---|---|---|---|---|---|
//! | `portable` | 7 | 255 | anything but `[A-Za-z0-9_-]` | 128 KiB | any | - | yes |
//! | `aws-iot-core` | 7 | 256 | `+ # $`, control characters | 128 KiB | 30 s to 1200 s | 100 | yes |
//! | `azure-event-grid` | 14 | 256 | the same | 511 KiB | 1 s to 1160 s | 1000 | no |
//! | `nats` | 200 | 1024 | the same, `.`, `*`, `>`, white space | 1023 KiB | any | - | yes |
//! | `rabbitmq` | 200 | 255 | the same, `.`, `*` | 16 MiB | any | - | yes |
//! | `mosquitto` | 200 | 65535 | the same | 16 MiB | any | - | yes |
//!
//! A topic and payload of `portable` fit all of them. It does retain, keeps any keep-alive and has no rate: a broker that
//! limits those is to be named.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::config::model::{EventPart, Template, TemplatePart, Upstream};
use crate::event::wire::TopicRules;

/// A kind of broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// What every broker below takes.
    #[default]
    Portable,
    /// AWS IoT Core. Limits: <https://docs.aws.amazon.com/general/latest/gr/iot-core.html>, "message broker and protocol
    /// limits"; ports and ALPN: <https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html>. It ends the
    /// connection over a topic that is too long or too deep, and throttles beyond 100 publishes a second.
    AwsIotCore,
    /// Azure Event Grid namespaces. Limits: <https://learn.microsoft.com/azure/event-grid/quotas-limits>; what of MQTT it
    /// has: <https://learn.microsoft.com/azure/event-grid/mqtt-support>. Until May 2025 a topic had 8 levels there, now
    /// 15. A retained message ended the connection until July 2025 and is a preview since.
    AzureEventGrid,
    /// NATS with its MQTT listener (needs JetStream). Topics become subjects:
    /// <https://docs.nats.io/nats-server/configuration/mqtt>. A space ends the connection; a `.` did until server 2.10
    /// (<https://github.com/nats-io/nats-server/pull/4243>) and becomes `//` since; `*` and `>` are its wildcards.
    /// `max_payload` is 1 MiB unless configured.
    Nats,
    /// RabbitMQ with its MQTT plug-in: <https://www.rabbitmq.com/docs/mqtt>. A topic becomes an AMQP routing key of at
    /// most 255 bytes, with `.` for `/`, and back again for subscribers, as `*` becomes `+`: what held a `.` or `*` would
    /// arrive as another topic.
    RabbitMq,
    /// Mosquitto: <https://mosquitto.org/man/mosquitto-conf-5.html>. Since 1.6.6 it ends the connection over more than
    /// 200 slashes. Beware of its `message_size_limit`: 2.0.11 acknowledges what is larger and drops it.
    Mosquitto,
}

/// The protocol that AWS IoT Core expects by ALPN on port 443 from a client with a certificate.
const ALPN_AWS_CERTIFICATE: &str = "x-amzn-mqtt-ca";

/// The one it expects there from a client with a user name (a custom authorizer).
const ALPN_AWS_LOGIN: &str = "mqtt";

/// The port that HTTPS has, and that some brokers share with it.
pub const PORT_HTTPS: u16 = 443;

/// Longest keep-alive that a configuration may hold; MQTT writes it as 16 bits of seconds.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(18 * 3600);

/// Largest payload that a configuration may allow.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

impl Profile {
    /// All, in the order of the reference.
    pub const ALL: [Self; 6] =
        [Self::Portable, Self::AwsIotCore, Self::AzureEventGrid, Self::Nats, Self::RabbitMq, Self::Mosquitto];

    /// As written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::AwsIotCore => "aws-iot-core",
            Self::AzureEventGrid => "azure-event-grid",
            Self::Nats => "nats",
            Self::RabbitMq => "rabbitmq",
            Self::Mosquitto => "mosquitto",
        }
    }

    /// What a topic may be like.
    pub fn topic_rules(self) -> TopicRules {
        let rules = |slashes_max, bytes_max, allows| TopicRules { slashes_max, bytes_max, allows };
        match self {
            Self::Portable => TopicRules::PORTABLE,
            Self::AwsIotCore => rules(7, 256, is_mqtt),
            Self::AzureEventGrid => rules(14, 256, is_mqtt),
            // No limit is documented. A subject travels to other clients in a protocol line of at most 4 KiB.
            Self::Nats => rules(200, 1024, is_nats),
            Self::RabbitMq => rules(200, 255, is_rabbitmq),
            Self::Mosquitto => rules(200, 65_535, is_mqtt),
        }
    }

    /// Largest payload, bytes. Where the broker's limit is for the whole packet, the topic and the headers are taken off.
    pub fn payload_bytes_max(self) -> usize {
        match self {
            Self::Portable | Self::AwsIotCore => 128 << 10,
            Self::AzureEventGrid => 511 << 10,
            Self::Nats => 1023 << 10,
            Self::RabbitMq | Self::Mosquitto => PAYLOAD_BYTES_MAX,
        }
    }

    /// The keep-alive that it keeps to.
    pub fn keep_alive(self) -> RangeInclusive<Duration> {
        let seconds = |from, to| Duration::from_secs(from)..=Duration::from_secs(to);
        match self {
            Self::AwsIotCore => seconds(30, 1200),
            Self::AzureEventGrid => seconds(1, 1160),
            // A broker that bounds it ends nothing over it, so that the default profile need not be strict.
            Self::Portable | Self::Nats | Self::RabbitMq | Self::Mosquitto => seconds(1, KEEP_ALIVE_MAX.as_secs()),
        }
    }

    /// Publishes a second that one connection may send; what is beyond is throttled or ends the connection. `None`: no
    /// limit. The default of the forwarder's own rate limit.
    pub fn publishes_per_second(self) -> Option<u32> {
        match self {
            Self::AwsIotCore => Some(100),
            // 100 until July 2025.
            Self::AzureEventGrid => Some(1000),
            Self::Portable | Self::Nats | Self::RabbitMq | Self::Mosquitto => None,
        }
    }

    /// Whether it keeps a retained message. Where it does not, the status is published without the flag.
    pub fn retains(self) -> bool {
        self != Self::AzureEventGrid
    }

    /// Whether it takes connections with TLS only.
    pub fn demands_tls(self) -> bool {
        matches!(self, Self::AwsIotCore | Self::AzureEventGrid)
    }
}

impl Upstream {
    /// What to offer by ALPN (RFC 7301) on the next TLS connection, in order; empty: no such extension. The key `alpn`
    /// if it is set, else what the profile demands. Follows `url`, the broker that is connected to at the moment. Belongs
    /// into `rustls::ClientConfig::alpn_protocols`.
    pub fn alpn(&self) -> Vec<String> {
        if !self.alpn.is_empty() {
            return self.alpn.clone();
        }
        if self.profile != Profile::AwsIotCore || !self.url.tls || self.url.port != PORT_HTTPS {
            return Vec::new();
        }
        let with_certificate = self.credentials.cert_file.is_some();
        vec![if with_certificate { ALPN_AWS_CERTIFICATE } else { ALPN_AWS_LOGIN }.to_owned()]
    }
}

/// What MQTT itself lets into a topic, and `$` out, which begins the topics of brokers themselves. U+FEFF and the
/// noncharacters are legal in a topic, but a broker may end the connection over them (MQTT 3.1.1, 1.5.3).
fn is_mqtt(character: char) -> bool {
    let is_noncharacter = u32::from(character) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&character);
    !character.is_control() && !matches!(character, '+' | '#' | '$' | '/' | '\u{feff}') && !is_noncharacter
}

/// [`is_mqtt`], and part of a NATS subject's token.
fn is_nats(character: char) -> bool {
    is_mqtt(character) && !character.is_whitespace() && !matches!(character, '.' | '*' | '>')
}

/// [`is_mqtt`], and the same after the way to a routing key and back.
fn is_rabbitmq(character: char) -> bool {
    is_mqtt(character) && !matches!(character, '.' | '*')
}

/// Topics with changed names that are remembered. A gateway with more such sensors is told of some of its pairs.
const NAMESAKES_MAX: usize = 1000;

/// Finds different sensors whose topics have become the same by what a profile changes in names.
///
/// Costs nothing while no name is changed. Of two sensors of which one needs no change the pair is found when the other
/// has come first or comes again, so that none that keeps sending is missed.
#[derive(Debug, Default)]
pub struct Namesakes {
    /// Changed topic -> the sensor that had it first, and whether a namesake was found.
    changed: HashMap<Box<str>, (Arc<str>, bool)>,
    /// Whether the template tells sensors apart at all.
    tells_sensors: bool,
}

impl Namesakes {
    /// Of the topics of a template.
    pub fn new(template: &Template) -> Self {
        let tells_sensors = template.0.contains(&TemplatePart::Event(EventPart::Sensor));
        Self { changed: HashMap::new(), tells_sensors }
    }

    /// An event of `subject` goes to `topic`, with a name in it `changed` or not. Returns the other sensor that has the
    /// same topic, once a topic.
    pub fn meet(&mut self, topic: &str, subject: &Arc<str>, changed: bool) -> Option<Arc<str>> {
        if !self.tells_sensors || (!changed && self.changed.is_empty()) {
            return None;
        }
        match self.changed.get_mut(topic) {
            Some((other, told)) => {
                let is_news = other != subject && !*told;
                *told |= is_news;
                is_news.then(|| Arc::clone(other))
            }
            None => {
                if changed && self.changed.len() < NAMESAKES_MAX {
                    self.changed.insert(topic.into(), (Arc::clone(subject), false));
                }
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
