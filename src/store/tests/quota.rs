//! What gives way when the store is full, and that its size is kept.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::store::quota::disk_bytes;

const EVENT_BYTES: usize = 6_500;

fn full_config(path: &Path, when_full: WhenFull) -> Store {
    Store { when_full, ..config(path) }
}

/// One commit; the bytes really on disk never pass the limit.
fn commit_within(rig: &mut Rig, severities: &[Severity], count: usize) {
    let events = (0..count).map(|index| big_event(severities[index % severities.len()], EVENT_BYTES)).collect();
    rig.commit(events, Vec::new());
    let bytes = disk_bytes(&rig.config.path);
    assert!(bytes <= rig.config.max_bytes, "{bytes} on disk");
    let counted = rig.status().bytes;
    assert!(counted <= rig.config.max_bytes && counted.abs_diff(bytes) < 512 * 1024, "{counted} counted, {bytes} real");
}

/// Checks that every number is either there or announced.
fn account(rig: &Rig) -> (Vec<Arc<Event>>, Vec<EventsLost>) {
    let all = rig.read_all();
    let lost = losses(&all);
    let count: u64 = lost.iter().map(|lost| lost.count).sum();
    assert_eq!(count, rig.counters.events_lost.get());
    assert!(all.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert_eq!(all.len() as u64 + count, rig.status().last_sequence, "announced: {lost:?}");
    assert_eq!(rig.status().waiting, all.len() as u64);
    (all, lost)
}

/// Sends commits of so many events until the store says that it is full; each is waited for.
fn fill_up(rig: &mut Rig, events_a_commit: usize) {
    while !rig.status().full {
        rig.send((0..events_a_commit).map(|_| big_event(Severity::Low, EVENT_BYTES)).collect(), Vec::new());
        let mut status = rig.handle().status();
        let acks = &mut rig.acks.1;
        rig.runtime.block_on(async {
            tokio::select! {
                _ = acks.recv() => {}
                _ = status.wait_for(|status| status.full) => {}
            }
        });
    }
}

#[test]
fn drop_oldest_drops_the_oldest_and_says_exactly_what() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&full_config(dir.path(), WhenFull::DropOldest));
    for _ in 0..120 {
        commit_within(&mut rig, &[Severity::Medium], 64);
    }
    let (all, lost) = account(&rig);
    assert!(!lost.is_empty());
    assert!(lost.iter().all(|lost| lost.reason == "evicted" && lost.whole_range));
    let told = all.iter().rfind(|event| matches!(event.data, EventData::EventsLost(_))).unwrap().sequence;
    assert_eq!(rig.status().last_of_severity[Severity::High as usize], told, "a schedule of calls is to know of it");
    let bytes = rig.status().bytes;
    assert!(bytes > rig.config.max_bytes * 3 / 4, "no more is dropped than must be: {bytes} left");
    assert!(all.len() * EVENT_BYTES > 20_000_000, "{} events left", all.len());
    // The same after a restart.
    let rig = rig.reopen();
    assert_eq!(rig.read_all(), all);
    assert_eq!(rig.counters.events_lost.get(), 0);
    rig.close();
}

#[test]
fn an_announcement_that_is_evicted_is_announced_again() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropLeastSevere] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig::open(&full_config(dir.path(), when_full));
        for round in 0..400 {
            commit_within(&mut rig, &[Severity::Medium, Severity::High], 64);
            if round % 90 == 89 {
                rig = rig.reopen();
            }
        }
        // Several times the store's size went through, so the first announcements are gone.
        let all = rig.read_all();
        let told: u64 = losses(&all).iter().map(|lost| lost.count).sum();
        assert!(losses(&all).iter().any(|lost| lost.first_sequence == 1), "the story begins at the beginning");
        assert_eq!(told + all.len() as u64, rig.status().last_sequence);
        rig.close();
    }
}

