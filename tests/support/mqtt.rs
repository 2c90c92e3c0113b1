//! The few MQTT 3.1.1 packets that the tests need, over a blocking socket.
//!
//! Written out here on purpose instead of taken from the library the gateway uses: a fault in that library must not be
//! hidden by the same fault on the test's side, and the tests decide themselves when an acknowledgement goes out.
//! Packet layout: MQTT 3.1.1, chapters 2 and 3.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// How long a read waits before it says that there is nothing yet.
const READ_WAIT: Duration = Duration::from_millis(20);

/// How long a connection attempt and its CONNACK may take.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// A packet from the broker.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// Answer to CONNECT.
    ConnAck { session_present: bool, code: u8 },
    /// A message.
    Publish { topic: String, payload: Vec<u8>, dup: bool, retain: bool, packet_id: Option<u16> },
    /// Our message has arrived.
    PubAck(u16),
    /// Answer to SUBSCRIBE, the granted QoS of each filter.
    SubAck(Vec<u8>),
}

/// How a broker's door is entered.
#[derive(Clone, Debug)]
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    /// Name and password.
    pub account: Option<(String, String)>,
    /// With TLS, for the host `localhost`.
    pub tls: Option<Arc<ClientConfig>>,
}

impl From<SocketAddr> for Door {
    /// A plain door that asks for nothing.
    fn from(address: SocketAddr) -> Self {
        Self { address, account: None, tls: None }
    }
}

/// What bytes go through.
#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.sock,
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(bytes),
            Self::Tls(tls) => tls.read(bytes),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    stream: Wire,
    received: Vec<u8>,
    /// Whether the broker still knew our session.
    pub session_present: bool,
}

impl Session {
    /// Connects without keep-alive. `clean`: start and leave without a stored session.
    pub fn connect(address: SocketAddr, client_id: &str, clean: bool) -> io::Result<Self> {
        Self::enter(&address.into(), client_id, clean)
    }

    /// The same with a name and a password.
    pub fn connect_as(
        address: SocketAddr,
        client_id: &str,
        clean: bool,
        account: Option<(&str, &str)>,
    ) -> io::Result<Self> {
        let account = account.map(|(name, password)| (name.to_owned(), password.to_owned()));
        Self::enter(&Door { account, ..address.into() }, client_id, clean)
    }

    /// The same by any door.
    pub fn enter(door: &Door, client_id: &str, clean: bool) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&door.address, CONNECT_WAIT)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(CONNECT_WAIT))?;
        tcp.set_write_timeout(Some(CONNECT_WAIT))?;
        let stream = match &door.tls {
            None => Wire::Plain(tcp),
            Some(config) => {
                let host = "localhost".try_into().map_err(io::Error::other)?;
                let tls = ClientConnection::new(Arc::clone(config), host).map_err(io::Error::other)?;
                Wire::Tls(Box::new(StreamOwned::new(tls, tcp)))
            }
        };
        let mut session = Self { stream, received: Vec::new(), session_present: false };
        let mut body = Vec::new();
        put_text(&mut body, "MQTT");
        let flags = if clean { 0b10 } else { 0 } | if door.account.is_some() { 0b1100_0000 } else { 0 };
        body.extend([4, flags, 0, 0]);
        put_text(&mut body, client_id);
        if let Some((name, password)) = &door.account {
            put_text(&mut body, name);
            put_text(&mut body, password);
        }
        session.send(&frame(0x10, &body))?;
        match session.poll()? {
            Some(Packet::ConnAck { session_present, code: 0 }) => session.session_present = session_present,
            other => return Err(io::Error::other(format!("connecting as {client_id}: {other:?}"))),
        }
        session.stream.tcp().set_read_timeout(Some(READ_WAIT))?;
        Ok(session)
    }

    /// Asks for messages at QoS 1.
    pub fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        self.subscribe_at(filter, 1)
    }

    /// Asks for messages at a QoS.
    pub fn subscribe_at(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        let mut body = vec![0, 1];
        put_text(&mut body, filter);
        body.push(qos);
        self.send(&frame(0x82, &body))
    }

    /// Sends whole packets as made by [`publish_frame`] and [`puback_frame`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next packet; `None` when nothing has come within a short time.
    ///
    /// # Errors
    /// When the connection is gone or the broker sends what it must not.
    pub fn poll(&mut self) -> io::Result<Option<Packet>> {
        loop {
            if let Some((packet, length)) = parse(&self.received)? {
                self.received.drain(..length);
                return Ok(Some(packet));
            }
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A PUBLISH: QoS 1 with a packet id, QoS 0 without.
pub fn publish_frame(topic: &str, payload: &[u8], packet_id: Option<u16>, retain: bool) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
    put_text(&mut body, topic);
    if let Some(packet_id) = packet_id {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    frame(0x30 | if packet_id.is_some() { 0b10 } else { 0 } | u8::from(retain), &body)
}

/// A PUBACK.
pub fn puback_frame(packet_id: u16) -> [u8; 4] {
    let [high, low] = packet_id.to_be_bytes();
    [0x40, 2, high, low]
}

fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    loop {
        let low = u8::try_from(rest % 128).expect("below 128");
        rest /= 128;
        bytes.push(if rest > 0 { low | 128 } else { low });
        if rest == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).expect("texts in tests are short").to_be_bytes());
    out.extend(text.as_bytes());
}

