//! The store as its users see it: a handle that sends requests to the writer thread and shows its status.
//!
//! Owns back-pressure (a bounded number of commits under way) and the request types. Never touches the disk; only the
//! writer thread does.

mod dead;
mod purge;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::inbox::{self, Receiver, Sender};
use crate::ack::Ack;
use crate::clock::BootTime;
use crate::config;
use crate::config::model::Severity;
use crate::event::{AlarmRecord, Event};

pub use dead::{ATTEMPTS_KEPT_MAX, DeadAttempt, DeadLetter, DeadRequest, Refusal, Which};
pub use purge::{Purge, PurgeRefused, Purged};

/// Commits that may be under way at once. Each holds what one turn of the engine made; a few keep the writer busy
/// while the engine works, more would only hold memory while the disk is slow.
pub const COMMITS_UNDER_WAY_MAX: usize = 4;

/// What one turn of the engine wants on disk together.
#[derive(Debug, Default)]
pub struct Commit {
    /// Events without a sequence number, in order.
    pub events: Vec<Event>,
    /// Alarm states after these events; the last of each (alarm, sensor) counts.
    pub records: Vec<AlarmRecord>,
    /// When the readings arrived that caused some of the events, for the time it takes to store them.
    pub arrivals: Vec<BootTime>,
    /// Released in order when all of this, and all before it, is on stable storage.
    pub acks: Vec<Ack>,
}

impl Commit {
    /// Whether one of its events is critical: then it waits for nothing.
    pub fn is_critical(&self) -> bool {
        self.events.iter().any(|event| event.severity == Severity::Critical)
    }
}

/// What the writer thread is asked to do. Requests are carried out in the order they were sent.
#[derive(Debug)]
pub enum Request {
    /// Store this; the permit is dropped when it is on disk.
    Commit(Commit, OwnedSemaphorePermit),
    /// Events, for a reader.
    Read(Read),
    /// The same, but where there is none yet the answer waits until there is one.
    ReadOn(Read),
    /// All events up to and including this one are acknowledged upstream.
    Delivered {
        /// Highest sequence number below which nothing is outstanding.
        through: u64,
    },
    /// What concerns the dead letters.
    Dead(DeadRequest),
    /// Give up a portion of what waits.
    Purge(Purge, oneshot::Sender<Result<Purged, PurgeRefused>>),
    /// The numbers above the delivered mark that are done with all the same.
    Settled(oneshot::Sender<Vec<u64>>),
    /// New limits after a reload (a changed path needs a restart and is refused before).
    Configure(config::model::Store),
    /// Commit what is waiting, mark the stop as clean and end the thread.
    Close,
}

/// What a reader wants: events from sequence number `from` on, in order, as many as fit (at least one if there is one).
#[derive(Debug)]
pub struct Read {
    /// First sequence number wanted.
    pub from: u64,
    /// Most events.
    pub max_events: usize,
    /// Most bytes, by stored size.
    pub max_bytes: usize,
    /// Gets the events; empty when there is none yet, or none can be read at the moment.
    pub reply: oneshot::Sender<Vec<Arc<Event>>>,
}

impl Request {
    /// Whether it ends the writer's sleep while that gathers events: somebody waits for an answer, or an event is
    /// critical.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Commit(commit, _) => commit.is_critical(),
            // Who waits for what is still to come is not kept waiting by who gathers it.
            Self::Delivered { .. } | Self::ReadOn(_) => false,
            _ => true,
        }
    }
}

/// What the store shows of itself. Published after every commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreStatus {
    /// Highest sequence number on stable storage.
    pub last_sequence: u64,
    /// Everything up to here has been delivered, evicted or set aside.
    pub delivered: u64,
    /// Events waiting to be delivered.
    pub waiting: u64,
    /// By severity, least severe first: no event stored with a higher number than this is so severe. Of what an earlier
    /// run has stored it is not known exactly; then it is rather too high.
    pub last_of_severity: [u64; 5],
    /// Dead letters there are.
    pub dead: u64,
    /// How many of them are to be sent again.
    pub retries: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// True while nothing more is taken (`when_full = "reject"`, or the disk is full).
    pub full: bool,
    /// The fault the store works around at the moment, in words.
    pub fault: Option<Arc<str>>,
}

/// The writer thread is gone; the process is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// Sends requests to the writer thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreHandle {
    requests: Sender<Request>,
    permits: Arc<Semaphore>,
    status: watch::Receiver<StoreStatus>,
}

impl StoreHandle {
    /// A handle, and the writer thread's end of it.
    pub fn new(status: watch::Receiver<StoreStatus>) -> (Self, Receiver<Request>) {
        // Unbounded on purpose: commits are bounded by the permits, and each reader waits for its answer.
        let (requests, inbox) = inbox::channel();
        let permits = Arc::new(Semaphore::new(COMMITS_UNDER_WAY_MAX));
        (Self { requests, permits, status }, inbox)
    }

    /// Waits until another commit may be sent: this is where back-pressure begins. Cancel-safe.
    pub async fn reserve(&self) -> Result<OwnedSemaphorePermit, Closed> {
        Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Closed)
    }

    /// Sends a commit; its acknowledgements are released when it is on disk.
    pub fn commit(&self, commit: Commit, permit: OwnedSemaphorePermit) -> Result<(), Closed> {
        self.send(Request::Commit(commit, permit))
    }

    /// Events from `from` on, in sequence order (numbers may be missing where events were evicted).
    pub async fn read(&self, from: u64, max_events: usize, max_bytes: usize) -> Result<Vec<Arc<Event>>, Closed> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Read(Read { from, max_events, max_bytes, reply }))?;
        answer.await.map_err(|_| Closed)
    }

    /// The same for a reader that has had everything up to `from`: it has the next events as soon as they are on stable
    /// storage. Empty only if there are some that cannot be read at the moment.
    pub async fn read_on(&self, from: u64, max_events: usize, max_bytes: usize) -> Result<Vec<Arc<Event>>, Closed> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::ReadOn(Read { from, max_events, max_bytes, reply }))?;
        answer.await.map_err(|_| Closed)
    }

    /// Says that everything up to `through` is acknowledged upstream.
    pub fn delivered(&self, through: u64) -> Result<(), Closed> {
        self.send(Request::Delivered { through })
    }

    /// Hands over new limits.
    pub fn configure(&self, store: config::model::Store) -> Result<(), Closed> {
        self.send(Request::Configure(store))
    }

    /// Asks the thread to finish; join it afterwards.
    pub fn close(&self) -> Result<(), Closed> {
        self.send(Request::Close)
    }

    /// The status, and a way to wait for changes.
    pub fn status(&self) -> watch::Receiver<StoreStatus> {
        self.status.clone()
    }

    fn send(&self, request: Request) -> Result<(), Closed> {
        let is_urgent = request.is_urgent();
        if self.requests.send(request, is_urgent) { Ok(()) } else { Err(Closed) }
    }
}
