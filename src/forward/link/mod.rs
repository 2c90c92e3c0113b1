//! One connection to an MQTT broker: dial, TLS, login, then packets both ways, in MQTT 3.1.1 or MQTT 5.
//!
//! Owns the socket, what is not yet written or read, the keep-alive and the topic aliases. Never decides what is sent,
//! never numbers a message and never logs. What is published gathers in a buffer that goes out in full TLS records, or
//! when it is flushed: a window of small events costs few system calls. Every wait may be cancelled and begun again.
//!
//! Why the event loop of rumqttc (0.25.1) is not used, of which only the codec is: `publish` returns no packet id and
//! waits for nothing, so acknowledgements would be matched by guessing; what it has pending is thrown away when a broker
//! answers `session_present = 0`, and else sent again for ever, also the one message that the broker does not take; each
//! packet is flushed by itself, which costs a TLS record and a system call a message; of MQTT 5 it ends the connection
//! over a reason code that it does not know; and it tries the addresses of a name one after the other, so that a network
//! whose IPv6 leads nowhere holds it up for a minute. Here nothing outlives the connection: the window and the store know
//! what is to be sent again.

pub mod alias;
pub mod codec;
pub mod dial;
pub mod fault;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS as QoS5;
use rumqttc::v5::mqttbytes::v5 as packets5;
use rumqttc::{Connect, LastWill, Login, QoS};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::config::model::Protocol;
use crate::moderation::{self, Moderation, UNDER_WAY_MIN};
use alias::Aliases;
use codec::{Incoming, Welcome};
pub use fault::Fault;

/// Largest packet taken from the broker, bytes. We subscribe to nothing, so acknowledgements are all that comes.
pub const INCOMING_BYTES_MAX: usize = 16 * 1024;

/// What has gathered is written when it is this much: one full TLS record.
const WRITE_BYTES: usize = 16 * 1024;

/// Bytes asked from the connection at once: a thousand acknowledgements.
const READ_BYTES: usize = 4 * 1024;

/// Bytes of an acknowledgement; in MQTT 5 of one without a reason.
const PUBACK_BYTES: usize = 4;

/// Messages that MQTT 5 lets be in flight when the broker does not say how many.
const RECEIVE_MAXIMUM: u16 = u16::MAX;

/// A connected socket, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What the broker is to publish when it loses us, at QoS 1.
#[derive(Clone, Debug)]
pub struct Will {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// Whether the broker is to keep it.
    pub retain: bool,
}

/// Everything one connection is made from; credentials are read already.
#[derive(Clone, Debug)]
pub struct Options {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS, if any.
    pub tls: Option<Arc<ClientConfig>>,
    /// The version spoken.
    pub protocol: Protocol,
    /// Who we are.
    pub client_id: String,
    /// User name and password (which may be empty).
    pub login: Option<(String, String)>,
    /// Silence after which the connection is tested.
    pub keep_alive: Duration,
    /// How long sent bytes may stay without a sign of life from the other machine.
    pub silence_max: Duration,
    /// The last will, if any.
    pub will: Option<Will>,
}

/// What the broker has said about itself when it let us in. MQTT 3.1.1 says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Messages that may be without acknowledgement at a time.
    pub receive_maximum: u16,
    /// Largest packet it takes, bytes.
    pub packet_bytes_max: Option<u32>,
    /// Whether it keeps retained messages.
    pub retains: bool,
}

/// A message to publish at QoS 1.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Where to.
    pub topic: &'a str,
    /// What.
    pub payload: &'a [u8],
    /// Whether the broker is to keep it.
    pub retain: bool,
    /// Its number, not 0, and not that of another message in flight.
    pub packet_id: u16,
    /// Properties as [`codec`] writes them, without a topic alias; not sent in MQTT 3.1.1.
    pub properties: &'a [u8],
}

/// The broker's word on a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puback {
    /// The message's number.
    pub packet_id: u16,
    /// The reason code; 0 in MQTT 3.1.1.
    pub reason: u8,
    /// The broker's own words, if it has any.
    pub text: Option<String>,
}

/// A connection that the broker has accepted.
pub struct Link {
    stream: Box<dyn Stream>,
    inbox: BytesMut,
    outbox: BytesMut,
    /// TLS may hold written bytes back until it is flushed.
    unflushed: bool,
    protocol: Protocol,
    terms: Terms,
    aliases: Aliases,
    keep_alive: Duration,
    ticks: Interval,
    /// Whether anything came since the last ping was sent.
    heard: bool,
    /// Messages that the broker has and has not acknowledged.
    unacknowledged: usize,
    moderation: Moderation,
}

