#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::tests::{send_all, window_of};
use super::*;

fn id(sequence: u64) -> u16 {
    u16::try_from(sequence).unwrap()
}

/// Has the broker refuse everything, one round: what is sent, until nothing more is.
fn refuse_all(window: &mut Window<u64>, refusal: Refusal) -> (Vec<u64>, Vec<u64>) {
    let (mut sent, mut aside) = (Vec::new(), Vec::new());
    loop {
        let now = send_all(window);
        if now.is_empty() {
            return (sent, aside);
        }
        for sequence in now {
            sent.push(sequence);
            if let Refused::SetAside(quarantine) = window.on_refusal(id(sequence), refusal) {
                aside.push(quarantine.sequence);
                window.set_aside(quarantine.sequence);
            }
        }
    }
}

fn blamed(window: &mut Window<u64>) -> Vec<u64> {
    std::iter::from_fn(|| window.take_blamed()).map(|quarantine| quarantine.sequence).collect()
}

#[test]
fn nothing_is_set_aside_while_the_broker_takes_nothing_and_everything_is_sent_once_it_does() {
    let mut window = window_of(4, 100);
    let (sent, aside) = refuse_all(&mut window, Refusal::Forbidden);
    // A window of four, of which the first starts the run, and then one by one.
    assert_eq!((sent, aside.len()), ((1..=16).collect(), 0));
    for round in 0_u64..10 {
        window.ask_again();
        let further = (17 + round <= 4 + RUN_MAX as u64).then_some(17 + round);
        assert_eq!(
            refuse_all(&mut window, Refusal::Forbidden).0,
            [Some(1), further].into_iter().flatten().collect::<Vec<_>>()
        );
    }
    assert_eq!((window.kept(), window.limit(), window.has_progress()), (20, 1, false));
    window.ask_again();
    assert_eq!(send_all(&mut window), [1]);
    assert_eq!(window.on_puback(1), Puback::Delivered(1));
    assert_eq!((blamed(&mut window), window.is_refused()), (Vec::new(), false));
    let mut arrived = vec![1];
    while !window.is_empty() {
        for sequence in send_all(&mut window) {
            assert_eq!(window.on_puback(id(sequence)), Puback::Delivered(sequence));
            arrived.push(sequence);
        }
    }
    assert_eq!(arrived, (1..=100).collect::<Vec<_>>());
}

#[test]
fn what_the_broker_says_of_each_event_is_believed_for_a_few_only() {
    let mut window = window_of(4, 100);
    let (_, aside) = refuse_all(&mut window, Refusal::Never);
    assert_eq!(aside, (1..=RUN_MAX as u64).collect::<Vec<_>>());
    window.ask_again();
    assert!(refuse_all(&mut window, Refusal::Never).1.is_empty());
    assert!(window.is_refused());
}

#[test]
fn what_is_refused_is_blamed_when_the_broker_takes_what_stands_behind_it() {
    let mut window = window_of(8, 9);
    assert_eq!(send_all(&mut window).len(), 8);
    for sequence in [1, 2] {
        assert_eq!(window.on_refusal(id(sequence), Refusal::Forbidden), Refused::Kept(sequence, sequence));
    }
    window.on_puback(3);
    assert_eq!(blamed(&mut window), [1, 2]);
    assert!(matches!(window.on_refusal(4, Refusal::Forbidden), Refused::SetAside(_)), "it takes others");
    assert_eq!(window.on_refusal(5, Refusal::Forbidden), Refused::Kept(5, 5), "and has shown that once");
    window.on_puback(6);
    assert_eq!(blamed(&mut window), [5]);
    for sequence in [1, 2, 4, 5] {
        window.set_aside(sequence);
    }
    assert_eq!(window.delivered(), 6);
    for sequence in [7, 8] {
        window.on_puback(sequence);
    }
    assert_eq!(send_all(&mut window), [9]);
}

#[test]
fn what_the_broker_took_on_an_earlier_connection_speaks_against_no_event() {
    let mut window = window_of(1, 3);
    send_all(&mut window);
    window.on_puback(1);
    window.on_connection_lost(Ending::Blameless);
    send_all(&mut window);
    assert_eq!(window.on_refusal(2, Refusal::Forbidden), Refused::Kept(2, 2));
}

#[test]
fn a_broker_that_hangs_up_after_each_refusal_is_given_a_later_event_next() {
    let mut window = window_of(8, 4);
    send_all(&mut window);
    assert_eq!(window.on_refusal(1, Refusal::Forbidden), Refused::Kept(1, 1));
    assert_eq!(window.on_connection_lost(Ending::Suspicious), None);
    assert_eq!(send_all(&mut window), [2]);
    assert_eq!(window.on_refusal(2, Refusal::Forbidden), Refused::Kept(2, 2));
    assert_eq!(send_all(&mut window), [3], "the end shows only later");
    assert_eq!(window.on_connection_lost(Ending::Suspicious), None);
    assert_eq!(send_all(&mut window), [3]);
    window.on_puback(3);
    assert_eq!(blamed(&mut window), [1, 2]);
    // One that refuses several and ends then does not do so each time.
    let mut window = window_of(8, 3);
    send_all(&mut window);
    window.on_refusal(1, Refusal::Forbidden);
    window.on_refusal(2, Refusal::Forbidden);
    window.on_connection_lost(Ending::Suspicious);
    assert_eq!(send_all(&mut window), [1]);
    // An end that is not the broker's says nothing.
    let mut window = window_of(8, 1);
    send_all(&mut window);
    window.on_refusal(1, Refusal::Forbidden);
    assert!(window.offer(2, 2));
    window.on_connection_lost(Ending::Blameless);
    assert_eq!(send_all(&mut window), [1]);
}

#[test]
fn what_is_evicted_during_a_run_is_not_asked_about() {
    let mut window = window_of(4, 30);
    refuse_all(&mut window, Refusal::Forbidden);
    window.forget_through(10);
    assert_eq!((window.delivered(), window.kept()), (10, 6));
    window.ask_again();
    assert_eq!(send_all(&mut window), [11]);
}

#[test]
fn an_event_refused_without_a_reason_is_judged_the_third_time_across_connections() {
    let mut window = window_of(4, 2);
    send_all(&mut window);
    window.on_puback(1);
    assert_eq!(window.on_refusal(2, Refusal::Unclear), Refused::Again);
    assert_eq!(window.on_refusal(2, Refusal::Unclear), Refused::Unknown, "it is not in flight");
    window.on_connection_lost(Ending::Blameless);
    send_all(&mut window);
    for _ in 0..10 {
        assert_eq!(window.on_refusal(2, Refusal::NotNow), Refused::Again, "a quota never counts against it");
        send_all(&mut window);
    }
    assert_eq!(window.on_refusal(2, Refusal::Unclear), Refused::Again);
    send_all(&mut window);
    assert_eq!(window.on_refusal(2, Refusal::Unclear), Refused::Kept(2, 2), "nothing was taken on this connection");
    assert!(window.offer(3, 3));
    assert_eq!(send_all(&mut window), [3]);
    window.on_puback(3);
    let aside = window.take_blamed().unwrap();
    assert_eq!((aside.sequence, aside.attempts, window.take_blamed()), (2, 3, None));
    window.on_connection_lost(Ending::Blameless);
    assert_eq!(send_all(&mut window), [2], "not in the dead letters yet: the broker may say it again");
}
