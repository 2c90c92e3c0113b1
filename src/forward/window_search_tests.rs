//! The window narrows to find an event that the broker does not take.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::tests::{send_all, window_of};
use super::*;

#[test]
fn without_progress_the_window_halves_down_to_one_and_grows_back_with_progress() {
    let mut window = window_of(256, 2_000);
    let mut limits = Vec::new();
    for _ in 0..10 {
        send_all(&mut window);
        window.on_connection_lost(Ending::Blameless);
        limits.push(window.limit());
    }
    assert_eq!(limits, [128, 64, 32, 16, 8, 4, 2, 1, 1, 1]);
    let mut packet_id = 0_u16;
    while window.limit() < 256 {
        while window.next().is_some() {
            packet_id += 1;
            window.on_outgoing(packet_id, 10);
        }
        window.on_puback(packet_id + 1 - u16::try_from(window.inflight()).unwrap());
    }
    assert_eq!(window.delivered(), 255, "1 + 2 + 4 + ... + 128 acknowledgements");
}

#[test]
fn a_loss_while_nothing_was_in_flight_leaves_the_window_alone() {
    let mut window = window_of(256, 1);
    window.on_connection_lost(Ending::Suspicious);
    send_all(&mut window);
    window.on_puback(1);
    window.on_connection_lost(Ending::Suspicious);
    assert_eq!(window.limit(), 256);
}

#[test]
fn an_event_that_alone_ended_three_connections_is_to_be_set_aside() {
    let mut window = window_of(2, 3);
    send_all(&mut window);
    assert_eq!(window.on_connection_lost(Ending::Suspicious), None, "two were in flight");
    for _ in 1..SUSPICIONS_MAX {
        assert_eq!(send_all(&mut window), [1]);
        assert_eq!(window.on_connection_lost(Ending::Suspicious), None);
    }
    assert_eq!(send_all(&mut window), [1]);
    assert_eq!(
        window.on_connection_lost(Ending::Suspicious),
        Some(Quarantine { sequence: 1, item: 1, attempts: SUSPICIONS_MAX })
    );
    window.set_aside(1);
    assert_eq!(window.delivered(), 1);
    assert_eq!(send_all(&mut window), [2]);
}

/// A broker that closes the connection when it gets the event `poison`. `told` says how many of those it took before on a
/// connection are acknowledged in time. Returns the connections it takes until nothing is left, and those set aside.
fn deliver_to_a_closing_broker(
    window: &mut Window<u64>,
    poisons: &[u64],
    mut told: impl FnMut(usize) -> usize,
) -> (u32, Vec<u64>) {
    let (mut connections, mut aside) = (0, Vec::new());
    while !window.is_empty() {
        connections += 1;
        assert!(connections < 1_000, "no end to it");
        let (mut packet_id, mut taken, mut ended) = (0_u16, Vec::new(), false);
        while !ended {
            while let Some((sequence, _)) = window.next() {
                packet_id += 1;
                window.on_outgoing(packet_id, 10);
                ended |= poisons.contains(&sequence);
                if !ended {
                    taken.push(packet_id);
                }
            }
            let count = if ended { told(taken.len()) } else { taken.len() };
            for id in taken.drain(..).take(count) {
                assert!(matches!(window.on_puback(id), Puback::Delivered(_)));
            }
            if window.is_empty() {
                return (connections, aside);
            }
        }
        if let Some(found) = window.on_connection_lost(Ending::Suspicious) {
            aside.push(found.sequence);
            window.set_aside(found.sequence);
        }
    }
    (connections, aside)
}

#[test]
fn one_bad_event_among_thousands_takes_six_connections_and_nothing_else_is_set_aside() {
    for poison in [1, 2, 255, 256, 257, 2_500, 5_000] {
        let mut window = window_of(256, 5_000);
        let (connections, aside) = deliver_to_a_closing_broker(&mut window, &[poison], |taken| taken);
        assert_eq!(aside, [poison]);
        assert!(connections <= 6, "{connections} connections for {poison}");
    }
}

