//! The far end: a subscriber at the upstream broker that counts, orders and checks everything that arrives.

mod seen;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

use self::seen::Seen;
pub use self::seen::{Delivery, Event};
use super::mqtt::Door;
use super::subscriber::Subscriber;
use super::wait::holds_within;

/// `tidegate.threshold.exceeded.v1`
pub const EXCEEDED: &str = "tidegate.threshold.exceeded.v1";
/// `tidegate.threshold.cleared.v1`
pub const CLEARED: &str = "tidegate.threshold.cleared.v1";
/// `tidegate.sensor.stale.v1`
pub const STALE: &str = "tidegate.sensor.stale.v1";
/// `tidegate.sensor.recovered.v1`
pub const RECOVERED: &str = "tidegate.sensor.recovered.v1";
/// `tidegate.gateway.started.v1`
pub const STARTED: &str = "tidegate.gateway.started.v1";
/// `tidegate.events.lost.v1`
pub const LOST: &str = "tidegate.events.lost.v1";
/// `tidegate.source.lost.v1`
pub const SOURCE_LOST: &str = "tidegate.source.lost.v1";
/// `tidegate.source.restored.v1`
pub const SOURCE_RESTORED: &str = "tidegate.source.restored.v1";

/// The one who counts; ends with its value.
#[derive(Debug)]
pub struct Consumer {
    seen: Arc<Mutex<Seen>>,
    subscriber: Subscriber,
}

impl Consumer {
    /// Subscribes to everything below `tidegate/`; returns when the broker has confirmed it.
    pub fn start(address: SocketAddr, client_id: &str) -> Self {
        Self::start_by(address.into(), client_id)
    }

    /// The same by a door with TLS or a password.
    pub fn start_by(door: Door, client_id: &str) -> Self {
        Self::start_with(door, client_id, Seen::default())
    }

    /// The same for hundreds of thousands of events: their content is not kept, and only some of them are checked
    /// against their schema; the counting is the same.
    pub fn start_lean(address: SocketAddr, client_id: &str) -> Self {
        Self::start_lean_by(address.into(), client_id)
    }

    /// The same by a door with TLS or a password.
    pub fn start_lean_by(door: Door, client_id: &str) -> Self {
        Self::start_with(door, client_id, Seen { is_lean: true, ..Seen::default() })
    }

    fn start_with(door: Door, client_id: &str, seen: Seen) -> Self {
        let seen = Arc::new(Mutex::new(seen));
        let counted = Arc::clone(&seen);
        let take = move |topic, payload: &[u8]| counted.lock().expect("no holder panics").take(topic, payload);
        Self { seen, subscriber: Subscriber::start(door, client_id, take) }
    }

    /// Ends it and its session, for which the broker would go on keeping every message.
    #[allow(dead_code, reason = "only tests with many consumers of one broker need it")]
    pub fn leave(self) {
        self.subscriber.leave();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// All first deliveries so far, in the order of their arrival.
    pub fn events(&self) -> Vec<Event> {
        self.seen().events.clone()
    }

    /// First deliveries of one type so far.
    pub fn of_kind(&self, kind: &str) -> Vec<Event> {
        self.seen().events.iter().filter(|event| event.kind == kind).cloned().collect()
    }

    /// First deliveries about one subject so far.
    pub fn about(&self, subject: &str) -> Vec<Event> {
        self.seen().events.iter().filter(|event| event.subject == subject).cloned().collect()
    }

    /// How many events of one type have arrived.
    pub fn count(&self, kind: &str) -> u64 {
        self.seen().by_kind.get(kind).copied().unwrap_or(0)
    }

    /// How many different (sensor, publisher's number) pairs have arrived: crossings that made it.
    pub fn crossings(&self) -> u64 {
        self.seen().seqs_count
    }

    /// Deliveries beyond the first of each event.
    pub fn repeats(&self) -> u64 {
        self.seen().repeats
    }

    /// All deliveries so far, repeats included.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.seen().log.clone()
    }

