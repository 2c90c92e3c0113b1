//! Delivered events that are kept, and reading a store's events from outside.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::store::history::History;
use crate::store::quota::disk_bytes;

const MIB: u64 = 1024 * 1024;

fn keeping(path: &Path, retain_delivered: u64) -> Store {
    Store { retain_delivered, ..config(path) }
}

/// The kept generations, oldest first.
fn kept(path: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<_> =
        fs::read_dir(path.join("retained")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    dirs.sort_unstable();
    dirs
}

/// About 800 KiB of events, delivered at once.
fn pass_through(rig: &mut Rig) -> Vec<Arc<Event>> {
    let from = rig.status().last_sequence + 1;
    rig.commit((0..64).map(|_| big_event(Severity::Low, 12_500)).collect(), Vec::new());
    let passed = rig.read(from, 64);
    rig.delivered(from + 63);
    rig.wait("delivered", |status| status.delivered == from + 63);
    passed
}

/// Waits for what the writer does to files without a word in its status.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::yield_now();
    }
}

/// All events from `from` on, read in small portions.
fn history(path: &Path, from: u64) -> Vec<Arc<Event>> {
    let mut history = History::open(path).unwrap();
    let (mut all, mut next) = (Vec::new(), from);
    loop {
        let some = history.read(next, 70, 40_000).unwrap();
        let Some(last) = some.last() else { break };
        next = last.sequence + 1;
        all.extend(some);
    }
    assert_eq!(history.damaged(), 0);
    all
}

/// The same, from the end backwards.
fn history_backwards(path: &Path) -> Vec<Arc<Event>> {
    let mut history = History::open(path).unwrap();
    let (mut all, mut before) = (Vec::new(), u64::MAX);
    loop {
        let mut some = history.read_before(before, 70, 40_000).unwrap();
        let Some(first) = some.first() else { return all };
        before = first.sequence;
        some.extend(all);
        all = some;
    }
}

#[test]
fn a_stores_events_are_read_from_outside_as_its_own_reader_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    assert_eq!(history(dir.path(), 1), []);
    for round in 0..12 {
        rig.commit((0..64).map(|_| big_event(Severity::Low, 6_000)).collect(), Vec::new());
        rig.commit(events(7), Vec::new());
        if round % 4 == 0 {
            rig = rig.reopen();
        }
    }
    assert!(generations(dir.path()).len() > 2);
    let all = rig.read_all();
    assert_eq!(history(dir.path(), 1), all);
    assert_eq!(history_backwards(dir.path()), all);
    assert_eq!(history(dir.path(), 500), all[499..]);
    let mut open = History::open(dir.path()).unwrap();
    let last = all.len() as u64;
    assert_eq!(sequences(&open.read(last, 5, 1).unwrap()), [last]);
    assert_eq!(open.read(last + 1, 5, 1).unwrap(), []);
    rig.commit(events(1), Vec::new());
    assert_eq!(sequences(&open.read(last + 1, 5, 1).unwrap()), [last + 1], "the newest generation has grown");
    let mut early = History::open(dir.path()).unwrap();
    assert_eq!(sequences(&early.read(1, 2, usize::MAX).unwrap()), [1, 2]);
    rig.commit((0..64).map(|_| big_event(Severity::Low, 60_000)).collect(), Vec::new());
    rig.commit(events(1), Vec::new());
    let whole = early.read(1, usize::MAX, usize::MAX).unwrap();
    assert_eq!(whole.len() as u64, last + 66, "what came after it was opened, in one call");
    let rest = open.read(last + 2, 1_000, usize::MAX).unwrap();
    assert_eq!(sequences(&rest), (last + 2..last + 67).collect::<Vec<_>>(), "in generations begun since");
    rig.delivered(last);
    rig.wait("the old generations are gone", |status| status.delivered == last);
    rig = rig.reopen();
    assert_eq!(sequences(&open.read(last + 1, 3, usize::MAX).unwrap()), [last + 1, last + 2, last + 3]);
    assert_eq!(open.ledger().unwrap().delivered, last);
    rig.close();
    assert_eq!(History::open(&dir.path().join("none")).err().unwrap().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn delivered_events_are_kept_up_to_the_bound_in_real_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&keeping(dir.path(), 8 * MIB));
    let mut all = Vec::new();
    for _ in 0..60 {
        all.extend(pass_through(&mut rig));
        let bytes = disk_bytes(&dir.path().join("retained"));
        assert!(bytes <= 8 * MIB, "{bytes} kept");
        let bytes = disk_bytes(dir.path());
        assert!(bytes <= rig.config.max_bytes && bytes.abs_diff(rig.status().bytes) < MIB / 2, "{bytes} on disk");
    }
    let found = history(dir.path(), 1);
    assert!(found.len() > 600 && found.len() < all.len(), "{} of {}", found.len(), all.len());
    assert_eq!(found, all[all.len() - found.len()..], "the newest, without a hole");
    assert_eq!(history_backwards(dir.path()), found);
    assert!(rig.counters.retained_dropped.get() > 0);
    assert_eq!(rig.counters.retained_bytes.get(), disk_bytes(&dir.path().join("retained")));
    assert_eq!(rig.counters.events_lost.get(), 0, "it is no loss");
    // A restart keeps what there is.
    let rig = rig.reopen();
    assert_eq!(history(dir.path(), found[0].sequence), found);
    assert_eq!(rig.read_all(), []);
    rig.close();
}

