//! The MQTT task against a broker made of sockets, where every byte is seen, and against a real mosquitto.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::BytesMut;
use rumqttc::{AsyncClient, ConnAck, ConnectReturnCode, Event, MqttOptions, PubRel, SubAck};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::clock::SystemClock;
use crate::config::model::{
    BrokerUrl, Credentials, Decode, Format, Source, SourceKind, Template, TemplatePart, TsUnit,
};
use crate::counters::{Counters, SourceCounters};
use crate::shutdown::{self, Trigger};
use crate::source::spawn;

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
        let decode = Decode {
            format: Format::Number { quantity: Template(vec![TemplatePart::Text("t".into())]) },
            device: Template(vec![TemplatePart::TopicFrom(1)]),
            fields: Vec::new(),
            ts_field: None,
            ts_unit: TsUnit::Iso8601,
            time_zone: "UTC".to_owned(),
            max_future_skew: Duration::from_secs(3_600),
            max_age: Duration::from_secs(86_400),
            carry: Vec::new(),
            decimal_comma: false,
        };
        let source = Source { name: "local".into(), kind: SourceKind::Mqtt(config), decode };
        let (out, from) = mpsc::channel(room);
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
            FromSource::Readings { readings, ack } => (readings[0].value.as_f64().unwrap(), ack),
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

// ---- a broker made of sockets ----

/// The broker's end of one connection.
struct Wire(TcpStream);

impl Wire {
    /// Accepts a connection, its login and its subscription.
    async fn accept(listener: &TcpListener, codes: &[SubscribeReasonCode]) -> Self {
        let mut wire = Self::connect(listener, ConnectReturnCode::Success).await;
        let subscribe = wire.packet().await;
        assert_eq!(subscribe[0], 0x82, "expected SUBSCRIBE");
        wire.send(&Packet::SubAck(SubAck::new(SUBSCRIBE_ID, codes.to_vec()))).await;
        wire
    }

    async fn connect(listener: &TcpListener, code: ConnectReturnCode) -> Self {
        let (stream, _) = in_time("a connection", listener.accept()).await.unwrap();
        let mut wire = Self(stream);
        let connect = wire.packet().await;
        assert_eq!(connect[0], 0x10, "expected CONNECT");
        assert_eq!(connect[9] & 0b10, 0, "the session is persistent");
        wire.send(&Packet::ConnAck(ConnAck::new(code, true))).await;
        wire
    }

    async fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn publish(&mut self, topic: &str, qos: QoS, id: u16, payload: &str) {
        let mut publish = rumqttc::Publish::new(topic, qos, payload);
        publish.pkid = id;
        self.send(&Packet::Publish(publish)).await;
    }

    /// The next packet, as bytes.
    async fn packet(&mut self) -> Vec<u8> {
        let mut packet = vec![0; 2];
        in_time("a packet", self.0.read_exact(&mut packet)).await.unwrap();
        assert!(packet[1] < 128, "our packets are short");
        packet.resize(2 + usize::from(packet[1]), 0);
        in_time("a packet", self.0.read_exact(&mut packet[2..])).await.unwrap();
        packet
    }
}

const PINGREQ: [u8; 2] = [0xc0, 0];
const DISCONNECT: [u8; 2] = [0xe0, 0];
const GRANTED: [SubscribeReasonCode; 2] = [SubscribeReasonCode::Success(QoS::AtLeastOnce); 2];

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn acknowledgements_leave_after_release_and_in_the_order_of_the_messages() {
    let (listener, port) = listen().await;
    let mut rig = Rig::start(source(port));
    let mut wire = Wire::accept(&listener, &GRANTED).await;
    wire.publish("plant/a/t", QoS::AtLeastOnce, 11, "1").await;
    wire.publish("plant/a/t", QoS::AtLeastOnce, 12, "no number").await;
    wire.publish("plant/a/t", QoS::AtMostOnce, 0, "3").await;
    wire.publish("plant/a/t", QoS::ExactlyOnce, 14, "4").await;
    let (_, first) = rig.reading().await;
    assert!(rig.reading().await.1.is_none(), "QoS 0 has nobody waiting");
    let (_, last) = rig.reading().await;
    last.unwrap().release();
    // The one that makes no reading needs no commit, but waits its turn like the one that was released early.
    first.unwrap().release();
    assert_eq!(wire.packet().await, [0x40, 2, 0, 11]);
    assert_eq!(wire.packet().await, [0x40, 2, 0, 12]);
    assert_eq!(wire.packet().await, [0x50, 2, 0, 14]);
    wire.send(&Packet::PubRel(PubRel::new(14))).await;
    assert_eq!(wire.packet().await, [0x70, 2, 0, 14]);
    rig.stop().await;
    assert_eq!(wire.packet().await, DISCONNECT);
}

