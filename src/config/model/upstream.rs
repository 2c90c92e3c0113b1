//! `[upstream]` and what belongs to it.

use std::sync::Arc;
use std::time::Duration;

use super::{BatchPlan, BrokerUrl, Compression, Credentials, Cron, Severity, Template};
use crate::forward::profile::Profile;

/// `[upstream]`
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The broker to connect to: `url`, or the first of `urls`; of the forwarder's own copy the one whose turn it is.
    pub url: BrokerUrl,
    /// `urls`, or `url` alone: all brokers in order of preference, all with TLS or all without. Never empty.
    pub urls: Vec<BrokerUrl>,
    /// `probe_every`: how often the brokers before the present one are tried. Default 3 min.
    pub probe_every: Duration,
    /// `return_after`: how long one of them must have answered before we move back to it. Default 1 min.
    pub return_after: Duration,
    /// `profile`: what kind of broker it is. Default portable.
    pub profile: Profile,
    /// `status_topic`, filled in: where birth and last will go; `None` for "off". Default `tidegate/<gateway>/status`.
    pub status_topic: Option<Arc<str>>,
    /// Keys of [`Credentials`].
    pub credentials: Credentials,
    /// `client_id`. Default `tidegate-<gateway>`.
    pub client_id: String,
    /// `topic`. Default `tidegate/{gateway}/{severity}/{sensor}`.
    pub topic: Template,
    /// `encoding`: "json" or "cbor". Default json.
    pub encoding: Encoding,
    /// `protocol`: "3.1.1" or "5". Default 3.1.1.
    pub protocol: Protocol,
    /// `mode`: "structured" or "binary" (MQTT 5). Default structured.
    pub mode: Mode,
    /// `message_expiry`: after how long the broker drops an event that nobody has fetched (MQTT 5). Default never.
    pub message_expiry: Option<Duration>,
    /// `user_properties`: sent with every event (MQTT 5), in the order written. Default none.
    pub user_properties: Vec<(String, String)>,
    /// `alpn`: protocol names offered in the TLS handshake, the preferred first. Default: what the profile
    /// demands, see [`Upstream::alpn`].
    pub alpn: Vec<String>,
    /// `window`: events in flight, 1 to 1,000. Default 256.
    pub window: u16,
    /// `payload_bytes_max`: larger events are not sent but quarantined. Default 128 KiB.
    pub payload_bytes_max: usize,
    /// `keep_alive`. Default 30 s.
    pub keep_alive: Duration,
    /// `connect_timeout`: TCP, TLS and CONNACK together. Default 20 s.
    pub connect_timeout: Duration,
    /// `ack_timeout`: a connection that acknowledges nothing for this long while events are in flight is given up.
    /// Default 60 s.
    pub ack_timeout: Duration,
    /// `backoff_min`. Default 1 s.
    pub backoff_min: Duration,
    /// `backoff_max`. Default 5 min.
    pub backoff_max: Duration,
    /// `order`: what of a backlog goes first. Default oldest-first.
    pub order: Order,
    /// `rate_limit`. Default: what the profile takes, see [`Profile::publishes_per_second`].
    pub rate_limit: RateLimit,
    /// `connect_when` and what goes with it. Default: connected all the time.
    pub calls: Option<CallPlan>,
    /// `batch`. Default: each event is a message.
    pub batch: Option<BatchPlan>,
    /// `compress`. Default none.
    pub compression: Compression,
}

/// `order`: what is sent first after an outage. Events of one sensor keep their order whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// `"oldest-first"`: as they were stored.
    #[default]
    OldestFirst,
    /// `"live-first"`: what happens now before what waited, sensor by sensor.
    LiveFirst,
    /// `"severity-first"`: critical, then high, then the others.
    SeverityFirst,
}

/// `rate_limit`: how much may be sent in a second; each at least 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// `events_per_second`
    pub events_per_second: Option<u32>,
    /// `bytes_per_second`: of topics and payloads.
    pub bytes_per_second: Option<u64>,
}

/// When to be connected, for links that are paid by the minute or the megabyte.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPlan {
    /// `connect_when`
    pub when: Cron,
    /// `gateway.time_zone`, in which `when` is read.
    pub time_zone: String,
    /// `connect_for`: the longest a call lasts. Default 5 min.
    pub longest: Duration,
    /// `connect_at_once`: events this severe or more do not wait for the schedule. Default critical; `None`: never.
    pub at_once: Option<Severity>,
}

/// The version of MQTT spoken upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `"3.1.1"`
    V311,
    /// `"5"`
    V5,
}

impl Protocol {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V311 => "MQTT 3.1.1",
            Self::V5 => "MQTT 5",
        }
    }
}

/// How an event lies in a message (CloudEvents MQTT binding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `"structured"`: attributes and data together in the payload.
    Structured,
    /// `"binary"`: attributes as user properties, the data alone as payload.
    Binary,
}

/// How events are written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// CloudEvents structured JSON, `application/cloudevents+json`.
    Json,
    /// The same structure in CBOR, `application/cloudevents+cbor`.
    Cbor,
}
