//! MQTT packets in bytes: what is published and what a publisher is told, in both versions.
//!
//! Owns the form of PUBLISH, PINGREQ and DISCONNECT as they leave and of CONNACK, PUBACK, PINGRESP and DISCONNECT as
//! they come; CONNECT is written by rumqttc. Read here and not by rumqttc because a broker's reason code that a list
//! does not know must not end a connection. Pure; arbitrary bytes give an error at worst. Sections: MQTT 5.

use bytes::{Buf, BufMut, BytesMut};

use super::alias::Alias;
use super::{Message, Puback};
use crate::config::model::Protocol;

/// The first byte of a CONNACK.
pub const CONNACK: u8 = 0x20;

/// Most bytes of a PUBLISH besides topic, payload and properties: fixed header, lengths, packet id and topic alias.
pub const PUBLISH_HEAD_BYTES_MAX: usize = 5 + 2 + 2 + 4 + 3;

/// Longest text of the broker's taken over, bytes; it goes into logs and dead letters.
const TEXT_BYTES_MAX: usize = 256;

/// Properties of a PUBLISH that events have (3.3.2.3).
mod property {
    pub(super) const PAYLOAD_FORMAT: u8 = 1;
    pub(super) const MESSAGE_EXPIRY: u8 = 2;
    pub(super) const CONTENT_TYPE: u8 = 3;
    pub(super) const SERVER_KEEP_ALIVE: u8 = 19;
    pub(super) const SERVER_REFERENCE: u8 = 28;
    pub(super) const REASON_STRING: u8 = 31;
    pub(super) const RECEIVE_MAXIMUM: u8 = 33;
    pub(super) const TOPIC_ALIAS_MAXIMUM: u8 = 34;
    pub(super) const TOPIC_ALIAS: u8 = 35;
    pub(super) const MAXIMUM_QOS: u8 = 36;
    pub(super) const RETAIN_AVAILABLE: u8 = 37;
    pub(super) const USER: u8 = 38;
    pub(super) const MAXIMUM_PACKET_SIZE: u8 = 39;
}

/// What a broker says in its CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// 0 when it lets us in.
    pub reason: u8,
    /// Its own words.
    pub text: Option<String>,
    /// Another broker that it names.
    pub server: Option<String>,
    /// Messages that may be in flight.
    pub receive_maximum: Option<u16>,
    /// Largest packet it takes, bytes.
    pub packet_bytes_max: Option<u32>,
    /// Highest topic alias it takes.
    pub topic_alias_maximum: u16,
    /// The keep-alive it wants, s.
    pub keep_alive: Option<u16>,
    /// The highest QoS it takes, if not 2.
    pub maximum_qos: Option<u8>,
    /// Whether it keeps retained messages.
    pub retains: bool,
}

/// A packet from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// CONNACK.
    Welcome(Welcome),
    /// PUBACK.
    Puback(Puback),
    /// PINGRESP.
    Pong,
    /// DISCONNECT.
    Goodbye {
        /// Reason code.
        reason: u8,
        /// Its own words.
        text: Option<String>,
        /// Another broker that it names.
        server: Option<String>,
    },
    /// A packet of a type that a mere publisher does not get.
    Other(u8),
}

/// Bytes that are no MQTT; in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(what.into()))
}

/// Takes the next whole packet out of what has come.
///
/// # Errors
///
/// It is no MQTT, or larger than `bytes_max`.
pub fn take(buffer: &mut BytesMut, protocol: Protocol, bytes_max: usize) -> Result<Option<Incoming>, Malformed> {
    let Some((header, remaining)) = fixed_header(buffer)? else { return Ok(None) };
    if remaining > bytes_max {
        return malformed(format!("a packet of {remaining} bytes"));
    }
    if buffer.len() < header + remaining {
        return Ok(None);
    }
    let packet = read(buffer[0] >> 4, &buffer[header..header + remaining], protocol);
    buffer.advance(header + remaining);
    packet.map(Some)
}

