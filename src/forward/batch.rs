//! Several events in one message: which, and when it leaves.
//!
//! Owns the batch under construction. Pure: time is handed in; knows of no window and no connection. A batch is a run of
//! neighbours in the queue. It leaves when it is full, when its first event has waited long enough, or when something
//! comes that does not share a message. Form (CloudEvents 1.0, JSON batch format): `[`, the events as they are encoded
//! alone with `,` between, `]`. In CBOR the same as an array of indefinite length: 0x9f, the events, 0xff.

use tokio::time::Instant;

use crate::config::model::{BatchPlan, Encoding};

/// The content type of a batch.
pub fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/cloudevents-batch+json",
        Encoding::Cbor => "application/cloudevents-batch+cbor",
    }
}

/// What becomes of an event that is offered to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is in the batch.
    Taken,
    /// The batch leaves first; offer the event again then.
    After,
    /// It goes alone, now.
    Alone,
}

/// The batch under construction.
#[derive(Debug)]
pub struct Batch {
    plan: BatchPlan,
    encoding: Encoding,
    payload: Vec<u8>,
    sequences: Vec<u64>,
    /// When the first event was taken.
    since: Option<Instant>,
}

impl Batch {
    /// An empty one; no message may have more than `bytes_max` in its payload.
    pub fn new(mut plan: BatchPlan, encoding: Encoding, bytes_max: usize) -> Self {
        plan.bytes_max = plan.bytes_max.min(bytes_max);
        Self { plan, encoding, payload: Vec::new(), sequences: Vec::new(), since: None }
    }

    /// What it follows.
    pub fn plan(&self) -> &BatchPlan {
        &self.plan
    }

    /// The numbers of its events, in order.
    pub fn sequences(&self) -> &[u64] {
        &self.sequences
    }

    /// Offers the event that follows those taken. `shares`: it may have company at all.
    pub fn offer(&mut self, sequence: u64, encoded: &[u8], shares: bool, now: Instant) -> Offer {
        let (begin, between) = match self.encoding {
            Encoding::Json => (b"[".as_slice(), b",".as_slice()),
            Encoding::Cbor => (&[0x9f][..], &[][..]),
        };
        let separator = if self.sequences.is_empty() { begin } else { between };
        // One byte ends it.
        let fits = self.payload.len() + separator.len() + encoded.len() < self.plan.bytes_max;
        if !shares || !fits {
            return if self.sequences.is_empty() { Offer::Alone } else { Offer::After };
        }
        if self.is_full() {
            return Offer::After;
        }
        self.payload.extend_from_slice(separator);
        self.payload.extend_from_slice(encoded);
        self.sequences.push(sequence);
        self.since.get_or_insert(now);
        Offer::Taken
    }

    /// Whether it takes no more events, by their number.
    pub fn is_full(&self) -> bool {
        self.sequences.len() >= self.plan.events_max
    }

    /// When it leaves at the latest; `None` while it is empty.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.plan.wait)
    }

    /// Whether it leaves now, with nothing more to take.
    pub fn is_due(&self, now: Instant) -> bool {
        self.is_full() || self.due().is_some_and(|due| due <= now)
    }

    /// Ends the payload and returns it; to be cleared then.
    pub fn close(&mut self) -> &mut Vec<u8> {
        self.payload.push(match self.encoding {
            Encoding::Json => b']',
            Encoding::Cbor => 0xff,
        });
        &mut self.payload
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.payload.clear();
        self.sequences.clear();
        self.since = None;
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
