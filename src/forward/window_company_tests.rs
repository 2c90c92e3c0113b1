#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::tests::window_of;
use super::*;

/// The numbers of the next message of up to so many events.
fn next_message(window: &Window<u64>, events_max: usize) -> Vec<u64> {
    let mut message: Vec<u64> = window.next().map(|(sequence, _)| sequence).into_iter().collect();
    while let Some(last) = message.last().copied().filter(|last| message.len() < events_max && window.may_share(*last))
    {
        match window.next_after(last).filter(|(sequence, _)| window.may_share(*sequence)) {
            Some((sequence, _)) => message.push(sequence),
            None => break,
        }
    }
    message
}

fn send(window: &mut Window<u64>, packet_id: u16, events_max: usize) -> Vec<u64> {
    let message = next_message(window, events_max);
    match message.len() {
        0 => {}
        1 => window.on_outgoing(packet_id, 10),
        _ => window.on_outgoing_together(packet_id, 10, &message),
    }
    message
}

#[test]
fn a_message_counts_once_and_moves_the_mark_as_a_whole() {
    let mut window = window_of(2, 9);
    assert_eq!(send(&mut window, 1, 4), [1, 2, 3, 4]);
    assert_eq!(send(&mut window, 2, 4), [5, 6, 7, 8]);
    assert_eq!((window.inflight(), window.next()), (2, None), "two messages fill a window of two");
    assert_eq!(window.on_puback(2), Puback::DeliveredTogether(vec![5, 6, 7, 8]));
    assert_eq!((window.delivered(), window.next()), (0, None), "what is not at the mark still takes its place");
    assert_eq!(window.on_puback(1), Puback::DeliveredTogether(vec![1, 2, 3, 4]));
    assert_eq!((window.delivered(), window.inflight()), (8, 0));
    assert_eq!(send(&mut window, 3, 4), [9]);
    assert_eq!(window.on_puback(3), Puback::Delivered(9));
    assert!(window.is_empty());
}

#[test]
fn of_a_batch_that_ends_connections_only_the_guilty_event_is_set_aside() {
    let (guilty, events) = (37, 100);
    for limit in [1, 2, 64] {
        let mut window = window_of(limit, events);
        let (mut connections, mut aside) = (0, Vec::new());
        while !window.is_empty() {
            connections += 1;
            assert!(connections < 40, "{limit}: {window:?}");
            let mut packet_id = 0;
            let ending = loop {
                packet_id += 1;
                let message = send(&mut window, packet_id, 10);
                if message.is_empty() {
                    break Ending::Blameless;
                }
                if message.contains(&guilty) {
                    break Ending::Suspicious;
                }
                window.on_puback(packet_id);
            };
            if let Some(quarantine) = window.on_connection_lost(ending) {
                aside.push((quarantine.sequence, quarantine.attempts));
                window.set_aside(quarantine.sequence);
            }
        }
        assert_eq!((aside, window.delivered()), (vec![(guilty, 3)], events), "{limit}");
        assert!(connections <= 8, "{limit}: {connections} connections to find one event");
    }
}

#[test]
fn a_batch_that_is_refused_is_sent_one_by_one_and_then_in_company_again() {
    let mut window = window_of(8, 12);
    assert_eq!(send(&mut window, 1, 4), [1, 2, 3, 4]);
    assert_eq!(send(&mut window, 2, 4), [5, 6, 7, 8]);
    assert_eq!(window.on_refusal(1, Refusal::Never), Refused::Split);
    for sequence in 1..=4 {
        assert_eq!(send(&mut window, 10 + u16::try_from(sequence).unwrap(), 4), [sequence]);
    }
    let Refused::SetAside(quarantine) = window.on_refusal(13, Refusal::Never) else { panic!("{window:?}") };
    assert_eq!(quarantine.sequence, 3);
    window.set_aside(3);
    for packet_id in [11, 12, 14, 2] {
        window.on_puback(packet_id);
    }
    assert_eq!(window.delivered(), 8);
    assert_eq!(send(&mut window, 3, 4), [9, 10, 11, 12]);
    assert_eq!(window.on_refusal(3, Refusal::NotNow), Refused::Again);
    assert_eq!(send(&mut window, 4, 4), [9, 10, 11, 12], "a pause is no reason to part them");
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Acknowledge(Index),
    Refuse(Index, Refusal),
    Lose(Ending),
}

