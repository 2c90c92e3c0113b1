#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::*;

pub(super) fn window_of(limit: usize, events: u64) -> Window<u64> {
    let mut window = Window::new(limit, 0);
    for sequence in 1..=events {
        assert!(window.offer(sequence, sequence));
    }
    window
}

/// Sends all that fits, packet id = sequence number.
pub(super) fn send_all(window: &mut Window<u64>) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some((sequence, _)) = window.next() {
        window.on_outgoing(u16::try_from(sequence).unwrap(), 10);
        sent.push(sequence);
    }
    sent
}

#[test]
fn the_mark_waits_for_the_oldest_unacknowledged_event() {
    let mut window = window_of(8, 4);
    assert_eq!(send_all(&mut window), [1, 2, 3, 4]);
    assert_eq!(window.on_puback(3), Puback::Delivered(3));
    assert_eq!(window.on_puback(2), Puback::Delivered(2));
    assert_eq!(window.delivered(), 0);
    assert_eq!(window.on_puback(1), Puback::Delivered(1));
    assert_eq!(window.delivered(), 3);
    assert_eq!(window.on_puback(4), Puback::Delivered(4));
    assert_eq!(window.delivered(), 4);
    assert!(window.is_empty());
}

#[test]
fn an_acknowledgement_of_something_else_changes_nothing() {
    let mut window = window_of(8, 2);
    send_all(&mut window);
    assert_eq!(window.on_puback(9), Puback::Unknown);
    assert_eq!(window.on_puback(1), Puback::Delivered(1));
    assert_eq!(window.on_puback(1), Puback::Unknown);
    assert_eq!((window.delivered(), window.inflight()), (1, 1));
}

#[test]
fn after_a_loss_the_unacknowledged_are_sent_again_in_order_and_the_others_are_not() {
    let mut window = window_of(4, 6);
    assert_eq!(send_all(&mut window), [1, 2, 3, 4]);
    window.on_puback(2);
    window.on_puback(3);
    assert_eq!(send_all(&mut window), [0_u64; 0], "the oldest holds the window");
    assert_eq!(window.on_connection_lost(Ending::Blameless), None);
    assert_eq!(send_all(&mut window), [1, 4]);
    window.on_puback(1);
    assert_eq!(window.delivered(), 3);
    assert_eq!(send_all(&mut window), [5, 6]);
}

#[test]
fn a_refused_event_is_sent_again_before_new_ones_and_the_window_shrinks() {
    let mut window = window_of(4, 6);
    assert_eq!(send_all(&mut window), [1, 2, 3, 4]);
    assert_eq!(window.on_refusal(2, Refusal::NotNow), Refused::Again);
    assert_eq!((window.inflight(), window.limit(), window.is_all_sent()), (3, 2, false));
    assert_eq!(send_all(&mut window), [0_u64; 0], "what is in flight fills the smaller window");
    for packet_id in [1, 3, 4] {
        assert!(matches!(window.on_puback(packet_id), Puback::Delivered(_)));
    }
    assert_eq!(window.delivered(), 1);
    assert_eq!(send_all(&mut window), [2, 5], "it goes first; what is done behind it still takes its place");
    window.on_puback(2);
    assert_eq!(window.delivered(), 4);
}

#[test]
fn an_event_refused_for_good_holds_its_place_until_it_is_set_aside() {
    let mut window = window_of(4, 5);
    send_all(&mut window);
    let aside = Quarantine { sequence: 2, item: 2, attempts: 1 };
    assert_eq!(window.on_refusal(2, Refusal::Never), Refused::SetAside(aside));
    assert_eq!(window.on_refusal(2, Refusal::Never), Refused::Unknown);
    window.on_puback(1);
    window.on_puback(3);
    assert_eq!((window.delivered(), window.is_empty()), (1, false));
    window.set_aside(2);
    assert_eq!((window.delivered(), window.inflight()), (3, 1));
    assert_eq!(send_all(&mut window), [5]);
}

#[test]
fn a_broker_that_takes_few_at_a_time_bounds_the_window_for_its_connection() {
    let mut window = window_of(8, 20);
    window.on_connected(3);
    assert_eq!(send_all(&mut window), [1, 2, 3]);
    assert_eq!(window.limit(), 3);
    window.on_connection_lost(Ending::Blameless);
    window.on_connected(1_000);
    assert_eq!(window.limit(), 4, "halved for want of progress, and bound no more");
}

#[test]
fn numbers_may_be_missing_and_repeats_are_refused() {
    let mut window = Window::new(4, 10);
    assert!(!window.offer(10, 10));
    assert!(window.offer(12, 12));
    assert!(!window.offer(12, 12));
    assert!(window.offer(17, 17));
    send_all(&mut window);
    window.on_puback(12);
    assert_eq!(window.delivered(), 12);
    window.on_puback(17);
    assert_eq!(window.delivered(), 17);
}

#[test]
fn setting_aside_the_next_event_lets_those_behind_it_go() {
    let mut window = window_of(4, 3);
    window.on_outgoing(1, 10);
    assert_eq!(window.next(), Some((2, 2)));
    window.set_aside(2);
    assert_eq!(window.next(), Some((3, 3)));
    window.on_outgoing(2, 10);
    window.on_puback(2);
    assert_eq!(window.delivered(), 0);
    window.on_puback(1);
    assert_eq!(window.delivered(), 3);
}

#[test]
fn evicted_events_are_not_sent_again() {
    let mut window = window_of(4, 4);
    send_all(&mut window);
    window.on_connection_lost(Ending::Blameless);
    window.forget_through(2);
    assert_eq!(window.delivered(), 2);
    assert_eq!(send_all(&mut window), [3, 4]);
    window.forget_through(9);
    assert_eq!(window.delivered(), 2, "what is in flight stays in flight");
}

#[test]
fn a_nearly_full_window_is_refilled_in_eighths_while_there_is_more_than_fits() {
    let mut window = window_of(16, 16);
    assert!(!window.waits_for_room(100), "nothing is in flight: nothing would come to end the wait");
    assert_eq!(send_all(&mut window).len(), 16);
    assert!(window.waits_for_room(100), "full");
    assert_eq!(window.on_puback(1), Puback::Delivered(1));
    assert!(window.waits_for_room(2), "one fits and two are there");
    assert!(!window.waits_for_room(1), "all there is fits");
    assert_eq!(window.on_puback(2), Puback::Delivered(2));
    assert!(!window.waits_for_room(100), "an eighth is free");
}

#[test]
fn bytes_in_flight_are_bounded_but_one_event_always_goes() {
    let mut window = window_of(16, 4);
    window.next().unwrap();
    window.on_outgoing(1, 2 * INFLIGHT_BYTES_MAX);
    assert_eq!(window.next(), None);
    window.on_puback(1);
    window.on_outgoing(2, INFLIGHT_BYTES_MAX - 1);
    assert!(window.next().is_some());
    window.on_outgoing(3, 1);
    assert_eq!(window.next(), None);
}

#[test]
fn a_small_start_grows_by_what_is_acknowledged() {
    let mut window = window_of(64, 200);
    window.start_small(8);
    assert_eq!(send_all(&mut window), (1..=8).collect::<Vec<_>>());
    for packet_id in 1..=8 {
        window.on_puback(packet_id);
    }
    assert_eq!(window.limit(), 16);
    assert_eq!(send_all(&mut window), (9..=24).collect::<Vec<_>>());
    window.start_small(32);
    assert_eq!(window.limit(), 16, "it never grows by it");
}
