//! MQTT 3.1.1 packets in and out of byte buffers.
//!
//! Owns what waits to be read or written on one connection. rumqttc's packet types do the reading and writing, except
//! for two things that its event loop cannot give: PUBLISH is looked at in place (no copy of topic and payload), and
//! one that is larger than wanted is skipped as it streams in, without being held and without ending the connection,
//! so that a broker which sends it again and again cannot stall a source.

use std::ops::Range;

use bytes::{Buf, BytesMut};
use rumqttc::Packet;

use super::ledger::Acknowledgement;

/// Bytes asked from the connection at once: some hundred small messages.
const READ_BYTES: usize = 16 * 1024;

/// Room kept between two readings from the socket, when nothing waits in it.
const KEPT_BYTES_MAX: usize = 4 * READ_BYTES;

/// Largest packet other than PUBLISH. A SUBACK has a byte a topic; the others have four bytes at most.
const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// What the broker sends does not follow MQTT 3.1.1.
#[derive(Debug)]
pub(super) struct Violation(pub(super) String);

/// A packet from the broker.
#[derive(Debug)]
pub(super) enum Incoming {
    Publish(Publish),
    /// Any other.
    Control(Packet),
}

/// A message.
#[derive(Debug)]
pub(super) struct Publish {
    frame: BytesMut,
    topic: Range<usize>,
    payload: usize,
    pub(super) qos: u8,
    pub(super) retain: bool,
    packet_id: u16,
    /// The size of a packet that was too large; its payload is being skipped.
    pub(super) skipped: Option<usize>,
}

impl Publish {
    /// The topic, if it is text.
    pub(super) fn topic(&self) -> Option<&str> {
        std::str::from_utf8(&self.frame[self.topic.clone()]).ok()
    }

    /// The payload; empty when it is skipped.
    pub(super) fn payload(&self) -> &[u8] {
        &self.frame[self.payload..]
    }

    /// How it is acknowledged, if it is.
    pub(super) fn acknowledgement(&self) -> Option<Acknowledgement> {
        match self.qos {
            0 => None,
            1 => Some(Acknowledgement::PubAck(self.packet_id)),
            _ => Some(Acknowledgement::PubRec(self.packet_id)),
        }
    }
}

/// What has come and is not looked at yet.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: BytesMut,
    /// So many bytes to come belong to a packet that is skipped.
    skip: usize,
    packet_bytes_max: usize,
}

impl Inbox {
    pub(super) fn new(packet_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), skip: 0, packet_bytes_max }
    }

    /// Where the next bytes go. Call [`Inbox::arrived`] when they are there.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            // A large message has come and gone; among many sources their sum would stay.
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// New bytes are in the buffer.
    pub(super) fn arrived(&mut self) {
        let skipped = self.skip.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skip -= skipped;
    }

    /// False when what has come is not the answer to a CONNECT.
    pub(super) fn may_begin_with_connack(&self) -> bool {
        self.buffer.first().is_none_or(|first| *first == 0x20)
    }

    /// The next whole packet.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, Violation> {
        let Some((header, remaining)) = fixed_header(&self.buffer)? else { return Ok(None) };
        let whole = header + remaining;
        let first = self.buffer[0];
        if first >> 4 == 3 {
            return self.publish(first, header, whole);
        }
        if remaining > CONTROL_BYTES_MAX {
            return Err(Violation(format!("a packet of type {} with {remaining} bytes", first >> 4)));
        }
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let packet = Packet::read(&mut self.buffer, CONTROL_BYTES_MAX);
        packet.map(|packet| Some(Incoming::Control(packet))).map_err(|error| Violation(error.to_string()))
    }

    fn publish(&mut self, first: u8, header: usize, whole: usize) -> Result<Option<Incoming>, Violation> {
        let buffer = &self.buffer;
        let short = || Violation("a message shorter than its own topic".to_owned());
        let qos = (first >> 1) & 0b11;
        if qos == 3 {
            return Err(Violation("a message with QoS 3".to_owned()));
        }
        if whole < header + 2 {
            return Err(short());
        }
        let Some(length) = buffer.get(header..header + 2) else { return Ok(None) };
        let topic = header + 2..header + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        let payload = topic.end + if qos == 0 { 0 } else { 2 };
        if whole < payload {
            return Err(short());
        }
        let too_large = whole > self.packet_bytes_max;
        let held = if too_large { payload } else { whole };
        if buffer.len() < held {
            return Ok(None);
        }
        let packet_id = match buffer.get(topic.end..payload) {
            Some([high, low]) => u16::from_be_bytes([*high, *low]),
            _ => 0,
        };
        let frame = self.buffer.split_to(held);
        if too_large {
            self.skip = whole - held;
            self.arrived();
        }
        let retain = first & 1 == 1;
        let skipped = too_large.then_some(whole);
        Ok(Some(Incoming::Publish(Publish { frame, topic, payload, qos, retain, packet_id, skipped })))
    }
}

/// The length of the fixed header and of what follows it; `None` while it is not all there (MQTT 3.1.1, 2.2).
fn fixed_header(buffer: &[u8]) -> Result<Option<(usize, usize)>, Violation> {
    let mut remaining = 0;
    for (index, byte) in buffer.iter().skip(1).take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 2, remaining)));
        }
    }
    if buffer.len() >= 5 { Err(Violation("a packet length of more than four bytes".to_owned())) } else { Ok(None) }
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    buffer: BytesMut,
    /// TLS may hold written bytes back until it is flushed.
    unflushed: bool,
}

impl Outgoing {
    /// Adds a packet of rumqttc's.
    pub(super) fn packet(&mut self, packet: &Packet) -> Result<(), Violation> {
        packet.write(&mut self.buffer, usize::MAX).map(drop).map_err(|error| Violation(error.to_string()))
    }