impl Link {
    /// Dials, shakes hands and logs in. Unbounded in time: the caller sets the limit.
    ///
    /// # Errors
    ///
    /// Why there is no connection.
    pub async fn connect(options: &Options) -> Result<Self, Fault> {
        let tcp = dial::dial(&options.host, options.port).await?;
        dial::watch_over(&tcp, options.keep_alive, options.silence_max);
        let stream: Box<dyn Stream> = match &options.tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(dial::secure(tcp, &options.host, Arc::clone(tls)).await?),
        };
        Self::login(stream, options).await
    }

    /// Logs in over a socket that is connected.
    ///
    /// # Errors
    ///
    /// The broker refuses, breaks the protocol, or is none.
    pub async fn login(mut stream: Box<dyn Stream>, options: &Options) -> Result<Self, Fault> {
        let mut bytes = connect_packet(options)?;
        stream.write_all_buf(&mut bytes).await?;
        stream.flush().await?;
        let mut inbox = BytesMut::with_capacity(READ_BYTES);
        let welcome = loop {
            // Known by its first byte, before a length that may be none is waited for.
            if inbox.first().is_some_and(|first| *first != codec::CONNACK) {
                return Err(Fault::NotMqtt);
            }
            match codec::take(&mut inbox, options.protocol, INCOMING_BYTES_MAX) {
                Ok(Some(Incoming::Welcome(welcome))) => break welcome,
                Ok(Some(_)) | Err(_) => return Err(Fault::NotMqtt),
                Ok(None) => {}
            }
            inbox.reserve(READ_BYTES);
            if stream.read_buf(&mut inbox).await? == 0 {
                return Err(Fault::Closed);
            }
        };
        Self::accepted(stream, inbox, welcome, options)
    }

    fn accepted(stream: Box<dyn Stream>, inbox: BytesMut, welcome: Welcome, options: &Options) -> Result<Self, Fault> {
        if welcome.reason != 0 {
            let Welcome { reason, text, server, .. } = welcome;
            return Err(Fault::Refused { reason, text, server });
        }
        if welcome.maximum_qos == Some(0) {
            return Err(Fault::OnlyQosZero);
        }
        let terms = Terms {
            receive_maximum: welcome.receive_maximum.unwrap_or(RECEIVE_MAXIMUM).max(1),
            packet_bytes_max: welcome.packet_bytes_max,
            retains: welcome.retains,
        };
        let keep_alive = match welcome.keep_alive {
            // Nought turns the broker's watch off; ours goes on.
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds.into()),
            _ => options.keep_alive,
        };
        let mut ticks = tokio::time::interval_at(Instant::now() + keep_alive, keep_alive);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            stream,
            inbox,
            outbox: BytesMut::new(),
            unflushed: false,
            protocol: options.protocol,
            terms,
            aliases: Aliases::new(welcome.topic_alias_maximum),
            keep_alive,
            ticks,
            heard: true,
            unacknowledged: 0,
            moderation: Moderation::default(),
        })
    }

    /// What the broker has said about itself.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// How often the connection is tested: our own keep-alive, or the broker's if it wants another.
    pub fn keep_alive(&self) -> Duration {
        self.keep_alive
    }

    /// An upper bound of the bytes of a PUBLISH with these parts.
    pub fn publish_bytes(&self, topic: &str, payload: &[u8], properties: &[u8]) -> usize {
        codec::PUBLISH_HEAD_BYTES_MAX + topic.len() + payload.len() + properties.len()
    }

    /// Adds a message to what is to be written, and writes when much has gathered.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub async fn publish(&mut self, message: Message<'_>) -> Result<(), Fault> {
        let alias = match self.protocol {
            Protocol::V311 => None,
            Protocol::V5 => self.aliases.of(message.topic),
        };
        codec::publish(&mut self.outbox, self.protocol, message, alias);
        self.unacknowledged += 1;
        if self.outbox.len() >= WRITE_BYTES { self.write().await } else { Ok(()) }
    }

    /// Hands all that has gathered to the network.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub async fn flush(&mut self) -> Result<(), Fault> {
        self.write().await?;
        if self.unflushed {
            self.stream.flush().await?;
            self.unflushed = false;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Fault> {
        if !self.outbox.is_empty() {
            self.unflushed = true;
            // Takes out of the buffer what is written, so nothing is lost or doubled when this is cancelled.
            self.stream.write_all_buf(&mut self.outbox).await?;
        }
        Ok(())
    }

    /// Says goodbye; the broker drops our last will.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub async fn disconnect(&mut self) -> Result<(), Fault> {
        codec::disconnect(&mut self.outbox);
        self.flush().await
    }

    /// The next acknowledgement, keeping the connection alive meanwhile. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The connection ended, or does not answer.
    pub async fn next(&mut self) -> Result<Puback, Fault> {
        loop {
            if let Some(puback) = self.take()? {
                return Ok(puback);
            }
            if self.unflushed || !self.outbox.is_empty() {
                let limit = self.keep_alive;
                tokio::time::timeout(limit, self.flush()).await.map_err(|_| Fault::NoPong(limit))??;
            }
            self.inbox.reserve(READ_BYTES);
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.inbox) => {
                    let bytes = read?;
                    if bytes == 0 {
                        return Err(Fault::Closed);
                    }
                    self.heard = true;
                    let packets = bytes / PUBACK_BYTES;
                    // With little left to acknowledge there is little to wait for, and room for more to send.
                    let is_busy = self.unacknowledged > packets + UNDER_WAY_MIN;
                    if self.moderation.after_read(packets, is_busy, Instant::now().into_std()) {
                        moderation::pause();
                    }
                }
                _ = self.ticks.tick() => {
                    if !self.heard {
                        return Err(Fault::NoPong(self.keep_alive));
                    }
                    self.heard = false;
                    codec::ping(&mut self.outbox);
                }
            }
        }
    }

    /// The next acknowledgement among what has been read.
    ///
    /// # Errors
    ///
    /// The broker says goodbye or breaks the protocol.
    pub fn take(&mut self) -> Result<Option<Puback>, Fault> {
        loop {
            match codec::take(&mut self.inbox, self.protocol, INCOMING_BYTES_MAX) {
                Ok(None) => return Ok(None),
                Ok(Some(Incoming::Puback(puback))) => {
                    self.unacknowledged = self.unacknowledged.saturating_sub(1);
                    return Ok(Some(puback));
                }
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Goodbye { reason, text, server })) => {
                    return Err(Fault::Goodbye { reason, text, server });
                }
                Ok(Some(Incoming::Welcome(_))) => return Err(Fault::Violation("a second CONNACK".to_owned())),
                Ok(Some(Incoming::Other(kind))) => {
                    return Err(Fault::Violation(format!("a packet of type {kind} that nobody asked for")));
                }
                Err(error) => return Err(Fault::Violation(error.0)),
            }
        }
    }
}

