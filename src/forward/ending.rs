//! How a connection upstream ended, and whether the broker may have ended it because of what we sent.
//!
//! Owns the judgement that decides between a bad network and a bad event. Pure.

use super::explain::{self, Explanation, Phase};
use super::link::Fault;
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
    Ended(Box<Fault>),
    /// The broker ended it before it acknowledged our status or anything else.
    AtBirth(Box<Fault>),
    /// Nothing was acknowledged for `ack_timeout`.
    NoAcknowledgement,
    /// The broker takes no data.
    NotTaken,
    /// Packet ids ran out: an old one is still unacknowledged.
    PacketIds,
}

impl Lost {
    /// In words.
    pub fn explain(&self, upstream: &Upstream) -> Explanation {
        let place = explain::place(upstream);
        match self {
            Self::Ended(fault) => explain::fault(fault, upstream, Phase::Connected),
            Self::AtBirth(fault) => explain::fault(fault, upstream, Phase::Birth),
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
            Self::AtBirth(fault) | Self::Ended(fault) => fault.is_by_broker(),
        }
    }
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Self::Ended(Box::new(fault))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_an_end_that_the_broker_chose_can_be_an_events_fault() {
        let io = |kind| Lost::from(Fault::Io(io::Error::from(kind)));
        let goodbye = |reason| Lost::from(Fault::Goodbye { reason, text: None, server: None });
        for lost in [
            Lost::NoAcknowledgement,
            Fault::Closed.into(),
            io(io::ErrorKind::ConnectionReset),
            io(io::ErrorKind::UnexpectedEof),
            goodbye(0x95),
            goodbye(0x82),
        ] {
            assert!(lost.is_by_broker(), "{lost:?}");
        }
        for lost in [
            Lost::NotTaken,
            Lost::PacketIds,
            Fault::NoPong(Duration::from_secs(1)).into(),
            io(io::ErrorKind::TimedOut),
            io(io::ErrorKind::HostUnreachable),
            goodbye(0x8b),
            goodbye(0x8e),
        ] {
            assert!(!lost.is_by_broker(), "{lost:?}");
        }
    }
}