    /// Adds an acknowledgement.
    pub(super) fn acknowledge(&mut self, acknowledgement: Acknowledgement) {
        let (kind, id) = match acknowledgement {
            Acknowledgement::PubAck(id) => (0x40, id),
            Acknowledgement::PubRec(id) => (0x50, id),
        };
        self.four_bytes(kind, id);
    }

    /// Adds a PUBCOMP, the last word on a QoS 2 message.
    pub(super) fn complete(&mut self, packet_id: u16) {
        self.four_bytes(0x70, packet_id);
    }

    fn four_bytes(&mut self, kind: u8, packet_id: u16) {
        let [high, low] = packet_id.to_be_bytes();
        self.buffer.extend_from_slice(&[kind, 2, high, low]);
    }

    /// Whether all is written.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.unflushed
    }

    /// Writes some of it. Cancel-safe.
    pub(super) async fn write(&mut self, writer: &mut (impl tokio::io::AsyncWrite + Unpin)) -> std::io::Result<()> {
        use tokio::io::AsyncWriteExt as _;
        if self.buffer.is_empty() {
            writer.flush().await?;
            self.unflushed = false;
        } else {
            let written = writer.write(&self.buffer).await?;
            if written == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.buffer.advance(written);
            self.unflushed = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;
    use rumqttc::{QoS, SubAck, SubscribeReasonCode};

    use super::*;

    fn publish(topic: &str, qos: QoS, payload: &[u8]) -> Vec<u8> {
        let mut publish = rumqttc::Publish::new(topic, qos, payload);
        publish.pkid = if qos == QoS::AtMostOnce { 0 } else { 0x1234 };
        let mut bytes = BytesMut::new();
        publish.write(&mut bytes).unwrap();
        bytes.to_vec()
    }

    /// What comes out when the bytes come in chunks of this size.
    fn read(bytes: &[u8], chunk: usize, packet_bytes_max: usize) -> Result<Vec<String>, Violation> {
        let mut inbox = Inbox::new(packet_bytes_max);
        let mut out = Vec::new();
        for chunk in bytes.chunks(chunk) {
            inbox.room().extend_from_slice(chunk);
            inbox.arrived();
            while let Some(packet) = inbox.next()? {
                out.push(match packet {
                    Incoming::Publish(publish) => format!(
                        "{:?} {:?} {:?} {:?} {}",
                        publish.topic(),
                        String::from_utf8_lossy(publish.payload()),
                        publish.acknowledgement(),
                        publish.skipped,
                        publish.retain
                    ),
                    Incoming::Control(packet) => format!("{packet:?}"),
                });
            }
        }
        Ok(out)
    }

    #[test]
    fn messages_of_every_qos_and_control_packets_are_read_in_any_chunks() {
        let mut bytes = publish("a/b", QoS::AtMostOnce, b"one");
        bytes.extend(publish("c", QoS::AtLeastOnce, b""));
        let mut suback = BytesMut::new();
        SubAck::new(1, vec![SubscribeReasonCode::Failure]).write(&mut suback).unwrap();
        bytes.extend_from_slice(&suback);
        bytes.extend(publish("d", QoS::ExactlyOnce, &[b'x'; 300]));
        bytes.extend([0xd0, 0]);
        let whole = read(&bytes, usize::MAX, 1_000).unwrap();
        assert_eq!(whole[0], r#"Some("a/b") "one" None None false"#);
        assert_eq!(whole[1], r#"Some("c") "" Some(PubAck(4660)) None false"#);
        assert!(whole[2].starts_with("SubAck"));
        assert!(whole[3].contains("Some(PubRec(4660))"));
        assert_eq!(whole[4], "PingResp");
        for chunk in [1, 2, 3, 7, 100] {
            assert_eq!(read(&bytes, chunk, 1_000).unwrap(), whole);
        }
    }

    #[test]
    fn a_message_that_is_too_large_is_skipped_and_what_follows_is_read() {
        let mut bytes = publish("big", QoS::AtLeastOnce, &vec![b'x'; 100_000]);
        bytes.extend(publish("next", QoS::AtLeastOnce, b"1"));
        for chunk in [1, 1_000, 50_000, usize::MAX] {
            let out = read(&bytes, chunk, 1_000).unwrap();
            assert_eq!(out[0], r#"Some("big") "" Some(PubAck(4660)) Some(100011) false"#);
            assert_eq!(out[1], r#"Some("next") "1" Some(PubAck(4660)) None false"#);
        }
    }

    #[test]
    fn a_topic_that_is_no_text_is_still_a_message_that_can_be_acknowledged() {
        let mut bytes = publish("ab", QoS::AtLeastOnce, b"1");
        bytes[4] = 0xff;
        assert_eq!(read(&bytes, 1, 1_000).unwrap(), [r#"None "1" Some(PubAck(4660)) None false"#]);
    }

    #[test]
    fn what_does_not_follow_mqtt_is_an_error() {
        for bytes in [
            &[0x30, 0x80, 0x80, 0x80, 0x80][..],
            &[0x36, 4, 0, 1, b'a', 0],
            &[0x30, 0],
            &[0x30, 1, 0],
            &[0x30, 2, 0, 9],
            &[0x32, 3, 0, 1, b'a'],
            &[0x20, 0],
            &[0xf0, 2, 0, 0],
            &[0x90, 0xff, 0xff, 0x7f],
        ] {
            assert!(read(bytes, usize::MAX, 1_000).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..50) {
            let _ = read(&bytes, chunk, 100);
        }
    }
}