fn short(bytes: &[u8]) -> io::Result<(u16, &[u8])> {
    match bytes {
        [high, low, rest @ ..] => Ok((u16::from_be_bytes([*high, *low]), rest)),
        _ => Err(io::Error::other("packet too short")),
    }
}

/// The first packet in `bytes` and its length; `None` when it is not complete.
fn parse(bytes: &[u8]) -> io::Result<Option<(Packet, usize)>> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let mut length = 0usize;
    let mut at = 1;
    loop {
        let Some(&byte) = bytes.get(at) else { return Ok(None) };
        length |= usize::from(byte & 127) << (7 * (at - 1));
        at += 1;
        if byte & 128 == 0 {
            break;
        }
        if at > 4 {
            return Err(io::Error::other("remaining length of more than four bytes"));
        }
    }
    let Some(body) = bytes.get(at..at + length) else { return Ok(None) };
    let packet = match first >> 4 {
        2 if body.len() == 2 => Packet::ConnAck { session_present: body[0] & 1 == 1, code: body[1] },
        3 => {
            let (topic_length, rest) = short(body)?;
            let Some((topic, rest)) = rest.split_at_checked(usize::from(topic_length)) else {
                return Err(io::Error::other("topic longer than its packet"));
            };
            let (packet_id, payload) = if first & 0b110 == 0 {
                (None, rest)
            } else {
                let (packet_id, rest) = short(rest)?;
                (Some(packet_id), rest)
            };
            Packet::Publish {
                topic: String::from_utf8(topic.to_vec()).map_err(io::Error::other)?,
                payload: payload.to_vec(),
                dup: first & 0b1000 != 0,
                retain: first & 1 != 0,
                packet_id,
            }
        }
        4 => Packet::PubAck(short(body)?.0),
        9 => Packet::SubAck(short(body)?.1.to_vec()),
        kind => return Err(io::Error::other(format!("unexpected packet type {kind}"))),
    };
    Ok(Some((packet, at + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_comes_back_from_its_bytes_however_they_are_cut() {
        let payload = vec![7; 300];
        let bytes = publish_frame("a/b", &payload, Some(513), false);
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).unwrap().is_none());
        }
        let (packet, length) = parse(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let topic = "a/b".to_owned();
        assert_eq!(packet, Packet::Publish { topic, payload, dup: false, retain: false, packet_id: Some(513) });
    }
}
