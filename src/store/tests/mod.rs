//! The store through its handle: what survives which end, what is announced, what is bounded.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod damage;
mod dead;
mod evicted;
mod faults;
mod foreign;
mod inspect;
mod model;
mod places;
mod power;
mod promises;
mod purge;
mod quota;
mod readers;
mod restart;
mod retain;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::generation::SyncHook;
use super::handle::{Commit, StoreHandle, StoreStatus};
use super::{Fault, OpenError, Opened, open_with};
use crate::ack::Ack;
use crate::clock::{BootTime, ClockState, SystemClock, WallTime};
use crate::config::model::{Severity, Store, WhenFull};
use crate::counters::Counters;
use crate::event::{AlarmRecord, Event, EventData, EventsLost, SourceChange};

/// A store's configuration as most tests want it.
fn config(path: &Path) -> Store {
    Store {
        path: path.to_owned(),
        max_bytes: 32 * 1024 * 1024,
        retain_delivered: 0,
        when_full: WhenFull::DropOldest,
        commit_interval: Duration::ZERO,
    }
}

/// An open store, its acknowledgements, and a runtime to ask it with.
struct Rig {
    config: Store,
    opened: Opened,
    counters: Arc<Counters>,
    runtime: tokio::runtime::Runtime,
    acks: (mpsc::UnboundedSender<u64>, mpsc::UnboundedReceiver<u64>),
    next_ack: u64,
}

impl Rig {
    fn open(config: &Store) -> Self {
        Self::open_hooked(config, None)
    }

    fn open_hooked(config: &Store, hook: Option<SyncHook>) -> Self {
        let counters = Arc::new(Counters::default());
        let opened = open_with(config, Arc::clone(&counters), Arc::new(SystemClock::new()), hook).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { config: config.clone(), opened, counters, runtime, acks: mpsc::unbounded_channel(), next_ack: 0 }
    }

    /// One whose syncs say that they have begun, and wait to be let through as at [`gate`]. The first is through.
    fn open_gated(config: &Store) -> (Self, Sender<()>, Receiver<()>) {
        let (gate, gated) = gate();
        let (entered, entries) = std::sync::mpsc::channel();
        let hook: SyncHook = Arc::new(move || {
            let _ = entered.send(());
            // The test's end closes the gate for good.
            let _ = gated.lock().unwrap().recv();
            Ok(())
        });
        gate.send(()).unwrap();
        let rig = Self::open_hooked(config, Some(hook));
        entries.recv().unwrap();
        (rig, gate, entries)
    }

    fn handle(&self) -> StoreHandle {
        self.opened.handle.clone()
    }

    fn status(&self) -> StoreStatus {
        self.opened.handle.status().borrow().clone()
    }

    /// Sends a commit without waiting for it.
    fn send(&mut self, events: Vec<Event>, records: Vec<AlarmRecord>) -> u64 {
        self.next_ack += 1;
        let ack = Ack::new(self.acks.0.clone(), self.next_ack);
        let handle = self.handle();
        let permit = self.runtime.block_on(handle.reserve()).unwrap();
        handle.commit(Commit { events, records, acks: vec![ack], ..Commit::default() }, permit).unwrap();
        self.next_ack
    }

    /// Waits for the next acknowledgement.
    fn acked(&mut self) -> u64 {
        let acks = &mut self.acks.1;
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(20), acks.recv()).await })
            .expect("no acknowledgement")
            .unwrap()
    }

    fn commit(&mut self, events: Vec<Event>, records: Vec<AlarmRecord>) {
        let token = self.send(events, records);
        assert_eq!(self.acked(), token);
    }

    fn read(&self, from: u64, max_events: usize) -> Vec<Arc<Event>> {
        self.runtime.block_on(self.handle().read(from, max_events, usize::MAX)).unwrap()
    }

    fn read_all(&self) -> Vec<Arc<Event>> {
        let mut all = Vec::new();
        let mut from = self.status().delivered + 1;
        loop {
            let some = self.read(from, 300);
            let Some(last) = some.last() else { return all };
            from = last.sequence + 1;
            all.extend(some);
        }
    }

    fn delivered(&self, through: u64) {
        self.opened.handle.delivered(through).unwrap();
    }

    /// Waits until the status is as wanted.
    fn wait(&self, what: &str, is_so: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
        let mut status = self.opened.handle.status();
        let wait = async { tokio::time::timeout(Duration::from_secs(20), status.wait_for(|s| is_so(s))).await };
        let found = self.runtime.block_on(wait).map(|status| status.unwrap().clone());
        found.unwrap_or_else(|_| panic!("never: {what}; {:?}", self.status()))
    }

    /// Closes the store as a stopping process does.
    fn close(self) -> Store {
        self.opened.handle.close().unwrap();
        self.opened.thread.join().unwrap();
        self.config
    }

    fn reopen(self) -> Self {
        let config = self.close();
        Self::open(&config)
    }

    /// What a killed process leaves: the files as they are now, in another place.
    fn killed(&self, to: &Path) -> Store {
        copy_dir(&self.config.path, to);
        Store { path: to.to_owned(), ..self.config.clone() }
    }
}

