//! What has arrived: counted, ordered and checked, event by event.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::super::envelope::{validate, validate_status};
use super::LOST;

/// Faults that are kept word for word; more are only counted.
const FAULTS_KEPT: usize = 20;

/// One in so many deliveries is checked against its schema by a lean consumer.
const LEAN_CHECKED: u64 = 64;

/// Most bytes of a payload after decompression.
const UNPACKED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// JSON, or a batch in CBOR.
fn read(payload: &[u8]) -> Result<Value, String> {
    match payload.first() {
        Some(0x9f) => ciborium::from_reader(payload).map_err(|error| format!("no CBOR: {error}")),
        _ => serde_json::from_slice(payload).map_err(|error| format!("no JSON: {error}")),
    }
}

/// An event at its first arrival.
#[derive(Clone, Debug)]
pub struct Event {
    /// `id`
    pub id: String,
    /// `sequence`
    pub sequence: u64,
    /// `type`
    pub kind: String,
    /// `subject`
    pub subject: String,
    /// The topic it came on.
    pub topic: String,
    /// The number that the publisher gave the message which caused it (`data.attributes.seq`).
    pub seq: Option<u64>,
    /// All of it.
    pub json: Arc<Value>,
}

impl Event {
    /// A member of `data`.
    pub fn data(&self, name: &str) -> &Value {
        &self.json["data"][name]
    }

    pub(super) fn is_alarm(&self) -> bool {
        self.json["data"].get("alarm").is_some()
    }
}

/// One delivery, the first of an event or a repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `sequence`
    pub sequence: u64,
    /// Marked by `replayed`.
    pub replayed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Deliveries of events, repeats included, in the order of their arrival.
    pub(super) log: Vec<Delivery>,
    /// Messages with events, and the bytes of their payloads.
    pub(super) messages: u64,
    pub(super) payload_bytes: u64,
    /// Deliveries, repeats included.
    pub(super) deliveries: u64,
    /// Deliveries of an event that had arrived before.
    pub(super) repeats: u64,
    /// First deliveries in the order of their arrival.
    pub(super) events: Vec<Event>,
    /// id -> place in `events`.
    pub(super) by_id: HashMap<String, usize>,
    /// sequence -> place in `events`.
    pub(super) by_sequence: BTreeMap<u64, usize>,
    pub(super) by_kind: HashMap<String, u64>,
    /// Highest sequence number so far by subject.
    pub(super) last_sequence: HashMap<String, u64>,
    /// The publishers' numbers so far by subject.
    pub(super) seqs: HashMap<String, BTreeSet<u64>>,
    pub(super) seqs_count: u64,
    /// First deliveries behind a later one of their subject.
    pub(super) out_of_order: u64,
    /// Sum of the counts in all `tidegate.events.lost.v1`.
    pub(super) lost: u64,
    /// The ranges in which they lie.
    pub(super) lost_ranges: Vec<(u64, u64)>,
    /// What must never happen.
    pub(super) faults: Vec<String>,
    pub(super) faults_count: u64,
    /// Retained state by topic: birth and will.
    pub(super) status: HashMap<String, Value>,
    /// See [`Consumer::start_lean`].
    pub(super) is_lean: bool,
}

impl Seen {
    pub(super) fn fault(&mut self, text: String) {
        self.faults_count += 1;
        if self.faults.len() < FAULTS_KEPT {
            self.faults.push(text);
        }
    }

    /// Takes a message: a status, an event or a batch of events, plain or compressed.
    pub(super) fn take(&mut self, topic: String, payload: &[u8]) {
        if !topic.ends_with("/status") {
            self.messages += 1;
            self.payload_bytes += payload.len() as u64;
        }
        let unpacked = match payload {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::bulk::decompress(payload, UNPACKED_BYTES_MAX),
            _ => Ok(payload.to_vec()),
        };
        match unpacked.map_err(|error| error.to_string()).and_then(|plain| read(&plain)) {
            Ok(Value::Array(events)) if events.len() < 2 => self.fault(format!("on {topic}: a batch without company")),
            Ok(Value::Array(events)) => events.into_iter().for_each(|json| self.take_json(topic.clone(), json)),
            Ok(json) => self.take_json(topic, json),
            Err(error) => self.fault(format!("on {topic}: {error}")),
        }
    }

    fn take_json(&mut self, topic: String, json: Value) {
        if topic.ends_with("/status") {
            if let Err(problem) = validate_status(&json) {
                self.fault(format!("on {topic}: {problem}"));
            }
            self.status.insert(topic, json);
            return;
        }
        self.deliveries += 1;
        let checks = !self.is_lean || self.deliveries.is_multiple_of(LEAN_CHECKED);
        if checks && let Err(problem) = validate(&json) {
            return self.fault(format!("on {topic}: {problem}"));
        }
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let event = Event {
            id: text("id"),
            sequence: text("sequence").parse().unwrap_or(0),
            kind: text("type"),
            subject: text("subject"),
            topic,
            seq: json["data"]["attributes"]["seq"].as_u64(),
            json: Arc::new(json),
        };
        self.take_event(event);
    }

