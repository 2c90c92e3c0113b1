//! Dead letters: what survives, what is announced, and that every event is accounted for.

use std::collections::BTreeSet;

use super::*;
use crate::store::frame::{Frame, Packer, Place, kind};
use crate::store::generation::Generation;
use crate::store::handle::{ATTEMPTS_KEPT_MAX, DeadAttempt, DeadLetter, Refusal, Which};
use crate::store::state::{Meta, State};

/// What the forwarder says after this many attempts.
pub(super) fn refusal(attempts: u32) -> Refusal {
    let attempt = |n: u32| DeadAttempt { time: WallTime(i64::from(n)), text: format!("attempt {n}") };
    Refusal { reason: "too large".to_owned(), attempts, history: (1..=attempts).map(attempt).collect() }
}

impl Rig {
    fn letters(&self) -> Vec<DeadLetter> {
        self.runtime.block_on(self.handle().dead_letters()).unwrap()
    }

    fn numbers(&self) -> Vec<u64> {
        self.letters().iter().map(|letter| letter.event.sequence).collect()
    }

    fn set_aside(&self, sequence: u64) {
        let event = self.read(sequence, 1).remove(0);
        assert_eq!(event.sequence, sequence);
        self.runtime.block_on(self.handle().dead_letter(event, refusal(3))).unwrap();
    }

    fn next_retry(&self) -> Option<u64> {
        self.runtime.block_on(self.handle().next_retry(0)).unwrap().map(|letter| letter.event.sequence)
    }

    fn retry(&self, which: Which) -> u64 {
        self.runtime.block_on(self.handle().retry_dead(which)).unwrap()
    }

    fn drop_letters(&self, which: Which) -> u64 {
        self.runtime.block_on(self.handle().drop_dead(which)).unwrap()
    }
}

/// A store with ten events, the second and the third of which are set aside.
fn rig_with_two(path: &Path) -> Rig {
    let mut rig = Rig::open(&config(path));
    rig.commit(events(10), Vec::new());
    rig.set_aside(2);
    rig.set_aside(3);
    rig
}

#[test]
fn a_dead_letter_keeps_its_history_over_any_end() {
    let dirs = tempfile::tempdir().unwrap();
    let rig = rig_with_two(&dirs.path().join("a"));
    let before = rig.letters();
    assert_eq!(before[0].history, refusal(3).history);
    assert_eq!((before[0].reason.as_str(), before[0].attempts, before[0].retry), ("too large", 3, false));
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!(killed.letters(), before);
    let killed = killed.reopen().reopen();
    assert_eq!(killed.letters(), before);
    assert_eq!((killed.status().dead, killed.status().retries), (2, 0));
    killed.close();
    rig.close();
}

#[test]
fn the_announcement_is_in_the_commit_of_the_letter() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    rig.commit(events(10), Vec::new());
    let commits = rig.counters.store_commits.get();
    rig.set_aside(2);
    assert_eq!(rig.counters.store_commits.get(), commits + 1);
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    for rig in [&rig, &killed] {
        let lost = losses(&rig.read_all());
        assert_eq!(lost.len(), 1);
        let lost = &lost[0];
        assert_eq!((lost.reason.as_str(), lost.count, lost.whole_range), ("dead-letter", 1, true));
        assert_eq!((lost.first_sequence, lost.last_sequence), (2, 2));
        assert_eq!(rig.counters.events_lost.get(), 0, "a dead letter may still be delivered");
    }
    killed.close();
    rig.close();
}