#[test]
fn it_takes_few_connections_also_when_the_last_acknowledgements_are_lost_with_them() {
    for (poison, share) in [(300, 0), (300, 2), (300, 3), (4_999, 0), (4_999, 5)] {
        let mut window = window_of(256, 5_000);
        let told = |taken: usize| taken.checked_div(share).unwrap_or(0);
        let (connections, aside) = deliver_to_a_closing_broker(&mut window, &[poison], told);
        assert_eq!(aside, [poison]);
        assert!(connections <= 10, "{connections} connections for {poison} with {share}");
    }
}

#[test]
fn it_takes_few_connections_also_when_the_broker_closes_before_any_acknowledgement_is_seen() {
    let mut window = window_of(256, 600);
    for _ in 0..2 {
        send_all(&mut window);
        assert_eq!(window.on_connection_lost(Ending::Abrupt), None);
    }
    assert_eq!(window.limit(), 1);
    assert_eq!(send_all(&mut window), [1]);
    assert_eq!((window.on_connection_lost(Ending::Abrupt), window.suspect()), (None, None), "it blames nobody");
    let (connections, aside) = deliver_to_a_closing_broker(&mut window, &[200], |_| 0);
    assert_eq!(aside, [200]);
    assert!(connections <= 6, "{connections} connections");
}

#[test]
fn several_bad_events_take_a_handful_of_connections_each() {
    let poisons = [7, 8, 9, 1_000, 1_001, 3_000];
    let mut window = window_of(256, 5_000);
    let (connections, aside) = deliver_to_a_closing_broker(&mut window, &poisons, |taken| taken);
    assert_eq!(aside, poisons);
    assert!(connections <= 6 * 6, "{connections} connections");
}

#[test]
fn the_search_hurries_only_at_a_broker_that_takes_events() {
    let mut window = window_of(4, 8);
    for _ in 0..2 {
        send_all(&mut window);
        window.on_connection_lost(Ending::Suspicious);
    }
    assert_eq!((window.limit(), window.is_isolating()), (1, false), "it has taken nothing yet");
    send_all(&mut window);
    window.on_puback(1);
    assert!(window.is_isolating());
    for _ in 0..=SUSPICIONS_MAX {
        assert_eq!(send_all(&mut window), [2]);
        if let Some(found) = window.on_connection_lost(Ending::Suspicious) {
            window.set_aside(found.sequence);
        }
    }
    assert_eq!(window.delivered(), 2);
    for _ in 0..3 {
        assert_eq!(send_all(&mut window), [3]);
        window.on_connection_lost(Ending::Suspicious);
        assert!(!window.is_isolating(), "nothing was taken since the last one was set aside");
    }
}

#[test]
fn a_window_of_progress_between_ends_leaves_the_window_wide() {
    let mut window = window_of(64, 1_000);
    for end in 0..10_u16 {
        for sequence in send_all(&mut window) {
            window.on_puback(u16::try_from(sequence).unwrap());
        }
        send_all(&mut window);
        window.on_connection_lost(Ending::Suspicious);
        assert_eq!((window.limit(), window.is_isolating()), (64, false), "end {end}");
    }
}

#[test]
fn a_broken_network_never_makes_an_event_a_suspect() {
    let mut window = window_of(1, 1);
    for _ in 0..100 {
        send_all(&mut window);
        assert_eq!(window.on_connection_lost(Ending::Blameless), None);
    }
}

#[test]
fn an_acknowledgement_clears_the_suspicion() {
    let mut window = window_of(1, 2);
    for _ in 0..2 {
        send_all(&mut window);
        assert_eq!(window.on_connection_lost(Ending::Suspicious), None);
    }
    send_all(&mut window);
    window.on_puback(1);
    window.on_connection_lost(Ending::Suspicious);
    for _ in 0..2 {
        assert_eq!(send_all(&mut window), [2]);
        assert_eq!(window.on_connection_lost(Ending::Suspicious), None);
    }
}
