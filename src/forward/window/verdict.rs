//! What a delivery window is told of the broker, and what it makes of that.

/// What a PUBACK meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Puback<T> {
    /// An event of ours is delivered.
    Delivered(T),
    /// All events of one message are.
    DeliveredTogether(Vec<T>),
    /// No event in flight has that packet id (a status message has, or the broker repeats itself).
    Unknown,
}

/// What the broker means by refusing an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not now: the fault is not the event's. It is sent again, however often.
    NotNow,
    /// It does not say: sent again, but not for ever.
    Unclear,
    /// Whoever asks may not: that may hold for this event, or for all.
    Forbidden,
    /// Never: this event will not do.
    Never,
}

/// What follows from a refusal.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// It is sent again.
    Again,
    /// It was a message of several events: each is sent again, alone, so that the broker says which it means.
    Split,
    /// It is kept: the broker takes nothing else at the moment, so that it shows nothing of this event. It is asked
    /// about again by [`super::Window::ask_again`], or given by [`super::Window::take_blamed`].
    Kept(u64, T),
    /// It is to be set aside.
    SetAside(Quarantine<T>),
    /// No event in flight has that packet id.
    Unknown,
}

/// What a connection that ended says about the events that were in flight on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The broker took other messages on this connection and ended it, or left the event alone unacknowledged: if there
    /// was just one event, it is a suspect.
    Suspicious,
    /// The broker ended it before we saw it acknowledge anything. A broker that closes at one message often takes the
    /// acknowledgements of those before it with it: a reason to look closer, none to blame an event.
    Abrupt,
    /// The network, the operator or a broker that takes nothing at all: no event is to blame.
    Blameless,
}

/// An event that is to be set aside: it ended [`super::SUSPICIONS_MAX`] connections on its own, or the broker refused it.
#[derive(Debug, PartialEq, Eq)]
pub struct Quarantine<T> {
    /// Its sequence number; report [`super::Window::set_aside`] once it is in the dead letters.
    pub sequence: u64,
    /// The event.
    pub item: T,
    /// How many connections it ended, or how often it was refused.
    pub attempts: u32,
}