#[test]
fn letters_set_aside_together_are_announced_together() {
    let dir = tempfile::tempdir().unwrap();
    let (gate, gated) = std::sync::mpsc::channel::<()>();
    let gated = std::sync::Mutex::new(gated);
    let hook: SyncHook = Arc::new(move || {
        // The test's end opens the gate for good.
        let _ = gated.lock().unwrap().recv();
        Ok(())
    });
    gate.send(()).unwrap();
    gate.send(()).unwrap();
    let mut rig = Rig::open_hooked(&config(dir.path()), Some(hook));
    rig.commit(events(10), Vec::new());
    let all = rig.read_all();
    let mut asides = tokio::task::JoinSet::new();
    for event in all {
        let handle = rig.handle();
        asides.spawn_on(async move { handle.dead_letter(event, refusal(1)).await }, rig.runtime.handle());
    }
    drop(gate);
    rig.runtime.block_on(asides.join_all());
    let lost = losses(&rig.read_all());
    assert!(lost.len() <= 2, "{lost:?}");
    assert_eq!(lost.iter().map(|lost| lost.count).sum::<u64>(), 10);
    rig.close();
}

#[test]
fn what_is_set_aside_is_not_handed_out_again_as_if_it_were_new() {
    let dirs = tempfile::tempdir().unwrap();
    let rig = rig_with_two(&dirs.path().join("a"));
    assert_eq!(sequences(&rig.read(1, 3)), [1]);
    assert_eq!(sequences(&rig.read(2, 3)), [4], "three were looked at");
    // Killed before the delivered mark could move past them.
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!(sequences(&killed.read_all())[..2], [1, 4]);
    assert_eq!(killed.status().waiting, 10, "eight, and two announcements");
    killed.delivered(1);
    killed.wait("the mark to move on over them", |status| status.delivered == 3);
    // Dropped and delivered ones are no more sent than those still there.
    let more = Rig::open(&rig.killed(&dirs.path().join("c")));
    assert_eq!(more.drop_letters(Which::Sequence(2)), 1);
    more.runtime.block_on(more.handle().dead_delivered(3)).unwrap();
    let again = Rig::open(&more.killed(&dirs.path().join("d")));
    let again = again.reopen();
    assert_eq!(sequences(&again.read_all())[..2], [1, 4]);
    assert_eq!(again.numbers(), Vec::<u64>::new());
    for rig in [rig, killed, more, again] {
        rig.close();
    }
}

#[test]
fn dropped_letters_are_gone_for_good_and_counted_but_not_announced_again() {
    let dirs = tempfile::tempdir().unwrap();
    let rig = rig_with_two(&dirs.path().join("a"));
    let id = rig.letters()[0].event.id;
    assert_eq!(rig.drop_letters(Which::Sequence(7)), 0);
    assert_eq!(rig.drop_letters(Which::Id(id)), 1);
    assert_eq!(rig.drop_letters(Which::Id(id)), 0);
    assert_eq!((rig.numbers(), rig.counters.events_lost.get()), (vec![3], 1));
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!(killed.numbers(), [3]);
    assert_eq!(killed.drop_letters(Which::All), 1);
    assert_eq!(losses(&killed.read_all()).len(), 2, "those of their setting aside");
    let killed = killed.reopen();
    assert_eq!(killed.numbers(), Vec::<u64>::new());
    killed.close();
    rig.close();
}

#[test]
fn a_mark_to_retry_survives_and_goes_when_the_event_is_refused_again() {
    let dirs = tempfile::tempdir().unwrap();
    let rig = rig_with_two(&dirs.path().join("a"));
    assert_eq!(rig.next_retry(), None);
    assert_eq!(rig.retry(Which::Sequence(3)), 1);
    assert_eq!(rig.retry(Which::Sequence(4)), 0);
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!((killed.next_retry(), killed.status().retries), (Some(3), 1));
    let killed = killed.reopen();
    assert_eq!((killed.next_retry(), killed.status().retries), (Some(3), 1));
    for n in 0..10 {
        assert_eq!(killed.retry(Which::All), 2);
        let again = Refusal {
            reason: format!("still {n}"),
            attempts: 1,
            history: vec![DeadAttempt { time: WallTime(n), text: format!("again {n}") }],
        };
        killed.runtime.block_on(killed.handle().dead_refused(3, again)).unwrap();
    }
    let check = |rig: &Rig| {
        let letters = rig.letters();
        let letter = &letters[1];
        assert_eq!((letter.reason.as_str(), letter.attempts, letter.retry), ("still 9", 13, false));
        assert_eq!(letter.history.len(), ATTEMPTS_KEPT_MAX);
        assert_eq!(letter.history.last().map(|attempt| attempt.text.as_str()), Some("again 9"));
        assert_eq!(rig.status().retries, 1);
    };
    check(&killed);
    let twice = Rig::open(&killed.killed(&dirs.path().join("c")));
    check(&twice);
    assert_eq!(losses(&twice.read_all()).len(), 2, "refused again is not lost again");
    assert_eq!(killed.counters.events_dead.get(), 0);
    for rig in [rig, killed, twice] {
        rig.close();
    }
}