#[tokio::test]
async fn a_release_of_an_earlier_connection_acknowledges_nothing_on_the_next() {
    let (listener, port) = listen().await;
    let mut rig = Rig::start(source(port));
    let mut wire = Wire::accept(&listener, &GRANTED).await;
    wire.publish("plant/a/t", QoS::AtLeastOnce, 1, "1").await;
    let (_, old) = rig.reading().await;
    drop(wire);
    assert!(rig.lost().await.contains("closed the connection"));
    let mut wire = Wire::accept(&listener, &GRANTED).await;
    rig.restored().await;
    // The broker sends another message under the same id first.
    wire.publish("plant/a/t", QoS::AtLeastOnce, 1, "2").await;
    let (_, new) = rig.reading().await;
    old.unwrap().release();
    // A QoS 2 release of long ago is answered all the same, and shows that nothing went before it.
    wire.send(&Packet::PubRel(PubRel::new(77))).await;
    assert_eq!(wire.packet().await, [0x70, 2, 0, 77]);
    new.unwrap().release();
    assert_eq!(wire.packet().await, [0x40, 2, 0, 1]);
    rig.stop().await;
}

#[tokio::test]
async fn no_more_is_taken_than_configured_and_pings_go_on() {
    let (listener, port) = listen().await;
    let config = MqttSource { inflight_max: 3, keep_alive: Duration::from_secs(1), ..source(port) };
    let mut rig = Rig::start(config);
    let mut wire = Wire::accept(&listener, &GRANTED).await;
    for id in 1..=10 {
        wire.publish("plant/a/t", QoS::AtLeastOnce, id, &id.to_string()).await;
    }
    let mut acks = Vec::new();
    for _ in 0..3 {
        acks.push(rig.reading().await.1.unwrap());
    }
    // Never answered, and still the connection is kept: nobody listens for the answer.
    for _ in 0..3 {
        assert_eq!(wire.packet().await, PINGREQ);
    }
    assert!(rig.from.try_recv().is_err(), "a fourth message was taken");
    acks.remove(0).release();
    assert_eq!(wire.packet().await, [0x40, 2, 0, 1]);
    assert_eq!(rig.reading().await.0, 4.0);
    assert!(rig.from.try_recv().is_err());
    rig.task.abort();
}

