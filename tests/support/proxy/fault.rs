//! What a network between a gateway and its broker can do to a connection, besides being there or not.

use std::time::Duration;

/// A way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the gateway to the broker.
    Up,
    /// From the broker to the gateway.
    Down,
}

/// A fault. Unless it says otherwise it is done to the connections there are and to new ones; bytes are counted from the
/// beginning of the connection or of the fault, whichever is later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// New connections are taken and nothing is ever said on them.
    Mute,
    /// New connections: once the gateway has sent so many TLS records of application data (in TLS 1.3 its Finished is
    /// the first, CONNECT the second), nothing passes any more, either way.
    SilentAfterRecords(u64),
    /// What goes one of these ways is swallowed.
    Swallow(Vec<Way>),
    /// One write in so many towards the broker resets the connection.
    ResetOneIn(u32),
    /// Reset once so many bytes have gone up.
    ResetAfter(u64),
    /// Closed in good order once so many bytes have gone up, wherever in a packet that is.
    CloseAfter(u64),
    /// Late, and no more than so many bytes a second each way.
    Slow {
        /// How long a byte is on its way.
        latency: Duration,
        /// How many arrive in a second.
        bytes_per_s: u64,
    },
    /// One bit of the byte after so many others is turned over, once in each connection.
    Corrupt {
        /// Going this way.
        way: Way,
        /// Bytes before it.
        after: u64,
    },
    /// New connections are answered by a page that sends people to a login.
    Portal,
    /// A connection on which nothing has passed for this long is forgotten: nothing passes any more, and nobody is told.
    ForgetIdle(Duration),
    /// New connections of plain MQTT: the broker's PUBACKs come this much later, or (`None`) never.
    Acks(Option<Duration>),
    /// New connections of plain MQTT 5: of the broker's PUBACKs so many say this instead of what they said.
    Answers {
        /// After so many; the first is for our sign of life.
        after: u32,
        /// Reason code.
        reason: u8,
        /// In each connection.
        times: u32,
    },
}