#[test]
fn what_is_on_its_way_upstream_is_not_evicted() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropLeastSevere] {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig::open(&full_config(dir.path(), when_full));
        commit_within(&mut rig, &[Severity::Medium, Severity::High], 64);
        let sent = rig.read(1, 40);
        for _ in 0..150 {
            commit_within(&mut rig, &[Severity::Medium, Severity::High], 64);
        }
        let all = rig.read_all();
        assert_eq!(all[..sent.len()], sent, "they may arrive, so they must not be announced as lost");
        let told: u64 = losses(&all).iter().map(|lost| lost.count).sum();
        assert!(told > 0);
        assert_eq!(told + all.len() as u64, rig.status().last_sequence);
        rig.close();
    }
}

#[test]
fn delivered_events_are_not_counted_as_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&full_config(dir.path(), WhenFull::DropOldest));
    commit_within(&mut rig, &[Severity::Medium], 64);
    rig.delivered(50);
    for _ in 0..119 {
        commit_within(&mut rig, &[Severity::Medium], 64);
    }
    let all = rig.read_all();
    let lost: u64 = losses(&all).iter().map(|lost| lost.count).sum();
    assert!(lost > 64);
    assert_eq!(lost, rig.counters.events_lost.get());
    assert_eq!(50 + lost + all.len() as u64, rig.status().last_sequence);
    rig.close();
}

#[test]
fn drop_least_severe_keeps_the_severe_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&full_config(dir.path(), WhenFull::DropLeastSevere));
    let severities = [Severity::Info, Severity::Low, Severity::Info, Severity::Critical];
    for _ in 0..200 {
        commit_within(&mut rig, &severities, 64);
    }
    let (all, lost) = account(&rig);
    assert!(lost.iter().all(|lost| lost.reason == "evicted"));
    let count = |severity| all.iter().filter(|event| event.severity == severity).count();
    assert_eq!(count(Severity::Critical), 200 * 16, "all critical ones are there");
    assert!(count(Severity::Info) < 200 * 32 / 2);
    // The oldest of the least severe went.
    let oldest_info = all.iter().find(|event| event.severity == Severity::Info).unwrap().sequence;
    assert!(oldest_info > rig.status().last_sequence / 3);
    // Delivering into a generation that was picked over counts right, and so does a restart.
    let half = all[all.len() / 2].sequence;
    rig.delivered(half);
    let left = all.len() as u64 - (all.len() as u64 / 2 + 1);
    rig.wait("counted", |status| status.delivered == half && status.waiting == left);
    let rig = rig.reopen();
    assert_eq!(rig.opened.status.waiting, left);
    assert_eq!(rig.read_all(), all[all.len() / 2 + 1..]);
    rig.close();
}

#[test]
fn drop_least_severe_among_equals_drops_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&full_config(dir.path(), WhenFull::DropLeastSevere));
    for _ in 0..120 {
        commit_within(&mut rig, &[Severity::High], 64);
    }
    let (all, _) = account(&rig);
    let first = all[0].sequence;
    assert_eq!(sequences(&all), (first..=rig.status().last_sequence).collect::<Vec<_>>());
    rig.close();
}

#[test]
fn reject_takes_nothing_more_until_there_is_room_and_then_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&full_config(dir.path(), WhenFull::Reject));
    let mut token;
    loop {
        token = rig.send((0..64).map(|_| big_event(Severity::Low, EVENT_BYTES)).collect(), Vec::new());
        let opened = &rig.opened;
        let (acks, mut status) = (&mut rig.acks.1, opened.handle.status());
        let is_acked = rig.runtime.block_on(async {
            tokio::select! {
                acked = acks.recv() => acked == Some(token),
                _ = status.wait_for(|status| status.full) => false,
            }
        });
        if !is_acked {
            break;
        }
        assert!(disk_bytes(&rig.config.path) <= rig.config.max_bytes);
    }
    let stored = rig.status().last_sequence;
    assert!(rig.acks.1.try_recv().is_err());
    let all = rig.read_all();
    assert_eq!(sequences(&all), (1..=stored).collect::<Vec<_>>(), "still read");
    assert!(stored as usize * EVENT_BYTES > 20_000_000);
    rig.delivered(stored / 2);
    assert_eq!(rig.acked(), token);
    assert!(!rig.wait("room again", |status| !status.full).full);
    assert_eq!(rig.counters.events_lost.get(), 0);
    assert!(disk_bytes(&rig.config.path) <= rig.config.max_bytes);
    rig.close();
}