/// Copies a directory. What goes away meanwhile (a generation all of which is delivered) is not copied.
fn copy_dir(from: &Path, to: &Path) {
    let there = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        result => result.unwrap(),
    };
    fs::create_dir_all(to).unwrap();
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries.map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            there(fs::copy(entry.path(), target).map(drop));
        }
    }
}

fn event_of(severity: Severity, reason: &str) -> Event {
    Event {
        sequence: 0,
        id: Uuid::now_v7(),
        subject: Arc::from("source/boiler"),
        time: WallTime(1),
        boot: BootTime(2),
        boot_id: Uuid::nil(),
        clock: ClockState::Synchronized,
        severity,
        correlation: None,
        data: EventData::SourceLost(SourceChange {
            source: "boiler".to_owned(),
            reason: reason.to_owned(),
            away_ms: 0,
        }),
    }
}

fn event(reason: &str) -> Event {
    event_of(Severity::Medium, reason)
}

/// An event that does not compress, of about this many bytes.
fn big_event(severity: Severity, bytes: usize) -> Event {
    event_of(severity, &std::iter::repeat_with(fastrand::alphanumeric).take(bytes).collect::<String>())
}

fn events(count: usize) -> Vec<Event> {
    (0..count).map(|index| event(&format!("event {index}"))).collect()
}

fn record(alarm: &str, sensor: &str, state: &[u8]) -> AlarmRecord {
    AlarmRecord { alarm: Arc::from(alarm), sensor: Arc::from(sensor), state: state.to_vec() }
}

fn sequences(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

/// The losses announced among events.
fn losses(events: &[Arc<Event>]) -> Vec<EventsLost> {
    let lost = |event: &Arc<Event>| match &event.data {
        EventData::EventsLost(lost) => Some(lost.clone()),
        _ => None,
    };
    events.iter().filter_map(lost).collect()
}

/// Events that are no announcements.
fn real(events: &[Arc<Event>]) -> usize {
    events.len() - losses(events).len()
}

fn generations(path: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<_> = fs::read_dir(path.join("queue")).unwrap().map(|entry| entry.unwrap().path()).collect();
    dirs.sort_unstable();
    dirs
}

#[test]
fn a_second_process_is_refused_with_a_word_on_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(&config(dir.path()));
    let again = super::open(&config(dir.path()), Arc::default(), Arc::new(SystemClock::new()));
    let Err(error @ OpenError::InUse { .. }) = again else { panic!("{again:?}") };
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    rig.reopen().close();
}

/// Lets one sync through for each thing sent; all of them once the sender is gone.
fn gate() -> (Sender<()>, Mutex<Receiver<()>>) {
    let (gate, gated) = std::sync::mpsc::channel();
    (gate, Mutex::new(gated))
}

#[test]
fn acknowledgements_are_released_in_order_and_only_after_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (mut rig, gate, entries) = Rig::open_gated(&config(dir.path()));
    let first = rig.send(events(3), vec![record("a", "s", b"1")]);
    entries.recv().unwrap();
    // In the middle of the sync: written, not yet safe.
    let second = rig.send(Vec::new(), Vec::new());
    let third = rig.send(events(1), Vec::new());
    assert!(rig.acks.1.try_recv().is_err());
    assert_eq!(rig.status().last_sequence, 0);
    gate.send(()).unwrap();
    assert_eq!(rig.acked(), first);
    assert_eq!(rig.status().last_sequence, 3);
    entries.recv().unwrap();
    assert!(rig.acks.1.try_recv().is_err(), "an empty commit overtook one with events");
    gate.send(()).unwrap();
    assert_eq!((rig.acked(), rig.acked()), (second, third));
    drop(gate);
    rig.close();
}

