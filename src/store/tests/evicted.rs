//! Evictions on a disk that takes nothing: what goes is told, or it stays.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::quota::tests::say_full;

const EVENT_BYTES: usize = 6_500;

/// A store on a disk that has no room for another generation while the switch is on.
struct Crowded {
    rig: Rig,
    is_full: Arc<AtomicBool>,
}

impl Crowded {
    fn open(config: &Store) -> Self {
        let is_full = Arc::new(AtomicBool::new(false));
        let hook: SyncHook = {
            let (queue, is_full) = (config.path.join("queue"), Arc::clone(&is_full));
            Arc::new(move || {
                let begins = fs::read_dir(&queue)?
                    .flatten()
                    .any(|entry| entry.file_name().to_string_lossy().starts_with("tmp-gen-"));
                if begins && is_full.load(Ordering::SeqCst) {
                    return Err(std::io::Error::from_raw_os_error(28));
                }
                Ok(())
            })
        };
        Self { rig: Rig::open_hooked(config, Some(hook)), is_full }
    }

    /// Fills the store until it has dropped something, then the disk, then sends on until nothing more is taken.
    fn fill(&mut self) {
        let batch = || (0..64).map(|_| big_event(Severity::Medium, EVENT_BYTES)).collect::<Vec<_>>();
        while self.rig.counters.events_lost.get() == 0 {
            self.rig.commit(batch(), Vec::new());
        }
        self.set_full(true);
        while self.rig.status().fault.is_none() {
            self.rig.send(batch(), Vec::new());
            let mut status = self.rig.handle().status();
            let acks = &mut self.rig.acks.1;
            self.rig.runtime.block_on(async {
                tokio::select! {
                    _ = acks.recv() => {}
                    _ = status.wait_for(|status| status.fault.is_some()) => {}
                }
            });
        }
    }

    fn set_full(&self, is_full: bool) {
        say_full(&self.rig.config.path, is_full);
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    /// Delivers this many events, as the forwarder does; gives their numbers.
    fn deliver(&mut self, count: usize) -> Vec<Arc<Event>> {
        let mut sent = Vec::new();
        let mut from = self.rig.status().delivered + 1;
        while sent.len() < count {
            let some = self.rig.read(from, count - sent.len());
            from = some.last().expect("enough waits").sequence + 1;
            sent.extend(some);
        }
        self.rig.delivered(from - 1);
        self.rig.wait("delivered", |status| status.delivered == from - 1);
        sent
    }

    /// Names of what was given back without a mark.
    fn names_left(&self) -> usize {
        let is_left = |dir: &PathBuf| dir.file_name().unwrap().to_string_lossy().starts_with("tmp-removed-");
        generations(&self.rig.config.path).iter().filter(|dir| is_left(dir)).count()
    }

    fn wait_names_left(&self, count: usize) {
        let start = std::time::Instant::now();
        while self.names_left() < count {
            assert!(start.elapsed() < Duration::from_secs(20), "{} given back", self.names_left());
            std::thread::yield_now();
        }
    }
}

/// Checks that every number up to `last` arrived, or is announced, and that what arrived is in order.
fn account(arrived: &[Arc<Event>], last: u64) {
    let mut numbers: Vec<u64> = sequences(arrived);
    assert!(numbers.is_sorted_by(|a, b| a < b), "out of order");
    for lost in losses(arrived) {
        numbers.extend(lost.first_sequence..=lost.last_sequence);
    }
    numbers.sort_unstable();
    numbers.dedup();
    let untold: Vec<u64> = (1..=last).filter(|number| numbers.binary_search(number).is_err()).collect();
    assert!(untold.is_empty(), "{} events are not told of: {:?}..", untold.len(), untold.first());
}

/// What the consumer has after a kill: a repeat of what it had is left out.
fn and_then(mut sent: Vec<Arc<Event>>, after: Vec<Arc<Event>>) -> Vec<Arc<Event>> {
    let had = sequences(&sent);
    sent.extend(after.into_iter().filter(|event| had.binary_search(&event.sequence).is_err()));
    sent
}

#[test]
fn what_was_to_be_evicted_when_the_disk_took_no_new_generation_is_not_lost_untold_by_a_kill() {
    for has_read in [false, true] {
        let dirs = tempfile::tempdir().unwrap();
        let mut crowded = Crowded::open(&Store { when_full: WhenFull::DropOldest, ..config(&dirs.path().join("a")) });
        // A look at the oldest, as that of the forwarder, makes the next generation the one that goes.
        if has_read {
            crowded.rig.commit(events(10), Vec::new());
            crowded.rig.read(1, 10);
        }
        crowded.fill();
        let counted = crowded.rig.counters.events_lost.get();
        let last = crowded.rig.status().last_sequence;
        let mut sent = crowded.deliver(700);
        crowded.wait_names_left(1);
        sent.extend(crowded.deliver(50));
        let killed = Rig::open(&crowded.rig.killed(&dirs.path().join("b")));
        account(&and_then(sent.clone(), killed.read_all()), last);
        killed.close();
        assert_eq!(crowded.rig.counters.events_lost.get(), counted, "nothing is given up for what is not taken");
        // Stopped, it is the same.
        let stopped = crowded.rig.reopen();
        account(&and_then(sent, stopped.read_all()), last);
        stopped.close();
    }
}

#[test]
fn a_store_at_its_limit_drops_the_oldest_and_goes_on_when_the_disk_has_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut crowded = Crowded::open(&Store { when_full: WhenFull::DropOldest, ..config(dir.path()) });
    crowded.fill();
    let counted = crowded.rig.counters.events_lost.get();
    crowded.set_full(false);
    crowded.rig.wait("well", |status| status.fault.is_none() && !status.full);
    for _ in 0..12 {
        let batch = (0..64).map(|_| big_event(Severity::Medium, EVENT_BYTES)).collect();
        let token = crowded.rig.send(batch, Vec::new());
        while crowded.rig.acked() != token {}
    }
    assert!(crowded.rig.counters.events_lost.get() > counted);
    let all = crowded.rig.read_all();
    let told: u64 = losses(&all).iter().map(|lost| lost.count).sum();
    assert_eq!(told, crowded.rig.counters.events_lost.get());
    account(&all, crowded.rig.status().last_sequence);
    assert!(crate::store::quota::disk_bytes(dir.path()) <= crowded.rig.config.max_bytes);
    crowded.rig.close();
}