fn step() -> impl Strategy<Value = Step> {
    let refusal =
        prop_oneof![Just(Refusal::NotNow), Just(Refusal::Unclear), Just(Refusal::Forbidden), Just(Refusal::Never)];
    let ending = prop_oneof![Just(Ending::Suspicious), Just(Ending::Abrupt), Just(Ending::Blameless)];
    prop_oneof![
        8 => (1usize..7).prop_map(Step::Send),
        6 => any::<Index>().prop_map(Step::Acknowledge),
        2 => (any::<Index>(), refusal).prop_map(|(index, refusal)| Step::Refuse(index, refusal)),
        1 => ending.prop_map(Step::Lose),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_nothing_is_sent_twice_and_the_mark_passes_nothing_that_is_outstanding(
        limit in 1usize..12,
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let events = 60;
        let mut window = window_of(limit, events);
        let ids = u16::try_from(limit + 4).unwrap();
        let mut last_id = 0;
        let mut inflight: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
        let mut done = BTreeSet::new();
        let nth = |inflight: &BTreeMap<u16, Vec<u64>>, index: Index| *index.get(&inflight.keys().copied().collect::<Vec<_>>());
        for step in steps {
            match step {
                Step::Send(events_max) => {
                    // Sent again after a refusal, the oldest may keep its id for longer than a round of so few.
                    let mut free = (0..ids).map(|step| (last_id + step) % ids + 1);
                    let id = free.find(|id| !inflight.contains_key(id)).unwrap();
                    let message = send(&mut window, id, events_max);
                    if message.is_empty() {
                        continue;
                    }
                    last_id = id;
                    prop_assert!(inflight.insert(id, message.clone()).is_none(), "packet id in use");
                    let others = inflight.iter().filter(|(other, _)| **other != id).flat_map(|(_, all)| all);
                    prop_assert!(message.iter().all(|number| !done.contains(number)));
                    prop_assert!(others.into_iter().all(|other| !message.contains(other)), "sent twice");
                }
                Step::Acknowledge(_) | Step::Refuse(..) if inflight.is_empty() => {}
                Step::Acknowledge(index) => {
                    let id = nth(&inflight, index);
                    let message = inflight.remove(&id).unwrap();
                    let expected = match &message[..] {
                        [one] => Puback::Delivered(*one),
                        _ => Puback::DeliveredTogether(message.clone()),
                    };
                    prop_assert_eq!(window.on_puback(id), expected);
                    done.extend(message);
                    while let Some(quarantine) = window.take_blamed() {
                        prop_assert!(done.insert(quarantine.sequence), "what has arrived is never blamed");
                        window.set_aside(quarantine.sequence);
                    }
                }
                Step::Refuse(index, refusal) => {
                    let id = nth(&inflight, index);
                    let message = inflight.remove(&id).unwrap();
                    if let Refused::SetAside(quarantine) = window.on_refusal(id, refusal) {
                        prop_assert_eq!(&message, &vec![quarantine.sequence], "one in company is never blamed");
                        window.set_aside(quarantine.sequence);
                        done.insert(quarantine.sequence);
                    }
                }
                Step::Lose(ending) => {
                    if let Some(quarantine) = window.on_connection_lost(ending) {
                        let blamed: Vec<_> = inflight.values().flatten().copied().collect();
                        prop_assert_eq!(blamed, vec![quarantine.sequence]);
                        window.set_aside(quarantine.sequence);
                        done.insert(quarantine.sequence);
                    }
                    inflight.clear();
                    last_id = 0;
                }
            }
            prop_assert_eq!(window.inflight(), inflight.len());
            let first_open = (1..=events).find(|number| !done.contains(number)).unwrap_or(events + 1);
            prop_assert_eq!(window.delivered(), first_open - 1);
        }
    }
}
