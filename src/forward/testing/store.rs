//! A store in memory behind the real handle.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::{BootTime, ClockState, WallTime};
use crate::config::model::Severity;
use crate::event::{Event, EventData, GatewayStarted};
use crate::store::handle::{DeadRequest, Read, Refusal, Request, StoreHandle, StoreStatus};
use crate::store::inbox::Receiver;

/// An event that was set aside.
#[derive(Clone, Debug)]
pub struct Dead {
    pub sequence: u64,
    pub reason: String,
    pub attempts: u32,
    pub history: Vec<String>,
}

#[derive(Default)]
struct Shared {
    events: Mutex<Vec<Arc<Event>>>,
    dead: Mutex<Vec<Dead>>,
    marks: Mutex<Vec<u64>>,
    reads: AtomicU64,
    /// Readers that wait for what comes next.
    readers: Mutex<Vec<Read>>,
    by_hand: AtomicBool,
    silent: AtomicBool,
}

/// The store's control. Dropping it (and all handles) ends its thread.
pub struct FakeStore {
    handle: StoreHandle,
    status: Arc<watch::Sender<StoreStatus>>,
    shared: Arc<Shared>,
}

/// An event that carries a text of `bytes`, of one of five sensors.
pub fn event(sequence: u64, bytes: usize, severity: Severity) -> Event {
    Event {
        sequence,
        id: Uuid::from_u128(u128::from(sequence)),
        subject: format!("test/device/sensor-{}", sequence % 5).into(),
        time: WallTime::from_millis(1_767_225_600_000),
        boot: BootTime(sequence),
        boot_id: Uuid::nil(),
        clock: ClockState::Synchronized,
        severity,
        correlation: None,
        data: EventData::GatewayStarted(GatewayStarted {
            version: "x".repeat(bytes),
            previous_stop: "clean".to_owned(),
            waiting: 0,
        }),
    }
}

impl FakeStore {
    pub fn new() -> Self {
        let (store, inbox) = Self::build();
        let (status, shared) = (Arc::clone(&store.status), Arc::clone(&store.shared));
        std::thread::spawn(move || {
            while let Ok(request) = inbox.recv_timeout(Duration::from_secs(3600)) {
                if !serve(request, &status, &shared) {
                    break;
                }
            }
        });
        store
    }

    /// One without a thread, and what makes it answer all that it has been asked: nothing happens at its own time.
    pub fn by_hand() -> (Self, impl FnMut()) {
        let (store, inbox) = Self::build();
        let (status, shared) = (Arc::clone(&store.status), Arc::clone(&store.shared));
        shared.by_hand.store(true, Ordering::Relaxed);
        let answer = move || {
            while let Ok(request) = inbox.recv_timeout(Duration::ZERO) {
                serve(request, &status, &shared);
            }
            hand_out_new(&shared);
        };
        (store, answer)
    }

    fn build() -> (Self, Receiver<Request>) {
        let (status, receiver) = watch::channel(StoreStatus::default());
        let (handle, inbox) = StoreHandle::new(receiver);
        (Self { handle, status: Arc::new(status), shared: Arc::default() }, inbox)
    }

    pub fn handle(&self) -> StoreHandle {
        self.handle.clone()
    }

    /// Adds events with small payloads of five sensors in turn; returns the last sequence number.
    pub fn add(&self, count: u64) -> u64 {
        (0..count).fold(0, |_, _| self.add_text(20, Severity::Medium))
    }

    /// Adds one event that carries a text of `bytes`.
    pub fn add_text(&self, bytes: usize, severity: Severity) -> u64 {
        self.add_event(|sequence| event(sequence, bytes, severity))
    }

    /// Adds one event about this sensor.
    pub fn add_of(&self, subject: &str, severity: Severity) -> u64 {
        self.add_event(|sequence| Event { subject: subject.into(), ..event(sequence, 20, severity) })
    }

    fn add_event(&self, make: impl FnOnce(u64) -> Event) -> u64 {
        let mut events = self.shared.events.lock().unwrap();
        let sequence = events.last().map_or(self.delivered(), |event| event.sequence) + 1;
        events.push(Arc::new(make(sequence)));
        drop(events);
        self.status.send_modify(|status| {
            status.last_sequence = sequence;
            status.waiting = sequence - status.delivered;
        });
        if !self.shared.by_hand.load(Ordering::Relaxed) {
            hand_out_new(&self.shared);
        }
        sequence
    }

    pub fn evict_through(&self, sequence: u64) {
        self.shared.events.lock().unwrap().retain(|event| event.sequence > sequence);
        self.status.send_modify(|status| status.delivered = sequence);
    }

    pub fn hand_out_nothing(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::Relaxed);
    }

    pub fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }

    pub fn delivered(&self) -> u64 {
        self.status.borrow().delivered
    }

    /// All marks reported, in order.
    pub fn marks(&self) -> Vec<u64> {
        self.shared.marks.lock().unwrap().clone()
    }

    pub fn dead(&self) -> Vec<Dead> {
        self.shared.dead.lock().unwrap().clone()
    }
}

/// Answers one request; false when the thread is to end.
fn serve(request: Request, status: &watch::Sender<StoreStatus>, shared: &Shared) -> bool {
    match request {
        Request::Read(read) => hand_out(read, shared),
        Request::ReadOn(read) => {
            shared.readers.lock().unwrap().push(read);
            hand_out_new(shared);
        }
        Request::Delivered { through } => {
            shared.marks.lock().unwrap().push(through);
            status.send_modify(|status| {
                status.delivered = status.delivered.max(through);
                status.waiting = status.last_sequence - status.delivered;
            });
        }
        Request::Dead(DeadRequest::SetAside(event, why, done)) => {
            let Refusal { reason, attempts, history } = why;
            let history = history.into_iter().map(|attempt| attempt.text).collect();
            shared.dead.lock().unwrap().push(Dead { sequence: event.sequence, reason, attempts, history });
            let _ = done.send(1);
        }
        Request::Dead(DeadRequest::List(reply)) => drop(reply.send(Vec::new())),
        Request::Commit(..) | Request::Configure(_) | Request::Dead(_) => {}
        // The forwarder never asks for these; who does sees a store that is gone.
        Request::Purge(..) | Request::Settled(_) => {}
        Request::Close => return false,
    }
    true
}

/// Answers a reader.
fn hand_out(read: Read, shared: &Shared) {
    shared.reads.fetch_add(1, Ordering::Relaxed);
    let events = shared.events.lock().unwrap();
    let start = events.partition_point(|event| event.sequence < read.from);
    let mut bytes = 0;
    let mut batch = Vec::new();
    for event in events[start..].iter().take(read.max_events) {
        bytes += 100 + if let EventData::GatewayStarted(data) = &event.data { data.version.len() } else { 0 };
        if bytes > read.max_bytes && !batch.is_empty() {
            break;
        }
        batch.push(Arc::clone(event));
    }
    if shared.silent.load(Ordering::Relaxed) {
        batch.clear();
    }
    let _ = read.reply.send(batch);
}

/// Answers the readers that have waited for what is there now.
fn hand_out_new(shared: &Shared) {
    let last = shared.events.lock().unwrap().last().map_or(0, |event| event.sequence);
    let mut readers = shared.readers.lock().unwrap();
    while let Some(index) = readers.iter().position(|reader| reader.from <= last) {
        hand_out(readers.swap_remove(index), shared);
    }
}