#[test]
fn a_letter_dropped_while_it_is_on_its_way_stays_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig_with_two(dir.path());
    rig.retry(Which::All);
    rig.drop_letters(Which::Sequence(2));
    rig.runtime.block_on(rig.handle().dead_refused(2, refusal(1))).unwrap();
    assert_eq!(rig.numbers(), [3]);
    rig.close();
}

#[test]
fn a_delivered_retry_leaves_the_letters_and_is_counted() {
    let dirs = tempfile::tempdir().unwrap();
    let rig = rig_with_two(&dirs.path().join("a"));
    rig.retry(Which::All);
    rig.runtime.block_on(rig.handle().dead_delivered(2)).unwrap();
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    assert_eq!((killed.numbers(), killed.next_retry()), (vec![3], Some(3)));
    assert_eq!((rig.counters.events_delivered.get(), rig.counters.events_lost.get()), (1, 0));
    killed.close();
    rig.close();
}

#[test]
fn letters_are_bounded_and_those_pushed_out_are_counted_and_not_announced_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    // 256 KiB of a 32 MiB store.
    rig.commit((0..4).map(|_| big_event(Severity::Low, 100_000)).collect(), Vec::new());
    (1..=4).for_each(|sequence| rig.set_aside(sequence));
    assert_eq!(rig.numbers(), [3, 4]);
    assert_eq!((rig.counters.events_dead.get(), rig.counters.events_lost.get()), (4, 2));
    let lost = losses(&rig.read_all());
    assert_eq!(
        lost.iter().map(|lost| (lost.first_sequence, lost.count)).collect::<Vec<_>>(),
        [(1, 1), (2, 1), (3, 1), (4, 1)]
    );
    let rig = rig.reopen();
    assert_eq!(rig.numbers(), [3, 4]);
    rig.close();
}

#[test]
fn an_announcement_that_is_refused_itself_makes_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig_with_two(dir.path());
    let last = rig.status().last_sequence;
    assert_eq!(losses(&rig.read_all()).len(), 2);
    rig.set_aside(11);
    rig.set_aside(12);
    assert_eq!(rig.status().last_sequence, last);
    assert_eq!(rig.counters.events_dead.get(), 4);
    let rig = rig.reopen();
    assert_eq!((rig.numbers(), rig.status().last_sequence), (vec![2, 3, 11, 12], last));
    rig.close();
}

#[test]
fn what_a_refused_announcement_tells_is_told_again_when_its_letter_is_pushed_out() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("a")));
    rig.commit(events(1), Vec::new());
    rig.set_aside(1);
    rig.set_aside(2);
    assert_eq!((rig.numbers(), rig.status().last_sequence), (vec![1, 2], 2));
    // 256 KiB of a 32 MiB store: the first two have to go.
    rig.commit((0..4).map(|_| big_event(Severity::Low, 100_000)).collect(), Vec::new());
    (3..=6).for_each(|sequence| rig.set_aside(sequence));
    assert_eq!(rig.numbers(), [5, 6]);
    let killed = Rig::open(&rig.killed(&dirs.path().join("b")));
    for rig in [rig, killed] {
        let lost = losses(&rig.read_all());
        assert_eq!(lost.iter().map(|lost| lost.first_sequence).min(), Some(1));
        assert_eq!(lost.iter().map(|lost| lost.count).sum::<u64>(), 6, "each once: {lost:?}");
        rig.close();
    }
}

