//! Random work against a model that fits on a page.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Commit { events: usize, bytes: usize, record: u8, state: Vec<u8> },
    Read { back: u64, most: usize },
    Delivered { back: u64 },
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..200_usize, 0..4_000_usize, 0..5_u8, prop::collection::vec(any::<u8>(), 0..3))
            .prop_map(|(events, bytes, record, state)| Step::Commit { events, bytes, record, state }),
        3 => (0..600_u64, 1..300_usize).prop_map(|(back, most)| Step::Read { back, most }),
        2 => (0..300_u64).prop_map(|back| Step::Delivered { back }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

fn run(steps: Vec<Step>) {
    let dirs = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(&dirs.path().join("0")));
    // The model: events by number, alarm states, the delivered mark.
    let mut stored: BTreeMap<u64, Event> = BTreeMap::new();
    let mut states: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut delivered = 0;
    for (number, step) in steps.into_iter().enumerate() {
        let last = stored.last_key_value().map_or(0, |(last, _)| *last);
        match step {
            Step::Commit { events, bytes, record: name, state } => {
                let new: Vec<Event> = (0..events).map(|_| big_event(Severity::Low, bytes)).collect();
                rig.commit(new.clone(), vec![record(&name.to_string(), "s", &state)]);
                stored.extend((last + 1..).zip(new).map(|(sequence, event)| (sequence, Event { sequence, ..event })));
                if state.is_empty() {
                    states.remove(&name)
                } else {
                    states.insert(name, state)
                };
            }
            Step::Read { back, most } => {
                let from = last.saturating_sub(back).max(delivered + 1);
                let read = rig.read(from, most);
                let wanted: Vec<&Event> = stored.range(from..).take(most).map(|(_, event)| event).collect();
                assert_eq!(read.iter().map(|event| &**event).collect::<Vec<_>>(), wanted);
            }
            Step::Delivered { back } => {
                rig.delivered(last.saturating_sub(back));
                delivered = last.saturating_sub(back).max(delivered);
                let waiting = last - delivered;
                rig.wait("delivered", |status| status.delivered == delivered && status.waiting == waiting);
            }
            Step::Reopen | Step::Kill => {
                rig = if matches!(step, Step::Reopen) {
                    rig.reopen()
                } else {
                    let next = Rig::open(&rig.killed(&dirs.path().join(format!("{number}x"))));
                    fs::remove_dir_all(rig.close().path).unwrap();
                    next
                };
                let status = rig.status();
                assert_eq!(status.last_sequence, last);
                // The mark may be a second old, never too far.
                assert!(status.delivered <= delivered);
                if matches!(step, Step::Reopen) {
                    assert_eq!(status.delivered, delivered);
                }
                delivered = status.delivered;
                let records: Vec<_> =
                    states.iter().map(|(name, state)| record(&name.to_string(), "s", state)).collect();
                assert_eq!(rig.opened.records, records);
                assert_eq!(rig.opened.findings, Vec::<String>::new());
                let all = rig.read_all();
                assert_eq!(sequences(&all), (delivered + 1..=last).collect::<Vec<_>>());
            }
        }
        assert_eq!(rig.counters.events_lost.get(), 0);
    }
    rig.close();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_a_list_in_memory_does(steps in prop::collection::vec(step(), 1..25)) {
        run(steps);
    }
}
