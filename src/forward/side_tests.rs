#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use super::*;
use crate::config::model::Severity;
use crate::forward::testing::event;

struct Scene {
    sender: SideSender,
    lane: SideLane,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let (sender, receiver) = channel();
        Self { sender, lane: SideLane::new(receiver), now: Instant::now() }
    }

    async fn give(&self, count: u64) -> Vec<oneshot::Receiver<Outcome>> {
        let mut outcomes = Vec::new();
        for sequence in 1..=count {
            let event = Arc::new(event(sequence, 20, Severity::Medium));
            outcomes.push(self.sender.give(event, Mark::Replayed).await.unwrap());
        }
        outcomes
    }

    /// Sends what may be sent; the slots and sequence numbers.
    fn send(&mut self) -> Vec<(u16, u64)> {
        let mut sent = Vec::new();
        while let Some((slot, event, _)) = self.lane.peek() {
            self.lane.on_outgoing(slot, 100, self.now);
            sent.push((slot, event.sequence));
        }
        sent
    }

    fn lose(&mut self, suspicious: bool) -> bool {
        self.lane.on_connection_lost(suspicious, || "the broker closed".to_owned())
    }
}

#[tokio::test]
async fn no_more_than_the_limit_is_in_flight_and_slots_are_used_again() {
    let mut scene = Scene::new();
    let mut first = scene.give(16).await;
    let sent = scene.send();
    assert_eq!(sent.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    let mut late = scene.give(2).await;
    assert!(scene.send().is_empty());
    assert!(scene.lane.on_puback(5));
    assert!(!scene.lane.on_puback(5), "a repeated acknowledgement is nobody's");
    assert_eq!(first[5].try_recv().unwrap(), Outcome::Delivered);
    assert_eq!(scene.send().iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [5]);
    assert_eq!(scene.lane.inflight(), 16);
    assert!(late[0].try_recv().is_err() && first[0].try_recv().is_err());
}

#[tokio::test]
async fn a_few_large_events_fill_the_lane() {
    let mut scene = Scene::new();
    let _outcomes = scene.give(10).await;
    let mut sent = 0;
    while let Some((slot, ..)) = scene.lane.peek() {
        scene.lane.on_outgoing(slot, INFLIGHT_BYTES_MAX / 2, scene.now);
        sent += 1;
    }
    assert_eq!(sent, 2);
}

#[tokio::test]
async fn what_was_in_flight_is_sent_again_in_order_before_what_follows() {
    let mut scene = Scene::new();
    let _outcomes = scene.give(6).await;
    let sent = scene.send();
    scene.lane.on_puback(1);
    assert!(!scene.lose(false));
    let again: Vec<u64> = scene.send().iter().map(|(_, sequence)| *sequence).collect();
    let expected: Vec<u64> = sent.iter().map(|(_, sequence)| *sequence).filter(|s| *s != sent[1].1).collect();
    assert_eq!(again, expected);
}

#[tokio::test]
async fn an_event_nobody_waits_for_is_not_sent() {
    let mut scene = Scene::new();
    let mut outcomes = scene.give(3).await;
    drop(outcomes.remove(1));
    assert_eq!(scene.send().len(), 2);
    assert!(scene.lane.wants_more());
}

#[tokio::test]
async fn an_event_that_cannot_be_sent_is_refused_with_its_reason() {
    let mut scene = Scene::new();
    let mut outcomes = scene.give(2).await;
    assert!(scene.lane.peek().is_some());
    scene.lane.refuse("too large".to_owned());
    assert_eq!(outcomes[0].try_recv().unwrap(), Outcome::Refused("too large".to_owned()));
    assert_eq!(scene.send().len(), 1);
}

#[tokio::test]
async fn the_event_that_ends_three_connections_is_refused_and_the_others_go_on() {
    let mut scene = Scene::new();
    let mut outcomes = scene.give(5).await;
    assert_eq!(scene.send().len(), 5);
    assert!(!scene.lose(true), "five were in flight: nobody knows which it was");
    for attempt in 1..=SUSPICIONS_MAX {
        assert_eq!(scene.send().len(), 1, "one at a time after that");
        assert_eq!(scene.lose(true), attempt == SUSPICIONS_MAX);
    }
    match outcomes[0].try_recv().unwrap() {
        Outcome::Refused(why) => assert!(why.contains("3 connections") && why.contains("the broker closed"), "{why}"),
        Outcome::Delivered => panic!("it was not"),
    }
    // The others are taken, and the lane widens again.
    assert_eq!(scene.send().len(), 1);
    assert!(scene.lane.on_puback(0));
    assert_eq!(scene.send().len(), 2);
    assert_eq!(outcomes[1].try_recv().unwrap(), Outcome::Delivered);
}

#[tokio::test]
async fn an_acknowledgement_clears_a_suspicion_and_a_bad_network_raises_none() {
    let mut scene = Scene::new();
    let mut outcomes = scene.give(1).await;
    for round in 0..2 * SUSPICIONS_MAX {
        assert_eq!(scene.send().len(), 1);
        assert!(!scene.lose(false), "round {round}");
    }
    for _ in 1..SUSPICIONS_MAX {
        scene.send();
        assert!(!scene.lose(true));
    }
    scene.send();
    assert!(scene.lane.on_puback(0));
    assert_eq!(outcomes[0].try_recv().unwrap(), Outcome::Delivered);
    assert!(scene.lane.suspect.is_none());
}

#[tokio::test]
async fn the_oldest_flight_decides_what_is_overdue() {
    let mut scene = Scene::new();
    let _outcomes = scene.give(1).await;
    let limit = Duration::from_secs(20);
    assert!(!scene.lane.is_overdue(scene.now + 2 * limit, limit));
    scene.send();
    assert!(!scene.lane.is_overdue(scene.now + limit / 2, limit));
    assert!(scene.lane.is_overdue(scene.now + limit, limit));
}

#[tokio::test]
async fn a_forwarder_that_is_replaced_leaves_events_unsettled_and_the_next_one_takes_the_rest() {
    let (sender, receiver) = channel();
    let mut scene = Scene { sender, lane: SideLane::new(receiver.clone()), now: Instant::now() };
    let mut outcomes = scene.give(3).await;
    scene.lane.arrival().await;
    let (slot, ..) = scene.lane.peek().unwrap();
    scene.lane.on_outgoing(slot, 100, scene.now);
    scene.lane = SideLane::new(receiver);
    assert_eq!(outcomes[0].try_recv(), Err(oneshot::error::TryRecvError::Closed), "to be given again");
    assert_eq!(scene.send().len(), 2);
    assert!(scene.lane.on_puback(0) && scene.lane.on_puback(1));
    assert_eq!(outcomes[2].try_recv().unwrap(), Outcome::Delivered);
}