    /// Messages with events that have arrived, and the bytes of their payloads.
    pub fn traffic(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.messages, seen.payload_bytes)
    }

    /// First deliveries behind a later one of their subject.
    pub fn out_of_order(&self) -> u64 {
        self.seen().out_of_order
    }

    /// The highest sequence number that has arrived.
    pub fn highest_sequence(&self) -> u64 {
        self.seen().by_sequence.last_key_value().map_or(0, |(&sequence, _)| sequence)
    }

    /// The last retained state on a topic.
    pub fn status(&self, topic: &str) -> Option<Value> {
        self.seen().status.get(topic).cloned()
    }

    /// Sum of the counts in all `tidegate.events.lost.v1`.
    pub fn announced_lost(&self) -> u64 {
        self.seen().lost
    }

    /// Sequence numbers up to the highest that have not arrived.
    pub fn absent(&self) -> u64 {
        let seen = self.seen();
        let highest = seen.by_sequence.last_key_value().map_or(0, |(&sequence, _)| sequence);
        highest - seen.by_sequence.len() as u64
    }

    /// Sequence numbers up to the highest that have neither arrived nor lie in a range with announced losses; and all
    /// that have not arrived when there are more of them than were announced.
    pub fn unannounced(&self) -> u64 {
        let absent = self.absent();
        if absent > self.announced_lost() {
            return absent;
        }
        let seen = self.seen();
        let mut told = seen.lost_ranges.clone();
        told.sort_unstable();
        let (mut count, mut next, mut told) = (0, 1, told.into_iter().peekable());
        let mut told_through = 0;
        for &arrived in seen.by_sequence.keys() {
            for number in next..arrived {
                while let Some((_, last)) = told.next_if(|(first, _)| *first <= number) {
                    told_through = told_through.max(last);
                }
                count += u64::from(number > told_through);
            }
            next = arrived + 1;
        }
        count
    }

    /// Different events that have arrived.
    pub fn arrived(&self) -> u64 {
        self.seen().events.len() as u64
    }

    /// The highest publisher's number that has arrived about a subject.
    pub fn last_seq(&self, subject: &str) -> Option<u64> {
        self.seen().seqs.get(subject).and_then(|seqs| seqs.last().copied())
    }

    /// Waits for a number of events of one type.
    #[track_caller]
    pub fn wait_for(&self, kind: &str, count: u64, timeout: Duration) {
        let arrived = holds_within(timeout, || self.count(kind) >= count);
        assert!(arrived, "{} of {count} events {kind} within {timeout:?}; {}", self.count(kind), self.summary());
    }

    /// Waits for a number of crossings, however long that takes, as long as there is some progress within `patience`.
    #[track_caller]
    pub fn wait_for_crossings(&self, count: u64, patience: Duration) {
        let arrived = self.arrives(patience, || self.crossings() >= count);
        assert!(arrived, "{} of {count} crossings, then none for {patience:?}; {}", self.crossings(), self.summary());
    }

    /// Whether `condition` comes to hold before nothing new has arrived for `patience`.
    pub fn arrives(&self, patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
        loop {
            let before = self.arrived();
            let mut reached = false;
            holds_within(patience, || {
                reached = condition();
                reached || self.arrived() > before
            });
            if reached || self.arrived() == before {
                return reached;
            }
        }
    }

    /// Nothing has arrived that must not: everything valid, repeats the same as their firsts, one id a sequence number,
    /// order kept for each subject.
    #[track_caller]
    pub fn assert_sound(&self) {
        let seen = self.seen();
        assert!(seen.faults_count == 0, "{} faults, among them:\n{}", seen.faults_count, seen.faults.join("\n"));
    }

    /// [`Consumer::assert_sound`], and nothing is missing: every sequence number from 1 to the highest has arrived,
    /// nothing was announced as lost, and raises and clears of each alarm on each sensor alternate.
    #[track_caller]
    pub fn assert_lossless(&self) {
        self.assert_sound();
        assert_eq!(self.announced_lost(), 0, "events were announced as lost");
        let seen = self.seen();
        let missing = missing(seen.by_sequence.keys().copied());
        assert!(missing.is_empty(), "missing sequence numbers: {missing:?}");
        let mut active: BTreeMap<(String, String), bool> = BTreeMap::new();
        for &place in seen.by_sequence.values() {
            let event = &seen.events[place];
            let raised = match event.kind.as_str() {
                EXCEEDED | STALE => true,
                CLEARED | RECOVERED => false,
                _ => continue,
            };
            let alarm = event.data("alarm").as_str().unwrap_or_default().to_owned();
            let was = active.insert((alarm, event.subject.clone()), raised).unwrap_or(false);
            assert_ne!(was, raised, "raises and clears do not alternate at {}", event.json);
        }
    }

    /// [`Consumer::assert_sound`], and everything is accounted for: what has arrived and what was announced as lost
    /// make up all sequence numbers up to the highest.
    #[track_caller]
    pub fn assert_accounted(&self) {
        self.assert_sound();
        let announced = self.announced_lost();
        let seen = self.seen();
        let highest = seen.by_sequence.last_key_value().map_or(0, |(&sequence, _)| sequence);
        let arrived = seen.by_sequence.len() as u64;
        assert_eq!(arrived + announced, highest, "arrived {arrived} and announced as lost {announced} of {highest}");
    }

    /// Alarm events that have arrived.
    pub fn alarm_events(&self) -> u64 {
        self.seen().events.iter().filter(|event| event.is_alarm()).count() as u64
    }

    /// In a few words what has arrived, for messages.
    pub fn summary(&self) -> String {
        let seen = self.seen();
        let highest = seen.by_sequence.last_key_value().map_or(0, |(&sequence, _)| sequence);
        let gaps = missing(seen.by_sequence.keys().copied());
        format!(
            "{} deliveries, {} events up to sequence {highest}, missing {gaps:?}, {} faults {:?}",
            seen.deliveries,
            seen.events.len(),
            seen.faults_count,
            seen.faults
        )
    }
}

/// The first few numbers from 1 on that are not in an ascending series.
fn missing(numbers: impl Iterator<Item = u64>) -> Vec<std::ops::RangeInclusive<u64>> {
    let mut gaps = Vec::new();
    let mut expected = 1;
    for number in numbers {
        if number > expected {
            gaps.push(expected..=number - 1);
        }
        expected = number + 1;
    }
    gaps.truncate(10);
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found() {
        assert_eq!(missing([1, 2, 5, 6, 9].into_iter()), [3..=4, 7..=8]);
        assert_eq!(missing([2].into_iter()), [1..=1]);
    }
}