/// The length of the fixed header and of what follows it; `None` while it is not all there (2.1).
fn fixed_header(buffer: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    match varint(buffer.get(1..).unwrap_or_default()) {
        Varint::Is(remaining, length) => Ok(Some((1 + length, remaining))),
        Varint::Short => Ok(None),
        Varint::TooLong => malformed("a length of more than four bytes"),
    }
}

enum Varint {
    /// The number and its bytes.
    Is(usize, usize),
    Short,
    TooLong,
}

fn varint(bytes: &[u8]) -> Varint {
    let mut number = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Varint::Is(number, index + 1);
        }
    }
    if bytes.len() < 4 { Varint::Short } else { Varint::TooLong }
}

fn read(kind: u8, body: &[u8], protocol: Protocol) -> Result<Incoming, Malformed> {
    let mut reader = Reader(body);
    match kind {
        2 => connack(&mut reader, protocol).map(Incoming::Welcome),
        4 => {
            let packet_id = reader.two()?;
            // Left out when it is 0 (3.4.2.1).
            let reason = if reader.0.is_empty() { 0 } else { reader.one()? };
            let text = said(&mut reader)?.text;
            Ok(Incoming::Puback(Puback { packet_id, reason, text }))
        }
        13 => Ok(Incoming::Pong),
        14 if protocol == Protocol::V5 => {
            let reason = if reader.0.is_empty() { 0 } else { reader.one()? };
            let Said { text, server, .. } = said(&mut reader)?;
            Ok(Incoming::Goodbye { reason, text, server })
        }
        other => Ok(Incoming::Other(other)),
    }
}

/// What the properties of a packet from the broker may tell us.
#[derive(Default)]
struct Said {
    text: Option<String>,
    server: Option<String>,
    receive_maximum: Option<u16>,
    packet_bytes_max: Option<u32>,
    topic_alias_maximum: u16,
    keep_alive: Option<u16>,
    maximum_qos: Option<u8>,
    no_retain: bool,
}

fn connack(reader: &mut Reader<'_>, protocol: Protocol) -> Result<Welcome, Malformed> {
    reader.one()?;
    let reason = reader.one()?;
    // A broker of an older version says no in its own form.
    let said = if protocol == Protocol::V5 { said(reader)? } else { Said::default() };
    Ok(Welcome {
        reason,
        text: said.text,
        server: said.server,
        receive_maximum: said.receive_maximum,
        packet_bytes_max: said.packet_bytes_max,
        topic_alias_maximum: said.topic_alias_maximum,
        keep_alive: said.keep_alive,
        maximum_qos: said.maximum_qos,
        retains: !said.no_retain,
    })
}

/// Reads the properties, if there are any (2.2.2).
fn said(reader: &mut Reader<'_>) -> Result<Said, Malformed> {
    let mut said = Said::default();
    if reader.0.is_empty() {
        return Ok(said);
    }
    let length = reader.number()?;
    let mut rest = Reader(reader.bytes(length)?);
    while !rest.0.is_empty() {
        match rest.one()? {
            property::REASON_STRING => said.text = Some(rest.told()?),
            property::SERVER_REFERENCE => said.server = Some(rest.told()?),
            property::RECEIVE_MAXIMUM => said.receive_maximum = Some(rest.two()?),
            property::MAXIMUM_PACKET_SIZE => said.packet_bytes_max = Some(rest.four()?),
            property::TOPIC_ALIAS_MAXIMUM => said.topic_alias_maximum = rest.two()?,
            property::SERVER_KEEP_ALIVE => said.keep_alive = Some(rest.two()?),
            property::MAXIMUM_QOS => said.maximum_qos = Some(rest.one()?),
            property::RETAIN_AVAILABLE => said.no_retain = rest.one()? == 0,
            // What plays no part here, by the form of its value (table 2-4).
            1 | 23 | 25 | 40..=42 => drop(rest.one()?),
            2 | 17 | 24 => drop(rest.four()?),
            11 => drop(rest.number()?),
            3 | 8 | 9 | 18 | 21 | 22 | 26 => drop(rest.text()?),
            property::USER => {
                rest.text()?;
                rest.text()?;
            }
            other => return malformed(format!("a property that MQTT 5 does not have ({other})")),
        }
    }
    Ok(said)
}

