//! The MQTT task: against a broker made of sockets, where every byte is seen (`wire`), and against a real one
//! (`mosquitto`). Here is what both share.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod mosquitto;
mod wire;

use std::sync::Arc;

use rumqttc::SubscribeReasonCode;
use tokio::task::JoinHandle;

use super::*;
use crate::clock::SystemClock;
use crate::config::model::{BrokerUrl, Credentials, Decode, Format, Source, SourceKind, Template, TemplatePart};
use crate::counters::{Counters, SourceCounters};
use crate::shutdown::{self, Trigger};
use crate::source::{spawn, way};

/// Nothing in these tests takes as long unless it is broken.
const DEADLINE: Duration = Duration::from_secs(30);

fn source(port: u16) -> MqttSource {
    MqttSource {
        url: BrokerUrl { tls: false, host: "127.0.0.1".to_owned(), port },
        client_id: "tidegate-test".to_owned(),
        topics: vec!["plant/+/t".to_owned(), "$share/g/hall/#".to_owned()],
        qos: 1,
        credentials: Credentials::default(),
        keep_alive: Duration::from_secs(30),
        inflight_max: 100,
        packet_bytes_max: 1_000,
        retained_max_age: Duration::from_secs(60),
    }
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, work).await {
        Ok(result) => result,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// Every message is a number.
fn number() -> Decode {
    Decode {
        format: Format::Number { quantity: Template(vec![TemplatePart::Text("t".into())]) },
        device: Template(vec![TemplatePart::TopicFrom(1)]),
        max_future_skew: Duration::from_secs(3_600),
        max_age: Duration::from_secs(86_400),
        ..Decode::none()
    }
}

/// A source under test: the engine's end, and the word to stop.
struct Rig {
    from: mpsc::Receiver<FromSource>,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
    trigger: Trigger,
}

impl Rig {
    fn start(config: MqttSource) -> Self {
        Self::with_room(config, 1_000)
    }

    fn with_room(config: MqttSource, room: usize) -> Self {
        Self::decoding(config, number(), room)
    }

    fn decoding(config: MqttSource, decode: Decode, room: usize) -> Self {
        let source = Source { name: "local".into(), kind: SourceKind::Mqtt(config), decode, further: Vec::new() };
        let (out, from) = way::narrow(room);
        let (trigger, shutdown) = shutdown::channel();
        let counters = Arc::new(Counters::default());
        let task = spawn(&source, out, Arc::clone(&counters), Arc::new(SystemClock::new()), shutdown);
        Self { from, counters, task, trigger }
    }

    fn counts(&self) -> Arc<SourceCounters> {
        self.counters.source(&"local".into())
    }

    async fn next(&mut self) -> FromSource {
        in_time("the source", self.from.recv()).await.unwrap()
    }

    /// The value of the next reading, and its acknowledgement.
    async fn reading(&mut self) -> (f64, Option<Ack>) {
        match self.next().await {
            FromSource::Readings { readings, ack, .. } => (readings[0].value.as_f64().unwrap(), ack),
            other => panic!("expected a reading, found {other:?}"),
        }
    }

    async fn lost(&mut self) -> String {
        match self.next().await {
            FromSource::Lost { reason, .. } => reason,
            other => panic!("expected a loss, found {other:?}"),
        }
    }

    async fn restored(&mut self) {
        let next = self.next().await;
        assert!(matches!(next, FromSource::Restored { .. }), "{next:?}");
    }

    async fn stop(self) {
        self.trigger.stop();
        in_time("the task's end", self.task).await.unwrap();
    }
}

#[test]
fn topics_match_filters_as_the_broker_matches_them() {
    for (filter, topic) in [
        ("a/b", "a/b"),
        ("a/+/c", "a/b/c"),
        ("a/+", "a/"),
        ("#", "a/b/c"),
        ("a/#", "a/b/c"),
        ("a/#", "a"),
        ("+/\u{e9}", "\u{e9}/\u{e9}"),
        ("$share/g/a/+", "a/b"),
        ("$SYS/#", "$SYS/broker/uptime"),
    ] {
        assert!(matches(filter, topic), "{filter} {topic}");
    }
    for (filter, topic) in
        [("a/b", "a/c"), ("a/b", "a"), ("a", "a/b"), ("a/+", "a"), ("a/+", "a/b/c"), ("#", "$SYS/x"), ("+/x", "$SYS/x")]
    {
        assert!(!matches(filter, topic), "{filter} {topic}");
    }
}