#[test]
fn a_store_closed_while_full_opens_full_and_drains() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&full_config(dir.path(), WhenFull::Reject));
    fill_up(&mut rig, 16);
    let stored = rig.status().last_sequence;
    for _ in 0..5 {
        rig = rig.reopen();
        assert!(disk_bytes(dir.path()) <= rig.config.max_bytes);
    }
    assert_eq!(sequences(&rig.read_all()), (1..=stored).collect::<Vec<_>>());
    rig.delivered(stored);
    rig.wait("drained", |status| status.waiting == 0 && status.bytes < 4 * 1024 * 1024);
    rig.commit(events(1), Vec::new());
    rig.close();
}

#[test]
fn a_smaller_limit_after_a_reload_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let large = Store { max_bytes: 64 * 1024 * 1024, ..full_config(dir.path(), WhenFull::DropOldest) };
    let mut rig = Rig::open(&large);
    for _ in 0..150 {
        commit_within(&mut rig, &[Severity::Medium], 64);
    }
    assert!(rig.status().bytes > 40 * 1024 * 1024);
    rig.handle().configure(full_config(dir.path(), WhenFull::DropOldest)).unwrap();
    rig.config.max_bytes = 32 * 1024 * 1024;
    commit_within(&mut rig, &[Severity::Medium], 64);
    account(&rig);
    rig.close();
}

#[test]
fn an_event_larger_than_any_chunk_is_stored_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&full_config(dir.path(), WhenFull::DropOldest));
    rig.commit(vec![event("before"), big_event(Severity::Low, 3_000_000), event("after")], Vec::new());
    let all = rig.read_all();
    assert!(disk_bytes(dir.path()) <= rig.config.max_bytes);
    let rig = rig.reopen();
    assert_eq!(rig.read_all(), all);
    assert_eq!(fs::read_dir(generations(dir.path())[0].join("blobs")).unwrap().count(), 0, "sled made no blob files");
    rig.close();
}

#[test]
fn a_full_store_still_takes_dead_letters_or_it_would_never_drain() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&full_config(dir.path(), WhenFull::Reject));
    fill_up(&mut rig, 64);
    let stored = rig.status().last_sequence;
    // The forwarder goes on only when each is on disk.
    for sequence in 1..=5 {
        let event = Arc::clone(&rig.read(sequence, 1)[0]);
        let set_aside = rig.handle();
        let set_aside = set_aside.dead_letter(event, super::dead::refusal(0));
        let done = async { tokio::time::timeout(Duration::from_secs(20), set_aside).await };
        rig.runtime.block_on(done).expect("set aside").unwrap();
        rig.delivered(sequence);
    }
    assert!(rig.status().full);
    assert!(disk_bytes(&rig.config.path) <= rig.config.max_bytes);
    assert_eq!(rig.counters.events_dead.get(), 5);
    // They are on disk, and only once.
    let killed = tempfile::tempdir().unwrap();
    let killed = Rig::open(&rig.killed(&killed.path().join("store")));
    let letters = killed.runtime.block_on(killed.handle().dead_letters()).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let told = rig.status().last_of_severity[Severity::High as usize];
    assert_eq!(told, rig.status().last_sequence, "a schedule of calls is to know of it");
    let lost = losses(&killed.read(stored + 1, 10));
    assert_eq!(lost.iter().map(|lost| lost.count).sum::<u64>(), 5, "announced in the same commits");
    killed.close();
    rig.delivered(stored);
    rig.wait("room again", |status| !status.full);
    rig.close();
}