#[test]
fn nothing_is_kept_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    for _ in 0..12 {
        pass_through(&mut rig);
    }
    assert!(!dir.path().join("retained").exists());
    rig.close();
}

#[test]
fn what_is_kept_gives_way_before_any_event_that_waits() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropLeastSevere, WhenFull::Reject] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig::open(&Store { when_full, ..keeping(dir.path(), 12 * MIB) });
        for _ in 0..30 {
            pass_through(&mut rig);
        }
        assert!(kept(dir.path()).len() > 3);
        let from = rig.status().last_sequence + 1;
        while rig.counters.events_lost.get() == 0 {
            rig.send((0..64).map(|_| big_event(Severity::Low, 6_000)).collect(), Vec::new());
            let taken = rig.runtime.block_on(async {
                let ack = rig.acks.1.recv();
                let mut status = rig.opened.handle.status();
                tokio::select! {
                    biased;
                    _ = ack => true,
                    full = status.wait_for(|status| status.full) => full.is_err(),
                }
            });
            assert!(disk_bytes(dir.path()) <= rig.config.max_bytes);
            if !taken {
                break;
            }
        }
        assert_eq!(kept(dir.path()), Vec::<PathBuf>::new(), "{when_full:?}");
        let waiting = rig.read_all();
        assert_eq!(waiting.len() as u64 + rig.counters.events_lost.get(), rig.status().last_sequence + 1 - from);
        assert!(rig.status().bytes > rig.config.max_bytes * 3 / 4, "all the room is theirs");
        assert_eq!(history(dir.path(), from), waiting, "what was evicted is not shown as if it were there");
        if when_full == WhenFull::Reject {
            // It drains, and takes again.
            let last = rig.status().last_sequence;
            rig.delivered(last);
            rig.wait("takes again", |status| !status.full && status.last_sequence > last);
        }
        rig.close();
    }
}

#[test]
fn many_restarts_leave_few_generations_and_every_event() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&keeping(dir.path(), 8 * MIB));
    let mut all = Vec::new();
    for round in 1..=40 {
        rig.commit(events(5), Vec::new());
        all.extend(rig.read(round * 5 - 4, 5));
        rig.delivered(round * 5 - round % 3);
        rig = rig.reopen();
        assert_eq!(rig.opened.findings, Vec::<String>::new());
        let status = &rig.opened.status;
        assert_eq!((status.delivered, status.waiting), (round * 5 - round % 3, round % 3));
        assert_eq!(sequences(&rig.read_all()).len() as u64, round % 3);
    }
    assert_eq!((kept(dir.path()).len(), generations(dir.path()).len()), (0, 1));
    assert_eq!(history(dir.path(), 1), all);
    rig.close();
}

