//! How a connection upstream ended, and whether the broker may have ended it because of what we sent.
//!
//! Owns the judgement that decides between a bad network and a bad event. Pure.

use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

use rumqttc::{ConnectionError, StateError};

use super::explain::{self, Explanation, Phase};
use crate::config::model::Upstream;

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// We were told to stop, and took our leave.
    Stopped,
    /// The call is over: the next one is made when the schedule says so.
    HungUp,
    /// This broker is left for a better one, and we took our leave.
    Moved(usize),
    /// The store is gone: the process is ending.
    StoreGone,
    /// It is to be made again.
    Lost(Lost),
}

/// Why a connection is to be made again.
#[derive(Debug)]
pub enum Lost {
    /// The network or the broker ended it.
    Ended(Box<ConnectionError>),
    /// The broker ended it before it acknowledged our status or anything else.
    AtBirth(Box<ConnectionError>),
    /// Nothing was acknowledged for `ack_timeout`.
    NoAcknowledgement,
    /// The broker takes no data.
    NotTaken,
    /// The library ran out of packet ids: an old one is still unacknowledged.
    PacketIds,
}

impl Lost {
    /// In words.
    pub fn explain(&self, upstream: &Upstream) -> Explanation {
        let place = explain::place(upstream);
        match self {
            Self::Ended(error) => explain::connection(error, upstream, Phase::Connected),
            Self::AtBirth(error) => explain::connection(error, upstream, Phase::Birth),
            Self::NoAcknowledgement => Explanation::plain(format!(
                "{place} has acknowledged nothing for {}; the network in between is down (also without a word: a router that \
                 forgot the connection), or the broker hangs or is overloaded (look into its log)",
                explain::human(upstream.ack_timeout)
            )),
            Self::NotTaken => explain::timeout(upstream, Phase::Connected),
            Self::PacketIds => Explanation::plain(format!(
                "{place} acknowledges some messages and leaves out others; look into its log"
            )),
        }
    }

    /// The same, of a connection on which our status was sent and nothing was acknowledged.
    pub fn before_anything(self) -> Self {
        match self {
            Self::Ended(error) => Self::AtBirth(error),
            other => other,
        }
    }

    /// Whether the broker may have ended it because of what we sent.
    pub fn is_by_broker(&self) -> bool {
        matches!(self, Self::NoAcknowledgement) || self.is_closed()
    }

    /// Whether the broker, or what looks like it, has closed the connection.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::NoAcknowledgement | Self::NotTaken | Self::PacketIds => false,
            Self::AtBirth(error) | Self::Ended(error) => match &**error {
                ConnectionError::MqttState(StateError::ConnectionAborted) => true,
                ConnectionError::MqttState(
                    StateError::Io(error) | StateError::Deserialization(rumqttc::mqttbytes::Error::Io(error)),
                )
                | ConnectionError::Io(error) => {
                    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof)
                }
                _ => false,
            },
        }
    }
}

impl From<StateError> for Lost {
    fn from(error: StateError) -> Self {
        Self::Ended(Box::new(error.into()))
    }
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Self {
        Self::Ended(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_an_end_that_the_broker_chose_can_be_an_events_fault() {
        let io = |kind| Lost::from(StateError::Deserialization(rumqttc::mqttbytes::Error::Io(io::Error::from(kind))));
        for lost in
            [Lost::NoAcknowledgement, StateError::ConnectionAborted.into(), io(ConnectionReset), io(UnexpectedEof)]
        {
            assert!(lost.is_by_broker(), "{lost:?}");
        }
        for lost in [
            Lost::NotTaken,
            Lost::PacketIds,
            StateError::AwaitPingResp.into(),
            io(io::ErrorKind::TimedOut),
            io(io::ErrorKind::HostUnreachable),
            ConnectionError::FlushTimeout.into(),
        ] {
            assert!(!lost.is_by_broker(), "{lost:?}");
        }
    }
}