/// Reads from the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let Some((bytes, rest)) = self.0.split_at_checked(count) else {
            return malformed("a packet that ends in the middle of a field");
        };
        self.0 = rest;
        Ok(bytes)
    }

    fn one(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    fn two(&mut self) -> Result<u16, Malformed> {
        let bytes = self.bytes(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn four(&mut self) -> Result<u32, Malformed> {
        let bytes = self.bytes(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn number(&mut self) -> Result<usize, Malformed> {
        match varint(self.0) {
            Varint::Is(number, length) => self.bytes(length).map(|_| number),
            Varint::Short | Varint::TooLong => malformed("a length that is none"),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.two()?;
        self.bytes(length.into())
    }

    /// A text for people: bounded, on one line.
    fn told(&mut self) -> Result<String, Malformed> {
        let bytes = self.text()?;
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]);
        Ok(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

/// Adds a PUBLISH of QoS 1 (3.3).
pub fn publish(out: &mut BytesMut, protocol: Protocol, message: Message<'_>, alias: Option<Alias>) {
    let topic = if alias.is_some_and(|alias| alias.known) { "" } else { message.topic };
    let properties = message.properties.len() + if alias.is_some() { 3 } else { 0 };
    let properties_with_length = match protocol {
        Protocol::V311 => 0,
        Protocol::V5 => varint_bytes(properties) + properties,
    };
    let remaining = 2 + topic.len() + 2 + properties_with_length + message.payload.len();
    out.reserve(5 + remaining);
    out.put_u8(0x32 | u8::from(message.retain));
    put_varint(out, remaining);
    put_text(out, topic);
    out.put_u16(message.packet_id);
    if protocol == Protocol::V5 {
        put_varint(out, properties);
        out.put_slice(message.properties);
        if let Some(alias) = alias {
            out.put_u8(property::TOPIC_ALIAS);
            out.put_u16(alias.number);
        }
    }
    out.put_slice(message.payload);
}

/// Adds a PINGREQ.
pub fn ping(out: &mut BytesMut) {
    out.put_slice(&[0xc0, 0]);
}

/// Adds a DISCONNECT that drops the last will; the same in both versions.
pub fn disconnect(out: &mut BytesMut) {
    out.put_slice(&[0xe0, 0]);
}

/// Adds the property that says what the payload is.
pub fn put_content_type(out: &mut Vec<u8>, content_type: &str) {
    out.put_u8(property::CONTENT_TYPE);
    put_text(out, content_type);
}

/// Adds the property that says that the payload is text.
pub fn put_is_text(out: &mut Vec<u8>) {
    out.put_slice(&[property::PAYLOAD_FORMAT, 1]);
}

/// Adds the property that says after how many seconds the broker is to drop the message.
pub fn put_expiry(out: &mut Vec<u8>, seconds: u32) {
    out.put_u8(property::MESSAGE_EXPIRY);
    out.put_u32(seconds);
}

/// Adds a user property.
pub fn put_user_property(out: &mut Vec<u8>, name: &str, value: &str) {
    out.put_u8(property::USER);
    put_text(out, name);
    put_text(out, value);
}

/// A text with its length before it. What MQTT cannot express is cut; configuration and wire names are far shorter.
fn put_text(out: &mut impl BufMut, text: &str) {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.put_u16(u16::try_from(end).unwrap_or(u16::MAX));
    out.put_slice(&text.as_bytes()[..end]);
}

fn put_varint(out: &mut impl BufMut, mut number: usize) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return out.put_u8(byte);
        }
        out.put_u8(byte | 0x80);
    }
}

fn varint_bytes(number: usize) -> usize {
    match number {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
