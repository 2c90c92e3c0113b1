//! Dead letters as the store's users see them: what they are, and what may be asked and told.
//!
//! Owns the types and the handle's side of the requests. Every answer comes when what was asked for is on stable
//! storage; on a disk without room for it, when it is taken in memory and goes to disk with what is written next. After
//! a kill before that all is as if it had not been asked for: a refused event waits again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Closed, Request, StoreHandle};
use crate::clock::WallTime;
use crate::event::Event;

/// Attempts kept of each letter, the newest: enough to see whether the fault changed, few enough to read and to store.
pub const ATTEMPTS_KEPT_MAX: usize = 8;

/// Longest text of an attempt or a reason, bytes; what a broker or a resolver says can be any length.
const TEXT_BYTES_MAX: usize = 512;

/// One attempt to send an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadAttempt {
    /// When it ended.
    pub time: WallTime,
    /// What happened, in words.
    pub text: String,
}

/// An event that was set aside because the upstream refuses it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The event.
    pub event: Arc<Event>,
    /// Why, in words.
    pub reason: String,
    /// How often it was sent, retries included; 0 for one that cannot even be put into a packet.
    pub attempts: u32,
    /// When it was given up, the last time.
    pub time: WallTime,
    /// The last attempts, oldest first; at most [`ATTEMPTS_KEPT_MAX`].
    pub history: Vec<DeadAttempt>,
    /// It is to be sent again.
    pub retry: bool,
    /// Its loss is announced upstream, or need not be.
    pub announced: bool,
}

impl DeadLetter {
    /// Takes in what came of more attempts.
    pub(in crate::store) fn refused(&mut self, why: Refusal, time: WallTime) {
        self.reason = why.reason;
        self.attempts = self.attempts.saturating_add(why.attempts);
        self.time = time;
        self.history.extend(why.history);
        self.retry = false;
        self.bound();
    }

    /// Keeps the bounds.
    pub(in crate::store) fn bound(&mut self) {
        self.history.drain(..self.history.len().saturating_sub(ATTEMPTS_KEPT_MAX));
        let texts = self.history.iter_mut().map(|attempt| &mut attempt.text);
        texts.chain([&mut self.reason]).for_each(shorten);
    }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
    }
}

/// What came of trying to send an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Why it is given up, in words.
    pub reason: String,
    /// How often it was sent for nothing.
    pub attempts: u32,
    /// These attempts, oldest first.
    pub history: Vec<DeadAttempt>,
}

/// Which letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// All there are.
    All,
    /// The one with this sequence number.
    Sequence(u64),
    /// The one of the event with this id.
    Id(Uuid),
}

/// What the writer thread is asked about dead letters. Counts are of the letters concerned.
#[derive(Debug)]
pub enum DeadRequest {
    /// Set an event aside: the upstream refuses it for good.
    SetAside(Arc<Event>, Refusal, oneshot::Sender<u64>),
    /// The letters, oldest first.
    List(oneshot::Sender<Vec<DeadLetter>>),
    /// The oldest letter that is to be sent again, with this sequence number or a higher one.
    NextRetry(u64, oneshot::Sender<Option<DeadLetter>>),
    /// Mark letters to be sent again.
    Retry(Which, oneshot::Sender<u64>),
    /// Do away with letters.
    Drop(Which, oneshot::Sender<u64>),
    /// A letter that was sent again is refused again: it stays, and is not to be sent again.
    Refused(u64, Refusal, oneshot::Sender<u64>),
    /// A letter that was sent again is delivered.
    Delivered(u64, oneshot::Sender<u64>),
}

impl StoreHandle {
    /// Sets an event aside and waits until that is on disk, its announcement with it; or for less where there is no
    /// room, see above.
    pub async fn dead_letter(&self, event: Arc<Event>, refusal: Refusal) -> Result<(), Closed> {
        self.ask_dead(|done| DeadRequest::SetAside(event, refusal, done)).await.map(drop)
    }

    /// The events set aside, oldest first; at most a thousand.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, Closed> {
        self.ask_dead(DeadRequest::List).await
    }

    /// The oldest letter that is to be sent again, with the sequence number `from` or a higher one.
    pub async fn next_retry(&self, from: u64) -> Result<Option<DeadLetter>, Closed> {
        self.ask_dead(|reply| DeadRequest::NextRetry(from, reply)).await
    }

    /// Marks letters to be sent again; returns how many there are of those that were meant.
    pub async fn retry_dead(&self, which: Which) -> Result<u64, Closed> {
        self.ask_dead(|done| DeadRequest::Retry(which, done)).await
    }

    /// Drops letters for good; returns how many.
    pub async fn drop_dead(&self, which: Which) -> Result<u64, Closed> {
        self.ask_dead(|done| DeadRequest::Drop(which, done)).await
    }

    /// Says that a letter sent again was refused again.
    pub async fn dead_refused(&self, sequence: u64, refusal: Refusal) -> Result<(), Closed> {
        self.ask_dead(|done| DeadRequest::Refused(sequence, refusal, done)).await.map(drop)
    }

    /// Says that a letter sent again is acknowledged upstream.
    pub async fn dead_delivered(&self, sequence: u64) -> Result<(), Closed> {
        self.ask_dead(|done| DeadRequest::Delivered(sequence, done)).await.map(drop)
    }

    async fn ask_dead<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> DeadRequest) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Dead(request(reply)))?;
        answer.await.map_err(|_| Closed)
    }
}
