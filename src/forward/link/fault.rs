//! Why a connection did not come about, or ended.
//!
//! Owns the kinds that a person is told of in different words (`explain`), and which of them the broker may have chosen
//! because of what we sent. Pure.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// The end of a connection, or of the attempt at one.
#[derive(Debug)]
pub enum Fault {
    /// Name look-up, TCP or TLS failed.
    Io(io::Error),
    /// The host in `url` is neither a name nor an address.
    BadHost,
    /// What answered is no broker.
    NotMqtt,
    /// The broker said no to the CONNECT.
    Refused {
        /// Return code (MQTT 3.1.1) or reason code (MQTT 5).
        reason: u8,
        /// The broker's own words.
        text: Option<String>,
        /// Another broker that it names.
        server: Option<String>,
    },
    /// The broker takes QoS 0 only, which promises nothing.
    OnlyQosZero,
    /// The broker closed the connection without a word.
    Closed,
    /// The broker said that it closes the connection (MQTT 5).
    Goodbye {
        /// Reason code.
        reason: u8,
        /// The broker's own words.
        text: Option<String>,
        /// Another broker that it names.
        server: Option<String>,
    },
    /// A ping was not answered for this long.
    NoPong(Duration),
    /// The broker does not keep to the protocol.
    Violation(String),
}

impl Fault {
    /// Whether the broker may have ended the connection because of a message.
    pub fn is_by_broker(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Io(error) => matches!(
                error.kind(),
                ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::UnexpectedEof
            ),
            // Unspecified, malformed, protocol error, implementation specific, not authorised, topic name, packet too
            // large, payload format. The others are about the broker, the network or how much is sent.
            Self::Goodbye { reason, .. } => {
                matches!(reason, 0x80..=0x83 | 0x87 | 0x90 | 0x95 | 0x99)
            }
            _ => false,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