    pub(super) fn take_event(&mut self, event: Event) {
        let replayed = event.json.get("replayed").is_some();
        self.log.push(Delivery { sequence: event.sequence, replayed });
        if replayed && !self.by_id.contains_key(&event.id) {
            self.fault(format!("replayed without a first delivery: {}", event.json));
        }
        if let Some(&place) = self.by_id.get(&event.id) {
            self.repeats += 1;
            let first = &self.events[place];
            let differs = !self.is_lean && first.json["data"] != event.json["data"];
            if first.sequence != event.sequence || differs {
                let text = format!("a repeat of {} differs: {} and {}", event.id, first.json, event.json);
                self.fault(text);
            }
            return;
        }
        let place = self.events.len();
        if let Some(other) = self.by_sequence.insert(event.sequence, place) {
            let text = format!("sequence {} has two ids: {} and {}", event.sequence, self.events[other].id, event.id);
            self.fault(text);
        }
        let last = self.last_sequence.entry(event.subject.clone()).or_default();
        let last = std::mem::replace(last, (*last).max(event.sequence));
        let mut is_late = event.sequence < last;
        if is_late {
            self.fault(format!("out of order on {}: sequence {} after {last}", event.subject, event.sequence));
        }
        if let Some(seq) = event.seq {
            let seqs = self.seqs.entry(event.subject.clone()).or_default();
            let highest = seqs.last().copied().unwrap_or(0);
            if seqs.insert(seq) {
                self.seqs_count += 1;
                if seq < highest {
                    is_late = true;
                    self.fault(format!("out of order on {}: message {seq} after {highest}", event.subject));
                }
            }
        }
        self.out_of_order += u64::from(is_late);
        if event.kind == LOST {
            match event.data("count").as_u64() {
                Some(count) => {
                    self.lost += count;
                    let number = |name: &str| event.data(name).as_u64().unwrap_or(0);
                    self.lost_ranges.push((number("first_sequence"), number("last_sequence")));
                }
                None => self.fault(format!("lost events without a count: {}", event.json)),
            }
        }
        *self.by_kind.entry(event.kind.clone()).or_default() += 1;
        self.by_id.insert(event.id.clone(), place);
        let kept = if self.is_lean { Event { json: Arc::default(), ..event } } else { event };
        self.events.push(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CLEARED, EXCEEDED};
    use super::*;

    fn event(sequence: u64, id: u64, subject: &str, seq: u64) -> Event {
        let json = serde_json::json!({ "data": { "alarm": "a", "attributes": { "seq": seq } } });
        Event {
            id: id.to_string(),
            sequence,
            kind: if seq % 2 == 1 { EXCEEDED } else { CLEARED }.to_owned(),
            subject: subject.to_owned(),
            topic: String::new(),
            seq: Some(seq),
            json: Arc::new(json),
        }
    }

    fn faults(events: &[(u64, u64, &str, u64)]) -> Vec<String> {
        let mut seen = Seen::default();
        for &(sequence, id, subject, seq) in events {
            seen.take_event(event(sequence, id, subject, seq));
        }
        seen.faults
    }

    #[test]
    fn a_repeat_is_no_fault_and_is_not_counted_again() {
        assert_eq!(faults(&[(1, 1, "s", 1), (2, 2, "s", 2), (1, 1, "s", 1), (2, 2, "s", 2)]), Vec::<String>::new());
    }

    #[test]
    fn a_first_delivery_behind_a_later_one_of_its_sensor_is_a_fault() {
        assert_eq!(faults(&[(2, 2, "s", 2), (1, 1, "s", 1)]).len(), 2);
        assert!(faults(&[(2, 2, "s", 1), (1, 1, "other", 1)]).is_empty());
    }

    #[test]
    fn a_sequence_number_with_two_ids_is_a_fault() {
        assert_eq!(faults(&[(1, 1, "s", 1), (1, 2, "s", 2)]).len(), 1);
    }

    #[test]
    fn a_repeat_with_other_content_is_a_fault() {
        assert_eq!(faults(&[(1, 1, "s", 1), (1, 1, "s", 2)]).len(), 1);
    }

    #[test]
    fn what_is_no_event_is_a_fault() {
        let status = r#"{"state":"STATE","version":"1","time":"2026-01-02T03:04:05Z","waiting":0,"reason":"lost"}"#;
        let mut seen = Seen::default();
        seen.take("tidegate/gw1/x".to_owned(), b"{");
        seen.take("tidegate/gw1/x".to_owned(), b"{}");
        assert_eq!(seen.faults_count, 2);
        seen.take("tidegate/gw1/status".to_owned(), status.replace("STATE", "online").as_bytes());
        assert_eq!(seen.faults_count, 2);
        seen.take("tidegate/gw1/status".to_owned(), status.replace("STATE", "confused").as_bytes());
        assert_eq!(seen.faults_count, 3);
    }
}