#[test]
fn a_generation_found_twice_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&keeping(dir.path(), 8 * MIB));
    for _ in 0..20 {
        rig.commit(events(10), Vec::new());
    }
    let all = rig.read_all();
    rig.delivered(77);
    rig.close();
    // As if the move came between, and the rest lives on in the next one.
    let first = generations(dir.path()).remove(0);
    copy_dir(&first, &dir.path().join("retained/00000000000000000001-00000000000000000077-gen-00000001.1"));
    assert_eq!(history(dir.path(), 1), all);
    let rig = Rig::open(&keeping(dir.path(), 8 * MIB));
    assert_eq!(rig.read_all(), all[77..]);
    assert_eq!(history(dir.path(), 1), all);
    assert_eq!(history_backwards(dir.path()), all);
    rig.close();
}

#[test]
fn a_reader_beside_the_writer_sees_every_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&keeping(dir.path(), 16 * MIB));
    let (last, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let reader = std::thread::spawn({
        let (path, last, is_over) = (dir.path().to_owned(), Arc::clone(&last), Arc::clone(&is_over));
        move || {
            let mut history = History::open(&path).unwrap();
            let mut next = 1;
            loop {
                let ends = is_over.load(Ordering::SeqCst);
                let last = last.load(Ordering::SeqCst);
                for event in history.read(next, 100, usize::MAX).unwrap() {
                    if event.sequence <= last {
                        assert_eq!(event.sequence, next);
                        next += 1;
                    }
                }
                if ends && next > last {
                    return next - 1;
                }
            }
        }
    });
    for _ in 0..40 {
        pass_through(&mut rig);
        last.store(rig.status().last_sequence, Ordering::SeqCst);
    }
    is_over.store(true, Ordering::SeqCst);
    assert_eq!(reader.join().unwrap(), 40 * 64);
    rig.close();
}

#[test]
fn a_damaged_kept_generation_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&keeping(dir.path(), 12 * MIB));
    for _ in 0..24 {
        pass_through(&mut rig);
    }
    let config = rig.close();
    let all = history(dir.path(), 1);
    assert!(kept(dir.path()).len() > 4);
    let (torn, empty) = (&kept(dir.path())[1], &kept(dir.path())[2]);
    let db = torn.join("db");
    let mut bytes = fs::read(&db).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].chunks_mut(512).for_each(|block| block[0] ^= 1);
    fs::write(&db, bytes).unwrap();
    fs::remove_file(empty.join("db")).unwrap();
    let rig = Rig::open(&config);
    assert_eq!(rig.opened.findings, Vec::<String>::new());
    assert_eq!(rig.counters.events_lost.get(), 0, "they were delivered");
    let mut history = History::open(dir.path()).unwrap();
    let found = history.read(1, usize::MAX, usize::MAX).unwrap();
    assert!(history.damaged() > 0);
    assert!(found.len() > all.len() / 3 && found.len() < all.len() - 64, "{} of {}", found.len(), all.len());
    assert!(found.is_sorted_by(|a, b| a.sequence < b.sequence) && found.iter().all(|event| all.contains(event)));
    assert_eq!((found.first(), found.last()), (all.first(), all.last()));
    rig.close();
}

