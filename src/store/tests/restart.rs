//! What survives which end.

use super::*;
use crate::store::PreviousStop;
use crate::store::generation::SEGMENT_BYTES;
use crate::store::scan::scan;

#[test]
fn everything_survives_a_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    assert_eq!(rig.opened.previous_stop, PreviousStop::First);
    rig.commit(events(200), vec![record("a", "s", b"1"), record("b", "s", b"2"), record("a", "s", b"3")]);
    rig.commit(Vec::new(), vec![record("b", "s", b"")]);
    let before = rig.read_all();
    rig.delivered(70);
    let rig = rig.reopen();
    assert_eq!(rig.opened.previous_stop, PreviousStop::Clean);
    assert_eq!(rig.opened.findings, Vec::<String>::new());
    assert_eq!(rig.opened.records, [record("a", "s", b"3")]);
    let status = &rig.opened.status;
    assert_eq!((status.last_sequence, status.delivered, status.waiting), (200, 70, 130));
    assert_eq!(rig.read_all(), before[70..]);
    rig.close();
}

#[test]
fn everything_acknowledged_survives_a_kill() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    for round in 0..20 {
        rig.commit(events(37), vec![record("a", "s", &[round])]);
    }
    rig.delivered(100);
    rig.commit(events(1), Vec::new());
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!(killed.opened.previous_stop, PreviousStop::Unclean);
    assert_eq!(killed.opened.findings, Vec::<String>::new());
    assert_eq!(killed.opened.records, [record("a", "s", &[19])]);
    assert_eq!(killed.opened.status.delivered, 100);
    assert_eq!(killed.read_all(), rig.read_all());
    killed.close();
    rig.close();
}

#[test]
fn sequence_numbers_go_on_without_gaps_over_many_ends() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("0")));
    for round in 1..=12 {
        rig.commit(events(10), Vec::new());
        rig = if round % 2 == 0 {
            rig.reopen()
        } else {
            let next = Rig::open(&rig.killed(&dirs.path().join(round.to_string())));
            rig.close();
            next
        };
        assert_eq!(sequences(&rig.read_all()), (1..=round * 10).collect::<Vec<_>>());
        assert_eq!(generations(&rig.config.path).len(), 1, "small generations are carried over");
    }
    rig.close();
}

#[test]
fn the_delivered_mark_is_on_disk_within_about_a_second() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    rig.commit(events(10), Vec::new());
    let syncs = rig.counters.store_syncs.get();
    rig.delivered(7);
    let start = std::time::Instant::now();
    while rig.counters.store_syncs.get() == syncs {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!(sequences(&killed.read_all()), [8, 9, 10]);
    killed.close();
    rig.close();
}

#[test]
fn a_backlog_of_several_generations_survives_every_end() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    for _ in 0..12 {
        rig.commit((0..64).map(|_| big_event(Severity::Low, 15_000)).collect(), vec![record("a", "s", b"x")]);
    }
    assert!(generations(&rig.config.path).len() > 2);
    let all = rig.read_all();
    assert_eq!(sequences(&all), (1..=12 * 64).collect::<Vec<_>>());
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!(killed.read_all(), all);
    let again = killed.reopen();
    assert_eq!(again.read_all(), all);
    assert_eq!(again.opened.records, [record("a", "s", b"x")]);
    again.close();
    rig.close();
}

#[test]
fn a_drained_store_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    let empty = rig.status().bytes;
    for _ in 0..12 {
        rig.commit((0..64).map(|_| big_event(Severity::Low, 15_000)).collect(), Vec::new());
    }
    let full = rig.status().bytes;
    assert!(full > empty + 4 * 1024 * 1024);
    rig.delivered(12 * 64);
    let status = rig.wait("drained", |status| status.bytes < empty + 1024 * 1024);
    assert_eq!(status.waiting, 0);
    assert_eq!(generations(dir.path()).len(), 1);
    rig.commit(events(1), Vec::new());
    assert_eq!(sequences(&rig.read_all()), [769]);
    let rig = rig.reopen();
    assert_eq!(sequences(&rig.read_all()), [769]);
    assert_eq!(rig.counters.events_lost.get(), 0);
    rig.close();
}

#[test]
fn a_generation_being_made_or_removed_when_the_power_went_is_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    rig.commit(events(5), Vec::new());
    let config = rig.close();
    let newest = generations(dir.path()).pop().unwrap();
    for name in ["tmp-gen-00000099.1", "tmp-removed-gen-00000000.1"] {
        copy_dir(&newest, &dir.path().join("queue").join(name));
    }
    let rig = Rig::open(&config);
    assert_eq!(rig.read_all().len(), 5);
    assert_eq!(generations(dir.path()).len(), 1);
    assert_eq!(rig.opened.findings, Vec::<String>::new());
    rig.close();
}