#[test]
fn a_full_store_drains_however_many_of_its_events_become_dead_letters() {
    let dirs = tempfile::tempdir().unwrap();
    let path = dirs.path().join("a");
    let mut rig = Rig::open(&full_config(&path, WhenFull::Reject));
    fill_up(&mut rig, 16);
    let stored = rig.status().last_sequence;
    let set_aside = |rig: &Rig, sequence: u64| {
        let event = rig.read(sequence, 1).remove(0);
        assert_eq!(event.sequence, sequence);
        let handle = rig.handle();
        let set_aside = handle.dead_letter(event, super::dead::refusal(0));
        let done = async { tokio::time::timeout(Duration::from_secs(20), set_aside).await };
        rig.runtime.block_on(done).expect("set aside").unwrap();
        rig.delivered(sequence);
    };
    let account = |config: &Store, through: u64| {
        let rig = Rig::open(config);
        let all = rig.read_all();
        let mut told: Vec<u64> = sequences(&all);
        let letters = rig.runtime.block_on(rig.handle().dead_letters()).unwrap();
        told.extend(letters.iter().map(|letter| letter.event.sequence));
        // With the numbers that were never sent no less is announced than was set aside.
        losses(&all).iter().for_each(|lost| told.extend(lost.first_sequence..=lost.last_sequence));
        told.sort_unstable();
        told.dedup();
        assert_eq!(told[..through as usize], (1..=through).collect::<Vec<_>>());
        assert!(letters.iter().all(|letter| all.iter().all(|event| event.sequence != letter.event.sequence)));
        assert!(disk_bytes(&config.path) <= config.max_bytes);
        rig.close();
    };
    let mut dead = 0;
    for sequence in 1..=2_000 {
        set_aside(&rig, sequence);
        if sequence == 120 {
            // Stopped while some have found no room.
            dead = rig.counters.events_dead.get();
            rig = rig.reopen();
            let status = rig.status();
            assert_eq!((status.delivered, status.dead > 0), (sequence, true));
        }
        if [90, 700, 1_234].contains(&sequence) {
            account(&rig.killed(&dirs.path().join(sequence.to_string())), stored);
        }
        if sequence % 100 == 0 {
            assert!(disk_bytes(&path) <= rig.config.max_bytes, "after {sequence}");
        }
    }
    let status = rig.wait("it drains", |status| status.delivered >= 2_000);
    assert!(status.waiting < stored, "{status:?}");
    assert_eq!(dead + rig.counters.events_dead.get(), 2_000);
    let config = rig.close();
    account(&config, stored);
}

#[test]
fn a_kill_while_announcements_are_among_what_is_dropped_leaves_none_untold() {
    let dirs = tempfile::tempdir().unwrap();
    let path = dirs.path().join("store");
    // Copies as a kill would leave them: while a generation is begun after others were rewritten or dropped.
    let copies: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
    let wanted = Arc::new(AtomicUsize::new(0));
    let hook: SyncHook = {
        let (path, copies, wanted) = (path.clone(), Arc::clone(&copies), Arc::clone(&wanted));
        let root = dirs.path().to_owned();
        Arc::new(move || {
            let begins = fs::read_dir(path.join("queue"))?.flatten().any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.starts_with("tmp-gen-") && name.ends_with(".1")
            });
            let mut copies = copies.lock().unwrap();
            if begins && copies.len() < wanted.load(Ordering::SeqCst) {
                let copy = root.join(format!("copy-{}", copies.len()));
                copy_dir(&path, &copy);
                copies.push(copy);
            }
            Ok(())
        })
    };
    // The announcements are as severe as the least severe events, so they are taken out of a generation with them.
    let mut rig = Rig::open_hooked(&full_config(&path, WhenFull::DropLeastSevere), Some(hook));
    for round in 0..250 {
        commit_within(&mut rig, &[Severity::High, Severity::Critical], 64);
        if round >= 200 {
            wanted.store(4, Ordering::SeqCst);
        }
    }
    account(&rig);
    let config = rig.close();
    let copies = copies.lock().unwrap().clone();
    assert_eq!(copies.len(), 4);
    for path in copies {
        let rig = Rig::open(&Store { path, ..config.clone() });
        let all = rig.read_all();
        let told: u64 = losses(&all).iter().map(|lost| lost.count).sum();
        assert_eq!(told + all.len() as u64, rig.status().last_sequence);
        rig.close();
    }
}