#[tokio::test]
async fn a_full_engine_stops_the_reading_and_loses_nothing() {
    let (listener, port) = listen().await;
    let mut rig = Rig::with_room(MqttSource { keep_alive: Duration::from_secs(1), ..source(port) }, 1);
    let mut wire = Wire::accept(&listener, &GRANTED).await;
    for value in 0..50 {
        wire.publish("plant/a/t", QoS::AtMostOnce, 0, &value.to_string()).await;
    }
    assert_eq!(wire.packet().await, PINGREQ);
    // One is in the channel, one waits for room.
    assert_eq!(rig.counts().messages.get(), 2);
    for value in 0..50 {
        assert_eq!(rig.reading().await.0, f64::from(value));
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_given_up() {
    let (listener, port) = listen().await;
    let mut rig = Rig::start(MqttSource { keep_alive: Duration::from_secs(1), ..source(port) });
    let mut wire = Wire::accept(&listener, &GRANTED).await;
    assert_eq!(wire.packet().await, PINGREQ);
    let reason = rig.lost().await;
    assert!(reason.contains("has not answered a ping for 1s"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_refused_topic_does_not_stop_the_others_but_all_refused_are_a_loss() {
    let (listener, port) = listen().await;
    let mut rig = Rig::start(source(port));
    let codes = [SubscribeReasonCode::Failure, SubscribeReasonCode::Success(QoS::AtMostOnce)];
    let mut wire = Wire::accept(&listener, &codes).await;
    wire.publish("hall/x", QoS::AtMostOnce, 0, "5").await;
    assert_eq!(rig.reading().await.0, 5.0);
    drop(wire);
    rig.lost().await;
    let _wire = Wire::accept(&listener, &[SubscribeReasonCode::Failure; 2]).await;
    rig.restored().await;
    let reason = rig.lost().await;
    assert!(reason.contains("refuses every topic"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_refused_login_and_an_absent_broker_say_what_to_do() {
    let (listener, port) = listen().await;
    let mut config = source(port);
    config.credentials.username = Some("gateway".to_owned());
    let mut rig = Rig::start(config);
    let wire = Wire::connect(&listener, ConnectReturnCode::BadUserNamePassword).await;
    let reason = rig.lost().await;
    assert!(reason.contains("refuses the user name or password (user \"gateway\""), "{reason}");
    drop((wire, listener));
    rig.stop().await;
    let mut rig = Rig::start(source(port));
    let reason = rig.lost().await;
    assert!(reason.contains("is the broker running"), "{reason}");
    rig.stop().await;
    let mut config = source(port);
    config.credentials.password_file = Some(PathBuf::from("/nowhere/password"));
    let mut rig = Rig::start(config);
    let reason = rig.lost().await;
    assert!(reason.contains("/nowhere/password"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn what_is_no_broker_is_told_as_such() {
    let (listener, port) = listen().await;
    let mut rig = Rig::start(source(port));
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
    let reason = rig.lost().await;
    assert!(reason.contains("something other than MQTT"), "{reason}");
    rig.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_what_the_store_still_releases() {
    let (listener, port) = listen().await;
    let mut rig = Rig::start(source(port));
    let mut wire = Wire::accept(&listener, &GRANTED).await;
    wire.publish("plant/a/t", QoS::AtLeastOnce, 1, "1").await;
    wire.publish("plant/a/t", QoS::AtLeastOnce, 2, "2").await;
    let (first, second) = (rig.reading().await.1.unwrap(), rig.reading().await.1.unwrap());
    rig.trigger.stop();
    assert!(in_time("the end of the readings", rig.from.recv()).await.is_none());
    first.release();
    assert_eq!(wire.packet().await, [0x40, 2, 0, 1]);
    drop(second);
    assert_eq!(wire.packet().await, DISCONNECT);
    in_time("the task's end", rig.task).await.unwrap();
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

// ---- mosquitto ----

/// A real broker on a free port, with its state in a directory of its own.
struct Mosquitto {
    process: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Mosquitto {
    async fn start(extra: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().display();
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser {user}\npersistence true\n\
             persistence_location {state}/\nlog_dest none\n{extra}\n"
        );
        std::fs::write(directory.path().join("mosquitto.conf"), text).unwrap();
        let broker = Self { process: Self::launch(&directory), directory, port };
        broker.ready().await;
        broker
    }

    fn launch(directory: &tempfile::TempDir) -> Child {
        let file = directory.path().join("mosquitto.conf");
        let program =
            if std::path::Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let mut command = Command::new(program);
        command.arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("these tests need mosquitto (package `mosquitto`)")
    }

    async fn ready(&self) {
        in_time("mosquitto", async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Stops it the orderly way, so that it saves its state.
    fn stop(&mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap();
    }

    async fn start_again(&mut self) {
        self.process = Self::launch(&self.directory);
        self.ready().await;
    }

    /// Publishes with QoS 1 and waits until the broker has taken it all.
    async fn publish(&self, messages: &[(&str, String)]) {
        let mut options = MqttOptions::new("publisher", "127.0.0.1", self.port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut link) = AsyncClient::new(options, messages.len() + 1);
        for (topic, payload) in messages {
            client.try_publish(*topic, QoS::AtLeastOnce, false, payload.as_str()).unwrap();
        }
        let mut left = messages.len();
        in_time("the publisher", async {
            while left > 0 {
                if let Event::Incoming(Packet::PubAck(_)) = link.poll().await.unwrap() {
                    left -= 1;
                }
            }
        })
        .await;
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<(&'static str, String)> {
    range.map(|number| ("plant/a/t", number.to_string())).collect()
}

async fn connected(rig: &Rig) {
    in_time("the connection", async {
        while rig.counts().up.get() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Takes readings until all of these values were seen, and returns their acknowledgements.
async fn take(rig: &mut Rig, range: std::ops::Range<u32>) -> Vec<Ack> {
    let mut acks = Vec::new();
    let mut missing: Vec<u32> = range.collect();
    while !missing.is_empty() {
        let (value, ack) = rig.reading().await;
        let before = missing.len();
        missing.retain(|number| f64::from(*number) != value);
        assert_eq!(missing.len() + 1, before, "{value} came unexpected or twice");
        acks.push(ack.expect("QoS 1 has an acknowledgement"));
    }
    acks
}

#[tokio::test]
async fn what_was_not_released_when_the_source_died_comes_again_and_what_was_does_not() {
    let broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    broker.publish(&numbers(0..5)).await;
    let acks = take(&mut rig, 0..5).await;
    rig.task.abort();
    let _ = rig.task.await;
    acks.into_iter().for_each(Ack::release);

    let mut rig = Rig::start(source(broker.port));
    let acks = take(&mut rig, 0..5).await;
    rig.trigger.stop();
    acks.into_iter().for_each(Ack::release);
    in_time("the task's end", rig.task).await.unwrap();

    let mut rig = Rig::start(source(broker.port));
    broker.publish(&numbers(100..101)).await;
    assert_eq!(rig.reading().await.0, 100.0);
    rig.stop().await;
}

#[tokio::test]
async fn wildcards_and_shared_subscriptions_are_served() {
    let broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    let messages =
        ["plant/a/t", "plant/b/t", "plant/b/h", "hall/x/y", "other/c/t"].map(|topic| (topic, "7".to_owned()));
    broker.publish(&messages).await;
    let mut sensors = Vec::new();
    for _ in 0..3 {
        let FromSource::Readings { readings, ack } = rig.next().await else { panic!("expected readings") };
        ack.unwrap().release();
        sensors.push(readings[0].sensor.to_string());
    }
    sensors.sort();
    assert_eq!(sensors, ["local/a/t/t", "local/b/t/t", "local/x/y/t"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_broker_that_restarts_is_lost_and_restored_once_and_sends_again() {
    let mut broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    broker.publish(&numbers(0..3)).await;
    let old = take(&mut rig, 0..3).await;
    broker.stop();
    let reason = rig.lost().await;
    assert!(reason.contains("closed the connection"), "{reason}");
    broker.start_again().await;
    rig.restored().await;
    old.into_iter().for_each(Ack::release);
    take(&mut rig, 0..3).await.into_iter().for_each(Ack::release);
    broker.publish(&numbers(3..4)).await;
    take(&mut rig, 3..4).await.into_iter().for_each(Ack::release);
    rig.stop().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_once_and_stalls_nothing() {
    let broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    broker.publish(&[("plant/a/t", "9".repeat(300_000)), ("plant/a/t", "1".to_owned())]).await;
    let (value, ack) = rig.reading().await;
    assert_eq!(value, 1.0);
    ack.unwrap().release();
    assert_eq!(rig.counts().rejects(), [(Reject::TooLong, 1)].into());
    rig.stop().await;
    // It was acknowledged: the broker does not send it again.
    let mut rig = Rig::start(source(broker.port));
    broker.publish(&numbers(2..3)).await;
    assert_eq!(rig.reading().await.0, 2.0);
    assert!(rig.counts().rejects().is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn thousands_of_messages_from_a_broker_without_a_window_come_in_order() {
    let broker = Mosquitto::start("max_inflight_messages 0\nmax_queued_messages 0").await;
    let mut rig = Rig::with_room(MqttSource { inflight_max: 64, ..source(broker.port) }, 16);
    connected(&rig).await;
    let (sent, taken) = tokio::join!(
        async {
            for batch in 0..20 {
                broker.publish(&numbers(batch * 100..(batch + 1) * 100)).await;
            }
        },
        async {
            let mut values = Vec::new();
            while values.len() < 2_000 {
                let (value, ack) = rig.reading().await;
                ack.unwrap().release();
                values.push(value as u32);
            }
            values
        }
    );
    let () = sent;
    assert_eq!(taken, (0..2_000).collect::<Vec<_>>());
    rig.stop().await;
}

#[tokio::test]
async fn a_probe_tells_what_it_found_and_does_not_disturb_a_running_source() {
    let broker = Mosquitto::start("").await;
    let mut rig = Rig::start(source(broker.port));
    connected(&rig).await;
    let found = probe(&source(broker.port)).await.unwrap();
    assert!(found.contains("login accepted"), "{found}");
    broker.publish(&numbers(0..1)).await;
    assert_eq!(rig.reading().await.0, 0.0);
    assert_eq!(rig.counts().disconnects.get(), 0);
    rig.stop().await;
}