#[test]
fn a_delivered_generation_of_which_only_the_name_is_left_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    for _ in 0..60 {
        rig.commit((0..64).map(|_| big_event(Severity::Low, 2_000)).collect(), Vec::new());
    }
    let last = rig.status().last_sequence;
    let config = rig.close();
    // As on a full disk: delivered, given back, and killed before any mark found room.
    let oldest = generations(dir.path()).remove(0);
    let name = oldest.file_name().unwrap().to_string_lossy().into_owned();
    let removed = dir.path().join("queue").join(format!("tmp-removed-{name}"));
    fs::rename(&oldest, &removed).unwrap();
    for _ in 0..2 {
        let rig = Rig::open(&config);
        assert_eq!(rig.counters.events_lost.get(), 0);
        assert_eq!(rig.opened.findings, Vec::<String>::new());
        let first = rig.status().delivered + 1;
        assert!(first > 64, "what was given back counts as delivered");
        assert_eq!(sequences(&rig.read_all()), (first..=last).collect::<Vec<_>>());
        assert!(!removed.exists(), "a checkpoint says it now");
        rig.close();
    }
}

#[test]
fn a_generation_carried_over_and_not_yet_removed_is_not_read_twice() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    rig.commit(events(5), Vec::new());
    let config = rig.close();
    let old = generations(&config.path).pop().unwrap();
    let saved = dirs.path().join("saved");
    copy_dir(&old, &saved);
    Rig::open(&config).close();
    assert!(!old.exists());
    copy_dir(&saved, &old);
    let rig = Rig::open(&config);
    assert_eq!(sequences(&rig.read_all()), [1, 2, 3, 4, 5]);
    assert!(!old.exists());
    assert_eq!(rig.opened.findings, Vec::<String>::new());
    rig.close();
}

/// Not a test of its own: the process that the next test kills.
#[test]
fn the_child_that_is_killed() {
    let Some(path) = std::env::var_os("TIDEGATE_TEST_STORE") else { return };
    let mut rig = Rig::open(&config(Path::new(&path)));
    let mut stored = rig.status().last_sequence;
    for round in 0_u64.. {
        rig.commit(events(1 + (round % 150) as usize), vec![record("a", "s", &stored.to_le_bytes())]);
        stored = rig.status().last_sequence;
        println!("acknowledged {stored}");
        if round % 3 == 0 {
            rig.delivered(stored / 2);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_killed_process() {
    use std::io::{BufRead, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 1..=6 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["the_child_that_is_killed", "--nocapture", "--test-threads=1"])
            .env("TIDEGATE_TEST_STORE", dir.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for (seen, line) in lines.enumerate() {
            let line = line.unwrap();
            let Some(number) = line.rsplit_once("acknowledged ").map(|(_, number)| number) else { continue };
            acknowledged = number.parse().unwrap();
            if seen > round * 7 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let rig = Rig::open(&config(dir.path()));
        let (first, last) = (rig.status().delivered + 1, rig.status().last_sequence);
        assert!(last >= acknowledged, "{acknowledged} acknowledged, {last} there");
        assert_eq!(sequences(&rig.read_all()), (first..=last).collect::<Vec<_>>());
        assert_eq!(rig.counters.events_lost.get(), 0);
        acknowledged = last;
        if round % 2 == 0 {
            rig.close();
        } else {
            // Left open for the next to find: the lock goes with the handle.
            rig.close();
        }
    }
    assert!(acknowledged > 100);
}

/// Writes a generation's frames anew, all of them into sled's one default tree, as they were once stored.
fn into_one_tree(generation: &Path) {
    let path = generation.join("db");
    let scanned = scan(&fs::File::open(&path).unwrap()).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_dir_all(generation).unwrap();
    let db = sled::Config::new().path(generation).segment_size(SEGMENT_BYTES).flush_every_ms(None).open().unwrap();
    for (found, sub) in scanned.chunks.iter().zip(0_u32..) {
        let offset = usize::try_from(found.offset).unwrap();
        let key = [&found.header.first.to_be_bytes()[..], &sub.to_be_bytes()].concat();
        db.insert(key, &bytes[offset..offset + found.header.chunk_bytes()]).unwrap();
    }
    db.flush().unwrap();
}

#[test]
fn generations_whose_values_are_all_in_one_tree_are_read_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    for round in 0..40 {
        let events = (0..64).map(|_| big_event(Severity::Low, 3_000)).collect();
        rig.commit(events, vec![record("a", "s", &[round])]);
    }
    let before = rig.read_all();
    let config = rig.close();
    let generations = generations(&config.path);
    assert!(generations.len() > 2, "sealed ones and the one to go on with");
    generations.iter().for_each(|generation| into_one_tree(generation));
    let mut rig = Rig::open(&config);
    assert_eq!(rig.opened.findings, Vec::<String>::new());
    assert_eq!(rig.opened.records, [record("a", "s", &[39])]);
    assert!(rig.read_all() == before, "the events are not the same");
    rig.commit(events(1), Vec::new());
    assert_eq!(rig.status().last_sequence, before.len() as u64 + 1);
    rig.close();
}
