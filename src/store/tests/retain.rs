//! Delivered events that are kept, and reading a store's events from outside.

use super::*;
use crate::store::history::History;

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
    rig.commit((0..64).map(|_| big_event(Severity::Low, 60_000)).collect(), Vec::new());
    rig.commit(events(1), Vec::new());
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
