//! Purging: what is given up is announced once, with it or not at all, and nothing else is lost.

use std::collections::BTreeSet;

use super::*;
use crate::store::handle::{Purge, PurgeRefused, Purged};

impl Rig {
    fn purge(&self, purge: Purge) -> Result<Purged, PurgeRefused> {
        self.runtime.block_on(self.handle().purge(purge)).unwrap()
    }

    fn purge_all(&self, sensor: Option<&str>) -> u64 {
        let through = self.status().last_sequence;
        let mut purge = Purge { from: 0, through, before: None, sensor: sensor.map(str::to_owned) };
        let mut count = 0;
        loop {
            let purged = self.purge(purge.clone()).unwrap();
            count += purged.events;
            let Some(next) = purged.next else { return count };
            purge.from = next;
        }
    }
}

fn about(subject: &str, reason: &str) -> Event {
    Event { subject: Arc::from(subject), ..event(reason) }
}

/// Every number up to the last is waiting or announced exactly once.
fn assert_accounted(rig: &Rig) {
    let waiting = rig.read_all();
    let mut seen: BTreeSet<u64> = sequences(&waiting).into_iter().collect();
    let waits = seen.len() as u64;
    let mut announced = 0;
    for event in &waiting {
        if let EventData::EventsLost(lost) = &event.data {
            assert_eq!(lost.reason, "purged");
            announced += lost.count;
            if lost.whole_range {
                assert_eq!(lost.count, lost.last_sequence + 1 - lost.first_sequence);
                (lost.first_sequence..=lost.last_sequence).for_each(|number| assert!(seen.insert(number), "{number}"));
            }
        }
    }
    assert_eq!(waits + announced, rig.status().last_sequence);
}

#[test]
fn a_purge_of_everything_leaves_one_announcement_a_portion_and_an_empty_queue() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dir.path().join("a")));
    for _ in 0..5 {
        rig.commit(events(1_000), Vec::new());
    }
    assert_eq!(rig.purge_all(None), 5_000);
    let waiting = rig.read_all();
    assert!(waiting.len() <= 3, "{}", waiting.len());
    assert_accounted(&rig);
    assert_eq!(rig.counters.events_lost_by.all().find(|(reason, _)| reason.as_str() == "purged").unwrap().1, 5_000);
    let killed = Rig::open(&rig.killed(&dir.path().join("b")));
    assert_eq!(sequences(&killed.read_all()), sequences(&waiting));
    assert_accounted(&killed);
    killed.close();
    let rig = rig.reopen();
    assert_eq!(sequences(&rig.read_all()), sequences(&waiting));
    rig.close();
}

#[test]
fn a_purge_by_sensor_or_time_takes_only_what_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dir.path().join("a")));
    let mixed = (0..300).map(|n| about(if n % 3 == 0 { "a/b/c" } else { "d/e/f" }, "x"));
    rig.commit(mixed.collect(), Vec::new());
    assert_eq!(rig.purge_all(Some("a/+/c")), 100);
    assert_eq!(rig.purge_all(Some("a/+/c")), 0, "they are gone");
    assert_accounted(&rig);
    let early = Purge { through: 300, before: Some(WallTime(1)), ..Purge::default() };
    assert_eq!(rig.purge(early.clone()).unwrap().events, 0, "all happened at 1");
    let killed = Rig::open(&rig.killed(&dir.path().join("b")));
    assert_accounted(&killed);
    assert!(killed.read_all().iter().all(|event| &*event.subject != "a/b/c"));
    assert_eq!(killed.status().waiting, 201);
    killed.close();
    assert_eq!(rig.purge(Purge { before: Some(WallTime(2)), ..early }).unwrap().events, 200);
    assert_accounted(&rig);
    rig.close();
}

#[test]
fn an_announcement_that_is_purged_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    rig.commit(events(10), Vec::new());
    assert_eq!(rig.purge_all(None), 10);
    assert_eq!(rig.purge_all(None), 1, "the announcement itself");
    let waiting = rig.read_all();
    let [last] = waiting.as_slice() else { panic!("{waiting:?}") };
    let EventData::EventsLost(lost) = &last.data else { panic!("{last:?}") };
    assert_eq!((lost.count, lost.first_sequence, lost.last_sequence), (11, 1, 11));
    rig.close();
}

#[test]
fn a_kill_at_any_write_of_a_purge_leaves_it_done_and_announced_or_not_done() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dir.path().join("a")));
    rig.commit(events(50), Vec::new());
    let file = newest_file(&rig.config.path);
    let before = fs::metadata(&file).unwrap().len();
    // As it was then: a mark from after the purge, which a slow machine has by now, says that there was more to lose.
    let mark = fs::read(rig.config.path.join("mark")).unwrap();
    assert_eq!(rig.purge_all(None), 50);
    let whole = fs::read(&file).unwrap();
    // A file that was cut off anywhere in what the purge wrote.
    for cut in (before.min(whole.len() as u64)..=whole.len() as u64).step_by(97) {
        let copy = dir.path().join(format!("cut-{cut}"));
        let config = rig.killed(&copy);
        fs::write(newest_file(&copy), &whole[..usize::try_from(cut).unwrap()]).unwrap();
        fs::write(copy.join("mark"), &mark).unwrap();
        let killed = Rig::open(&config);
        assert_accounted(&killed);
        killed.close();
        fs::remove_dir_all(copy).unwrap();
    }
    rig.close();
}

fn newest_file(store: &Path) -> PathBuf {
    let dirs = fs::read_dir(store.join("queue")).unwrap().map(|entry| entry.unwrap().path());
    dirs.filter(|path| path.join("db").exists()).max().unwrap().join("db")
}

#[test]
fn purging_more_single_events_than_can_be_remembered_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    rig.commit(vec![about("keep/me/x", "first")], Vec::new());
    for _ in 0..21 {
        rig.commit((0..1_000).map(|_| about("a/b/c", "x")).collect(), Vec::new());
    }
    let mut purge = Purge { through: rig.status().last_sequence, sensor: Some("a/#".to_owned()), ..Purge::default() };
    let mut given_up = 0;
    let refused = loop {
        match rig.purge(purge.clone()) {
            Ok(purged) => {
                given_up += purged.events;
                purge.from = purged.next.unwrap();
            }
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, PurgeRefused::TooScattered);
    assert!(given_up > 15_000, "{given_up}");
    assert_accounted(&rig);
    rig.close();
}