#[test]
fn a_lower_limit_takes_effect_at_once_and_none_removes_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&keeping(dir.path(), 16 * MIB));
    for _ in 0..30 {
        pass_through(&mut rig);
    }
    assert!(disk_bytes(&dir.path().join("retained")) > 8 * MIB);
    let bytes = rig.status().bytes;
    rig.handle().configure(keeping(dir.path(), 8 * MIB)).unwrap();
    rig.wait("fewer bytes", |status| status.bytes < bytes);
    assert!(disk_bytes(&dir.path().join("retained")) <= 8 * MIB);
    assert!(!kept(dir.path()).is_empty());
    rig.handle().configure(keeping(dir.path(), 0)).unwrap();
    until("nothing is kept", || kept(dir.path()).is_empty());
    for _ in 0..12 {
        pass_through(&mut rig);
    }
    assert!(kept(dir.path()).is_empty());
    // A start without it removes what another configuration kept.
    rig.handle().configure(keeping(dir.path(), 8 * MIB)).unwrap();
    for _ in 0..12 {
        pass_through(&mut rig);
    }
    assert!(!kept(dir.path()).is_empty());
    rig.close();
    let rig = Rig::open(&config(dir.path()));
    assert!(kept(dir.path()).is_empty());
    rig.close();
}

#[test]
fn a_full_disk_takes_what_is_kept_before_the_reserve() {
    let dir = tempfile::tempdir().unwrap();
    let is_full = Arc::new(AtomicBool::new(false));
    let hook: SyncHook = Arc::new({
        let (is_full, path) = (Arc::clone(&is_full), dir.path().to_owned());
        // Full until some of what is kept has gone.
        move || match is_full.load(Ordering::SeqCst) && kept(&path).len() > 2 {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    });
    let mut rig = Rig::open_hooked(&keeping(dir.path(), 12 * MIB), Some(hook));
    for _ in 0..30 {
        pass_through(&mut rig);
    }
    until("some are kept", || kept(dir.path()).len() > 3);
    let reserve = disk_bytes(&dir.path().join("reserve"));
    assert!(reserve > 0);
    is_full.store(true, Ordering::SeqCst);
    let last = rig.status().last_sequence;
    rig.commit(events(1), Vec::new());
    assert!(rig.counters.store_errors.get() > 0 && rig.counters.retained_dropped.get() > 0);
    assert_eq!(disk_bytes(&dir.path().join("reserve")), reserve, "not needed");
    assert_eq!(sequences(&rig.read_all()), [last + 1]);
    rig.close();
}

#[test]
fn what_another_queue_left_is_not_shown_and_a_lost_counter_goes_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&keeping(dir.path(), 8 * MIB));
    for _ in 0..12 {
        pass_through(&mut rig);
    }
    let last = rig.status().last_sequence;
    let config = rig.close();
    assert!(!kept(dir.path()).is_empty());
    // The newest generation, with all the marks, cannot be read.
    for dir in generations(dir.path()) {
        fs::write(dir.join("db"), b"").unwrap();
        fs::remove_file(dir.join("clean")).ok();
    }
    fs::remove_file(dir.path().join("mark")).unwrap();
    let rig = Rig::open(&config);
    let end = rig.read_all();
    assert!(end[0].sequence > last && !losses(&end).is_empty(), "{:?}", sequences(&end));
    assert!(losses(&end)[0].last_sequence > last, "{:?}", losses(&end));
    assert!(!kept(dir.path()).is_empty());
    rig.close();
    fs::create_dir(dir.path().join("queue/gen-00000999.1")).unwrap();
    let mut open = History::open(dir.path()).unwrap();
    assert!(!open.read(1, 10, usize::MAX).unwrap().is_empty(), "a generation without a file hides nothing");
    assert!(open.ledger().unwrap().delivered >= 64, "as far as what is kept tells");
    fs::remove_dir_all(dir.path().join("queue")).unwrap();
    fs::remove_file(dir.path().join("mark")).unwrap();
    let rig = Rig::open(&config);
    assert!(kept(dir.path()).is_empty());
    assert_eq!(rig.status().last_sequence, 0);
    rig.close();
}