#[test]
fn sent_and_lost_are_all_that_was_produced() {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("0")));
    let mut arrived = BTreeSet::new();
    let mut announced = BTreeSet::new();
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..12 {
        rig.commit(events(20), Vec::new());
        // The forwarder: in order, some refused; killed at some point before the mark is on disk.
        let stop = random.usize(5..25);
        for event in rig.read_all().into_iter().take(stop) {
            let is_loss = matches!(event.data, EventData::EventsLost(_));
            if event.sequence % 4 == 1 && !is_loss {
                rig.runtime.block_on(rig.handle().dead_letter(Arc::clone(&event), refusal(3))).unwrap();
                continue;
            }
            if let EventData::EventsLost(lost) = &event.data {
                announced.extend(lost.first_sequence..=lost.last_sequence);
                assert!(lost.whole_range);
            }
            arrived.insert(event.sequence);
        }
        match rig.letters().first().map(|letter| letter.event.sequence) {
            Some(sequence) if round % 3 == 0 => assert_eq!(rig.drop_letters(Which::Sequence(sequence)), 1),
            Some(sequence) => {
                rig.retry(Which::Sequence(sequence));
                rig.runtime.block_on(rig.handle().dead_delivered(sequence)).unwrap();
                arrived.insert(sequence);
            }
            None => {}
        }
        let next = Rig::open(&rig.killed(&dirs.path().join(format!("{}", round + 1))));
        rig.close();
        rig = next;
    }
    for event in rig.read_all() {
        if let EventData::EventsLost(lost) = &event.data {
            announced.extend(lost.first_sequence..=lost.last_sequence);
        }
        arrived.insert(event.sequence);
    }
    let produced: BTreeSet<u64> = (1..=rig.status().last_sequence).collect();
    assert_eq!(&arrived | &announced, produced);
    // Every letter still there is announced, and nothing else but what a retry brought after all.
    assert!(rig.numbers().iter().all(|letter| announced.contains(letter) && !arrived.contains(letter)));
    rig.close();
}

#[test]
fn letters_of_an_earlier_version_are_read_and_announced_once() {
    #[derive(serde::Serialize)]
    struct Old {
        reason: String,
        attempts: u32,
        time: WallTime,
        event: ciborium::Value,
    }
    let dir = tempfile::tempdir().unwrap();
    let queue = dir.path().join("queue");
    fs::create_dir_all(&queue).unwrap();
    let poison = Event { sequence: 2, ..event("poison") };
    let bytes = crate::event::stored::encode_events(std::slice::from_ref(&poison));
    let old =
        Old { reason: "too large".to_owned(), attempts: 3, time: WallTime(5), event: ciborium::Value::Bytes(bytes) };
    let mut section = vec![1];
    ciborium::into_writer(&[old], &mut section).unwrap();

    let mut generation = Generation::create(&queue, 1, 1, 4, None).unwrap();
    let mut state = State::fresh();
    (state.next_sequence, state.delivered) = (4, 3);
    let meta = Meta { next_sequence: 4, delivered: 3, created: 1, catalogue: vec![generation.entry], store: 0 };
    let mut checkpoint: Frame = state.checkpoint(&meta);
    checkpoint.add(kind::DEAD, &section);
    let place = Place { commit: 1, synced: 0, part: 0, parts: 1 };
    generation.insert(&Packer::new().pack(&checkpoint, place)).unwrap();
    generation.sync().unwrap();
    generation.publish().unwrap();
    drop(generation);

    let mut rig = Rig::open(&config(dir.path()));
    for _ in 0..3 {
        let letters = rig.letters();
        assert_eq!(letters.len(), 1);
        let letter = &letters[0];
        assert_eq!((&*letter.event, letter.reason.as_str(), letter.attempts), (&poison, "too large", 3));
        assert_eq!((letter.time, letter.history.len(), letter.retry), (WallTime(5), 0, false));
        let lost = losses(&rig.read_all());
        assert_eq!(lost.iter().map(|lost| (lost.first_sequence, lost.count)).collect::<Vec<_>>(), [(2, 1)]);
        rig = rig.reopen();
    }
    rig.close();
}
