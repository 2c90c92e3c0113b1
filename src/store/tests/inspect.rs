//! The look from outside: it changes nothing, and it tells what a start then does.

use std::collections::BTreeMap;

use super::damage::{Damage, damage, db, filled};
use super::*;
use crate::store::export::export;
use crate::store::inspect::{Place, Report, inspect};

/// Every file and directory with its content and the time of its last change.
fn snapshot(path: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![path.to_owned()];
    while let Some(dir) = dirs.pop() {
        all.insert(dir.clone(), (Vec::new(), fs::metadata(&dir).unwrap().modified().unwrap()));
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                dirs.push(entry.path());
            } else {
                let bytes = if meta.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
                all.insert(entry.path(), (bytes, meta.modified().unwrap()));
            }
        }
    }
    all
}

/// Looks and exports, and checks that nothing has changed by it.
fn look(config: &Store) -> (Report, Vec<Event>) {
    let before = snapshot(&config.path);
    let report = inspect(&config.path, Some(config.max_bytes)).unwrap();
    let mut events = Vec::new();
    export(&config.path, false, |event| {
        events.push(event.clone());
        Ok(())
    })
    .unwrap();
    assert!(snapshot(&config.path) == before, "the look has changed something");
    assert!(events.is_sorted_by(|a, b| a.sequence < b.sequence), "in order, each once");
    (report, events)
}

fn lost(report: &Report) -> u64 {
    report.start.lost.iter().map(|lost| lost.count).sum()
}

#[test]
fn a_healthy_store_is_told_as_it_is() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), 24);
    let (report, events) = look(&config);
    assert!(report.healthy, "{report:?}");
    assert_eq!((report.start.waiting, report.start.next_sequence), (last, last + 1));
    assert_eq!((report.start.previous_stop, report.start.alarm_states), ("clean", 1));
    assert_eq!(report.generations.iter().map(|generation| generation.events).sum::<u64>(), last);
    assert!(report.generations.iter().all(|one| one.place == Place::Queue && one.checkpoint && one.broken_chunks == 0));
    assert!(report.running_process.is_none());
    assert_eq!(events.len() as u64, last);
}

#[test]
fn a_running_store_can_be_looked_at_and_says_by_whom_it_is_used() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    rig.commit(events(100), vec![record("a", "s", b"1")]);
    let report = inspect(&rig.config.path, None).unwrap();
    assert!(report.healthy, "{report:?}");
    assert_eq!(report.running_process, Some(std::process::id().to_string()));
    assert_eq!(report.start.waiting, 100);
    rig.close();
}

#[test]
fn what_is_delivered_is_exported_only_when_all_is_asked_for() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    rig.commit(events(100), Vec::new());
    rig.delivered(40);
    let config = rig.close();
    assert_eq!(look(&config).1.first().unwrap().sequence, 41);
    let mut all = 0;
    export(&config.path, true, |_| {
        all += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(all, 100);
}

#[test]
fn it_tells_what_the_start_then_announces() {
    let dirs = tempfile::tempdir().unwrap();
    let (origin, last) = filled(&dirs.path().join("origin"), 24);
    let kinds = [Damage::Truncate, Damage::FlipBits, Damage::ZeroBlocks, Damage::Garbage];
    for (seed, kind) in (700..712).zip(kinds.iter().cycle()) {
        let copy = Store { path: dirs.path().join(seed.to_string()), ..origin.clone() };
        copy_dir(&origin.path, &copy.path);
        let all = generations(&copy.path);
        damage(&db(&all[seed as usize % all.len()]), *kind, seed);
        let (report, exported) = look(&copy);
        assert_eq!(exported.len() as u64, report.start.waiting, "seed {seed}");
        assert_eq!(exported.len() as u64 + lost(&report), last, "seed {seed}");
        let rig = Rig::open(&copy);
        rig.read_all();
        assert_eq!(rig.counters.events_lost.get(), lost(&report), "seed {seed}");
        assert_eq!(
            report.healthy,
            rig.counters.events_lost.get() == 0 && report.start.findings.is_empty(),
            "seed {seed}"
        );
        rig.close();
        fs::remove_dir_all(&copy.path).unwrap();
    }
}

#[test]
fn what_is_in_quarantine_is_exported_and_each_event_once() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), 24);
    let all = generations(&config.path);
    copy_dir(&all[0], &config.path.join("quarantine/000000000001-gen-00000001.1"));
    fs::create_dir_all(config.path.join("quarantine/000000000002-gen-00000002.1")).unwrap();
    fs::rename(db(&all[1]), config.path.join("quarantine/000000000002-gen-00000002.1/db")).unwrap();
    let (report, events) = look(&config);
    assert!(!report.healthy);
    assert!(lost(&report) > 0);
    assert_eq!(events.len() as u64, last, "the one in quarantine is as good");
    assert_eq!(report.generations.iter().filter(|one| one.place == Place::Quarantine).count(), 2);
}

#[test]
fn mixed_up_and_foreign_files_are_seen_through_without_touching_them() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), 24);
    let (other, _) = filled(&dirs.path().join("b"), 6);
    copy_dir(&generations(&other.path)[0], &config.path.join("queue/gen-00000900.1"));
    fs::write(config.path.join("queue/notes.txt"), "").unwrap();
    let all = generations(&config.path);
    fs::rename(db(&all[0]), dirs.path().join("x")).unwrap();
    fs::rename(db(&all[1]), db(&all[0])).unwrap();
    fs::rename(dirs.path().join("x"), db(&all[1])).unwrap();
    let (report, events) = look(&config);
    assert_eq!((events.len() as u64, report.start.waiting, lost(&report)), (last, last, 0));
    assert!(!report.healthy && report.start.set_aside.len() == 1);
    assert!(report.generations.iter().any(|one| one.foreign));
    assert_eq!(report.other_files.len(), 1);
}

#[test]
fn an_empty_or_strange_directory_is_no_store_and_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let report = inspect(dir.path(), None).unwrap();
    assert!(report.healthy && report.generations.is_empty());
    assert_eq!(report.start.previous_stop, "first");
    assert!(inspect(&dir.path().join("nowhere"), None).is_err());
}

#[test]
fn nothing_is_passed_over_when_the_newest_holds_nothing_any_more() {
    let dirs = tempfile::tempdir().unwrap();
    let (config, last) = filled(&dirs.path().join("a"), 24);
    fs::write(db(generations(&config.path).last().unwrap()), "").unwrap();
    let (report, _) = look(&config);
    assert_eq!(report.start.waiting + lost(&report), last);
    // As on a disk that lets nothing be written: what is there is read all the same.
    let all = generations(&config.path);
    for bytes in [0xd7_u8, 0] {
        fs::write(db(&all[all.len() - 2]), vec![bytes; 9_000]).unwrap();
        let (report, _) = look(&config);
        assert_eq!(report.start.waiting + lost(&report), last);
    }
}
