//! What the forwarder's tests stand on: a store in memory, certificates, real and misbehaving brokers, a network that
//! can be cut.
#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene is to fail on the spot")]

mod broker;
mod mosquitto;
mod pki;
mod store;

use std::time::Duration;

pub use broker::{FakeBroker, Got, Manner};
pub use mosquitto::{Collector, Gate, Mosquitto, free_port};
pub use pki::{Pki, unix_in_days, write_secret};
pub use store::{FakeStore, event};

use crate::config::model::{
    BrokerUrl, Compression, Credentials, Encoding, EventPart, Mode, Order, Protocol, RateLimit, Template, TemplatePart,
    Upstream,
};
use crate::forward::profile::Profile;

/// The sequence number of an event on the wire (CloudEvents has it as text).
pub fn sequence_of(event: &serde_json::Value) -> u64 {
    event["sequence"].as_str().unwrap().parse().unwrap()
}

/// How long a condition may take to come true before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition without blocking the runtime.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "waited in vain: {what}");
}

/// An upstream on this machine, impatient enough for tests.
pub fn upstream(host: &str, port: u16, credentials: Option<Credentials>) -> Upstream {
    let event = TemplatePart::Event;
    let text = |text: &str| TemplatePart::Text(text.into());
    let url = BrokerUrl { tls: credentials.is_some(), host: host.to_owned(), port };
    Upstream {
        url: url.clone(),
        urls: vec![url],
        probe_every: Duration::from_secs(180),
        return_after: Duration::from_secs(60),
        profile: Profile::Portable,
        status_topic: Some("tidegate/boiler-room-7/status".into()),
        credentials: credentials.unwrap_or_default(),
        client_id: "tidegate-test".to_owned(),
        topic: Template(vec![
            text("tidegate/"),
            event(EventPart::Gateway),
            text("/"),
            event(EventPart::Severity),
            text("/"),
            event(EventPart::Sensor),
        ]),
        encoding: Encoding::Json,
        protocol: Protocol::V311,
        mode: Mode::Structured,
        message_expiry: None,
        user_properties: Vec::new(),
        alpn: Vec::new(),
        window: 64,
        payload_bytes_max: 128 * 1024,
        keep_alive: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(10),
        ack_timeout: Duration::from_secs(20),
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(100),
        order: Order::default(),
        rate_limit: RateLimit::default(),
        calls: None,
        batch: None,
        compression: Compression::default(),
    }
}