#[test]
fn what_holds_the_event_of_a_letter_that_is_not_on_disk_is_not_given_back() {
    let dirs = tempfile::tempdir().unwrap();
    let mut crowded = Crowded::open(&Store { when_full: WhenFull::DropOldest, ..config(&dirs.path().join("a")) });
    crowded.fill();
    let last = crowded.rig.status().last_sequence;
    let mut sent = crowded.deliver(100);
    let refused = crowded.rig.read(sent.last().unwrap().sequence + 1, 1).remove(0);
    let handle = crowded.rig.handle();
    let set_aside = handle.dead_letter(Arc::clone(&refused), super::dead::refusal(3));
    let done = async { tokio::time::timeout(Duration::from_secs(20), set_aside).await };
    crowded.rig.runtime.block_on(done).expect("set aside").unwrap();
    sent.extend(crowded.deliver(1_200));
    crowded.wait_names_left(2);
    let killed = Rig::open(&crowded.rig.killed(&dirs.path().join("b")));
    let after = killed.read_all();
    assert!(after.contains(&refused), "it waits again");
    let rest = after.into_iter().filter(|event| event.sequence != refused.sequence).collect();
    let mut arrived = and_then(sent, rest);
    arrived.push(refused);
    arrived.sort_by_key(|event| event.sequence);
    account(&arrived, last);
    killed.close();
    crowded.set_full(false);
    crowded.rig.wait("well", |status| status.fault.is_none() && !status.full);
    let left = crowded.rig.runtime.block_on(crowded.rig.handle().dead_letters()).unwrap();
    assert_eq!(left.len(), 1);
    let killed = Rig::open(&crowded.rig.killed(&dirs.path().join("c")));
    assert_eq!(killed.runtime.block_on(killed.handle().dead_letters()).unwrap(), left);
    killed.close();
    crowded.rig.close();
}