#[test]
fn commits_that_wait_for_the_disk_go_together() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, gated) = gate();
    let hook: SyncHook = Arc::new(move || {
        let _ = gated.lock().unwrap().recv();
        Ok(())
    });
    gate.send(()).unwrap();
    let mut rig = Rig::open_hooked(&config(dir.path()), Some(hook));
    let before = rig.counters.store_syncs.get();
    for _ in 0..4 {
        rig.send(events(100), Vec::new());
    }
    drop(gate);
    for _ in 0..4 {
        rig.acked();
    }
    assert!(rig.counters.store_syncs.get() - before <= 2);
    assert_eq!(sequences(&rig.read_all()), (1..=400).collect::<Vec<_>>());
    rig.close();
}

#[test]
fn events_that_follow_each_other_closely_share_commits() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    let before = rig.counters.store_commits.get();
    for _ in 0..2_000 {
        rig.send(events(1), vec![record("a", "s", b"1")]);
    }
    for token in 1..=2_000 {
        assert_eq!(rig.acked(), token);
    }
    let commits = rig.counters.store_commits.get() - before;
    assert!(commits <= 1_000, "{commits} commits");
    assert_eq!(sequences(&rig.read_all()), (1..=2_000).collect::<Vec<_>>());
    rig.close();
}

#[test]
fn a_broker_that_waits_for_its_first_acknowledgements_gets_them_long_before_the_commit_interval() {
    let dir = tempfile::tempdir().unwrap();
    let config = Store { commit_interval: Duration::from_secs(3600), ..config(dir.path()) };
    let mut rig = Rig::open(&config);
    let (mut sent, mut acked) = (0, 0);
    while acked < 100 {
        while sent - acked < 20 {
            sent = rig.send(events(1), Vec::new());
        }
        acked = rig.acked();
    }
    rig.close();
}

#[test]
fn events_below_critical_wait_for_company_and_critical_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = Store { commit_interval: Duration::from_secs(3600), ..config(dir.path()) };
    let mut rig = Rig::open(&config);
    for _ in 0..10 {
        // More than may be under way: waiting commits do not hold the engine up.
        rig.send(events(1), Vec::new());
    }
    assert!(rig.acks.1.try_recv().is_err());
    rig.send(vec![event_of(Severity::Critical, "now")], Vec::new());
    for token in 1..=11 {
        assert_eq!(rig.acked(), token);
    }
    rig.send(events(1), Vec::new());
    let config = rig.close();
    let rig = Rig::open(&config);
    assert_eq!(rig.read_all().len(), 12, "closing commits what waits");
    rig.close();
}

#[test]
fn company_enough_is_not_waited_for_any_longer() {
    let dir = tempfile::tempdir().unwrap();
    let config = Store { commit_interval: Duration::from_secs(3600), ..config(dir.path()) };
    let mut rig = Rig::open(&config);
    // More than half a group: were the engine held up now, even a critical event could not come through.
    rig.commit(events(2_100), Vec::new());
    let records = |from: usize| (from..from + 2_100).map(|n| record("a", &format!("s{n}"), b"1")).collect();
    rig.commit(Vec::new(), records(0));
    // As many messages as mosquitto sends before it waits for the first acknowledgement; the next could be critical.
    let last = (0..20).map(|_| rig.send(events(1), Vec::new())).last();
    while Some(rig.acked()) != last.map(|last| last - 4) {}
    rig.close();
}

#[test]
fn the_loop_turns_while_nothing_happens() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::open(&config(dir.path()));
    let before = rig.counters.store_turns.get();
    let start = std::time::Instant::now();
    while rig.counters.store_turns.get() < before + 2 {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    assert!(rig.counters.store_turns.get() < before + 1_000, "it spins");
    rig.close();
}