/// The CONNECT. Everything that matters is in the store, so the broker need not remember us: clean, no session after.
fn connect_packet(options: &Options) -> Result<BytesMut, Fault> {
    let mut bytes = BytesMut::new();
    let keep_alive = u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX).max(1);
    let written = match options.protocol {
        Protocol::V311 => {
            let mut connect = Connect::new(&options.client_id);
            connect.clean_session = true;
            connect.keep_alive = keep_alive;
            connect.login = options.login.clone().map(|(username, password)| Login { username, password });
            connect.last_will = options
                .will
                .as_ref()
                .map(|will| LastWill::new(&will.topic, will.payload.clone(), QoS::AtLeastOnce, will.retain));
            connect.write(&mut bytes).map_err(|error| error.to_string())
        }
        Protocol::V5 => {
            let properties = packets5::ConnectProperties {
                session_expiry_interval: Some(0),
                max_packet_size: u32::try_from(INCOMING_BYTES_MAX).ok(),
                ..packets5::ConnectProperties::new()
            };
            let connect = packets5::Connect {
                keep_alive,
                client_id: options.client_id.clone(),
                clean_start: true,
                properties: Some(properties),
            };
            let will = options.will.as_ref().map(|will| {
                packets5::LastWill::new(&will.topic, will.payload.clone(), QoS5::AtLeastOnce, will.retain, None)
            });
            let login = options.login.clone().map(|(username, password)| packets5::Login { username, password });
            connect.write(&will, &login, &mut bytes).map_err(|error| error.to_string())
        }
    };
    written.map_err(|why| Fault::Violation(format!("our own CONNECT cannot be written: {why}")))?;
    Ok(bytes)
}
