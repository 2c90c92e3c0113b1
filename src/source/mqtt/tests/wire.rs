//! Against a broker made of sockets.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use rumqttc::{ConnAck, ConnectReturnCode, PubRel, SubAck};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

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
async fn a_broker_that_sends_without_a_window_is_read_no_further_than_what_is_taken() {
    /// What the sockets of both ends may hold; ten times as much is sent.
    const IN_SOCKETS_MAX: usize = 8 * 1024 * 1024;
    const TAKEN: usize = 400;
    let (listener, port) = listen().await;
    let mut rig = Rig::start(MqttSource { inflight_max: 1, ..source(port) });
    let wire = Wire::accept(&listener, &GRANTED).await;
    let (mut answers, mut out) = wire.0.into_split();
    let mut publish = rumqttc::Publish::new(format!("plant/{}/t", "a".repeat(150)), QoS::AtLeastOnce, "1");
    publish.pkid = 1;
    let mut piece = BytesMut::new();
    for _ in 0..100 {
        publish.write(&mut piece).unwrap();
    }
    let message_bytes = piece.len() / 100;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let broker = tokio::spawn({
        let sent = Arc::clone(&sent);
        async move {
            while sent.load(Ordering::Relaxed) < 10 * IN_SOCKETS_MAX && out.write_all(&piece).await.is_ok() {
                sent.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    });
    for _ in 0..TAKEN {
        rig.reading().await.1.unwrap().release();
        in_time("its acknowledgement", answers.read_exact(&mut [0; 4])).await.unwrap();
    }
    let held = sent.load(Ordering::Relaxed) - TAKEN * message_bytes;
    assert!(held < IN_SOCKETS_MAX, "{held} bytes are read ahead");
    broker.abort();
    rig.task.abort();
}

#[tokio::test]
async fn messages_that_come_one_by_one_in_a_flow_make_a_pause_but_not_while_a_broker_may_wait_for_us() {
    let (listener, port) = listen().await;
    let mut rig = Rig::start(source(port));
    let mut wire = Wire::accept(&listener, &GRANTED).await;
    for id in 1..=300 {
        wire.publish("plant/a/t", QoS::AtLeastOnce, id, "1").await;
        rig.reading().await.1.unwrap().release();
        assert_eq!(wire.packet().await[0], 0x40);
    }
    assert!(!moderation::is_due(), "it may have but one under way");
    let mut under_way = Vec::new();
    for id in 1..=60 {
        wire.publish("plant/a/t", QoS::AtLeastOnce, id, "1").await;
        under_way.push(rig.reading().await.1);
    }
    let flow = async {
        while !moderation::is_due() {
            wire.publish("plant/a/t", QoS::AtMostOnce, 0, "1").await;
            rig.reading().await;
        }
    };
    in_time("a pause", flow).await;
    rig.task.abort();
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
    rig.stop().await;
    let mut rig = Rig::start(source(port));
    let wire = Wire::accept(&listener, &[SubscribeReasonCode::Failure; 2]).await;
    let reason = rig.lost().await;
    assert!(reason.contains("refuses every topic"), "{reason}");
    // It is tried again, and told once.
    drop(wire);
    let _wire = Wire::accept(&listener, &GRANTED).await;
    rig.restored().await;
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
