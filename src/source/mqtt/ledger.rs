//! Which messages have been taken from a broker and not yet acknowledged to it.
//!
//! Owns the order: MQTT wants acknowledgements in the order of the messages (MQTT 3.1.1, 4.6), so one that is released
//! early waits for those before it. Pure: never sends. A packet id means something on one connection only; tokens are
//! never given twice, so what an earlier connection left behind cannot be mistaken for something of this one.

use std::collections::VecDeque;

/// How a message is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// QoS 1: PUBACK.
    PubAck(u16),
    /// QoS 2: PUBREC, which makes the broker let go of the message.
    PubRec(u16),
}

/// The messages of one connection, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    taken: VecDeque<(Acknowledgement, bool)>,
    /// Token of the oldest.
    first: u64,
}

impl Ledger {
    /// A message has been taken; the token is for its release.
    pub(super) fn take(&mut self, acknowledgement: Acknowledgement) -> u64 {
        self.taken.push_back((acknowledgement, false));
        self.first + self.taken.len() as u64 - 1
    }

    /// All that the message caused is stored, or it caused nothing. A token of an earlier connection is passed over:
    /// the broker has sent, or will send, that message again.
    pub(super) fn release(&mut self, token: u64) {
        let index = token.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| self.taken.get_mut(index)) {
            entry.1 = true;
        }
    }

    /// The next acknowledgement that may be sent.
    pub(super) fn next(&mut self) -> Option<Acknowledgement> {
        match self.taken.front() {
            Some(&(acknowledgement, true)) => {
                self.taken.pop_front();
                self.first += 1;
                Some(acknowledgement)
            }
            _ => None,
        }
    }

    /// How many messages are not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.taken.len()
    }

    /// A connection has ended: nothing taken on it can be acknowledged any more.
    pub(super) fn forget(&mut self) {
        self.first += self.taken.len() as u64;
        self.taken.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Acknowledgement::{PubAck, PubRec};
    use super::*;

    fn sent(ledger: &mut Ledger) -> Vec<Acknowledgement> {
        std::iter::from_fn(|| ledger.next()).collect()
    }

    #[test]
    fn acknowledgements_leave_in_the_order_of_the_messages() {
        let mut ledger = Ledger::default();
        let tokens: Vec<u64> = [PubAck(7), PubRec(3), PubAck(9)].map(|ack| ledger.take(ack)).into();
        ledger.release(tokens[1]);
        assert_eq!(sent(&mut ledger), []);
        ledger.release(tokens[0]);
        assert_eq!(sent(&mut ledger), [PubAck(7), PubRec(3)]);
        assert_eq!(ledger.len(), 1);
        ledger.release(tokens[2]);
        ledger.release(tokens[2]);
        assert_eq!(sent(&mut ledger), [PubAck(9)]);
    }

    #[test]
    fn a_token_of_an_earlier_connection_acknowledges_nothing() {
        let mut ledger = Ledger::default();
        let old = ledger.take(PubAck(1));
        ledger.forget();
        let new = ledger.take(PubAck(1));
        assert_ne!(old, new);
        ledger.release(old);
        assert_eq!(sent(&mut ledger), []);
        ledger.release(new);
        assert_eq!(sent(&mut ledger), [PubAck(1)]);
        ledger.release(new);
        ledger.release(u64::MAX);
        assert_eq!(ledger.len(), 0);
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_release_nothing_is_lost_or_reordered(order in Just((0_u16..50).collect::<Vec<_>>()).prop_shuffle()) {
            let mut ledger = Ledger::default();
            let tokens: Vec<u64> = (0..50).map(|id| ledger.take(PubAck(id))).collect();
            let mut out = Vec::new();
            for index in order {
                ledger.release(tokens[usize::from(index)]);
                out.extend(sent(&mut ledger));
            }
            prop_assert_eq!(out, (0..50).map(PubAck).collect::<Vec<_>>());
        }
    }
}
