//! The demo's books: what must arrive upstream, what has arrived, and what that says about the gateway.
//!
//! Pure: the simulated sensors say what they send, the subscriber says what it received, both with the time. A sensor's
//! readings are numbered from 1; an event is found again by its sensor and that number, which the gateway carries.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What the subscriber read in one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `type`.
    pub kind: String,
    /// The sensor, or what else it is about.
    pub subject: String,
    /// The gateway's number.
    pub sequence: u64,
    /// The sensor's own number of the reading, for an alarm.
    pub seq: Option<u64>,
    /// The value and its unit, as text.
    pub value: String,
    /// Whether it waited for an outage to end.
    pub backlog: bool,
}

impl Arrival {
    /// Reads a CloudEvent in JSON.
    ///
    /// # Errors
    ///
    /// In words, what is missing.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        let event: Value = serde_json::from_slice(payload).map_err(|error| format!("no JSON: {error}"))?;
        let text = |name: &str| {
            event[name].as_str().map(str::to_owned).ok_or_else(|| format!("no `{name}` in an event: {event}"))
        };
        let data = &event["data"];
        let unit = data["unit"].as_str().unwrap_or_default();
        Ok(Self {
            id: text("id")?,
            kind: text("type")?,
            subject: text("subject")?,
            sequence: text("sequence")?.parse().map_err(|_| format!("`sequence` is no number: {event}"))?,
            seq: number(&data["attributes"]["seq"]),
            value: format!("{} {unit}", data["value"]),
            backlog: event["backlog"].as_bool().unwrap_or_default(),
        })
    }

    /// The type without what all types have.
    pub fn short_kind(&self) -> &str {
        self.kind.trim_start_matches("tidegate.").trim_end_matches(".v1")
    }
}

/// A carried number; a line of text may have carried it as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// What an arrival is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One that had to come.
    Expected,
    /// One that had come before, with the same id.
    Repeated,
    /// From before counting began, or about the gateway itself.
    Other,
    /// An alarm that no reading of ours should have made.
    Unexpected,
}

/// One sensor's page.
#[derive(Debug, Default)]
struct Page {
    /// Crossings by the reading's number: when it was sent, and whether it has arrived.
    crossings: BTreeMap<u64, (Instant, bool)>,
    /// Last number sent.
    last_seq: u64,
    /// Numbers up to here are not counted.
    before_begin: u64,
    /// Highest sequence number that has arrived.
    highest_sequence: u64,
    /// Whether any event has arrived.
    heard: bool,
}

/// The books.
#[derive(Debug, Default)]
pub struct Ledger {
    pages: BTreeMap<String, Page>,
    ids: HashSet<String>,
    readings: u64,
    counting: bool,
    total: Totals,
    delays: Vec<Duration>,
}

/// What the books say in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Readings sent since counting began.
    pub readings: u64,
    /// Events they had to make.
    pub raised: u64,
    /// The gateway's highest sequence number: all events it has stored, its own and those before counting included.
    pub stored: u64,
    /// Of `raised`, those that have arrived.
    pub delivered: u64,
    /// Of `delivered`, those that had waited for an outage to end.
    pub backlog: u64,
    /// Of `raised`, those that have not arrived.
    pub lost: u64,
    /// Arrivals with an id that had arrived before.
    pub repeated: u64,
    /// First arrivals after a later event of the same sensor.
    pub out_of_order: u64,
    /// Alarms that no reading should have made.
    pub unexpected: u64,
    /// Half of the events that did not wait took at most this long from the sensor to the subscriber.
    pub median_delay: Option<Duration>,
}

impl Ledger {
    /// Opens a page for each sensor.
    pub fn new(sensors: impl IntoIterator<Item = String>) -> Self {
        Self { pages: sensors.into_iter().map(|sensor| (sensor, Page::default())).collect(), ..Self::default() }
    }

    /// The number that the next reading of `sensor` has.
    pub fn next_seq(&self, sensor: &str) -> u64 {
        self.pages.get(sensor).map_or(1, |page| page.last_seq + 1)
    }

    /// Whether an event of `sensor` has arrived: the way is open from end to end.
    pub fn has_heard(&self, sensor: &str) -> bool {
        self.pages.get(sensor).is_some_and(|page| page.heard)
    }

    /// Whether that holds for all.
    pub fn has_heard_all(&self) -> bool {
        self.pages.values().all(|page| page.heard)
    }

    /// From now on everything counts.
    pub fn begin(&mut self) {
        self.counting = true;
        for page in self.pages.values_mut() {
            page.before_begin = page.last_seq;
        }
    }

    /// `sensor` has sent its next reading; `crosses` says whether that must make an event.
    pub fn sent(&mut self, sensor: &str, crosses: bool, now: Instant) {
        let page = self.pages.entry(sensor.to_owned()).or_default();
        page.last_seq += 1;
        if !self.counting {
            return;
        }
        self.readings += 1;
        if crosses {
            page.crossings.insert(page.last_seq, (now, false));
            self.total.raised += 1;
        }
    }

    /// An event has arrived.
    pub fn arrived(&mut self, arrival: &Arrival, now: Instant) -> Verdict {
        self.total.stored = self.total.stored.max(arrival.sequence);
        if !self.ids.insert(arrival.id.clone()) {
            self.total.repeated += 1;
            return Verdict::Repeated;
        }
        let Some(page) = self.pages.get_mut(&arrival.subject) else { return Verdict::Other };
        if arrival.sequence < page.highest_sequence {
            self.total.out_of_order += 1;
        }
        page.highest_sequence = page.highest_sequence.max(arrival.sequence);
        page.heard = true;
        let Some(seq) = arrival.seq else { return Verdict::Other };
        match page.crossings.get_mut(&seq) {
            Some((sent, arrived @ false)) => {
                *arrived = true;
                self.total.delivered += 1;
                if arrival.backlog {
                    self.total.backlog += 1;
                } else {
                    self.delays.push(now.saturating_duration_since(*sent));
                }
                Verdict::Expected
            }
            None if seq <= page.before_begin || !self.counting => Verdict::Other,
            _ => {
                self.total.unexpected += 1;
                Verdict::Unexpected
            }
        }
    }

    /// How long an expected event took.
    pub fn delay(&self, sensor: &str, seq: u64, now: Instant) -> Option<Duration> {
        let (sent, _) = self.pages.get(sensor)?.crossings.get(&seq)?;
        Some(now.saturating_duration_since(*sent))
    }

    /// Events that must come and have not.
    pub fn waiting(&self) -> u64 {
        self.total.raised - self.total.delivered
    }

    /// The sums so far.
    pub fn totals(&self) -> Totals {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        Totals {
            readings: self.readings,
            lost: self.waiting(),
            median_delay: delays.get(delays.len() / 2).copied(),
            ..self.total
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENSOR: &str = "plant/press-1/temperature";

    fn event(id: &str, sequence: u64, seq: u64) -> Arrival {
        let event = serde_json::json!({
            "id": id, "type": "tidegate.threshold.exceeded.v1", "subject": SENSOR,
            "sequence": format!("{sequence:020}"), "backlog": sequence > 10,
            "data": {"value": 82.5, "unit": "°C", "attributes": {"seq": seq}},
        });
        Arrival::read(event.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Three readings of which the first and the last cross; one more came before counting began.
    fn ledger(now: Instant) -> Ledger {
        let mut ledger = Ledger::new([SENSOR.to_owned()]);
        ledger.sent(SENSOR, true, now);
        ledger.begin();
        for crosses in [true, false, true] {
            ledger.sent(SENSOR, crosses, now);
        }
        ledger
    }

    #[test]
    fn what_had_to_come_and_came_is_delivered_and_the_rest_is_lost() {
        let now = Instant::now();
        let mut ledger = ledger(now);
        assert!(!ledger.has_heard_all());
        assert_eq!(ledger.arrived(&event("a", 1, 1), now), Verdict::Other);
        assert_eq!(ledger.arrived(&event("b", 2, 2), now + Duration::from_millis(3)), Verdict::Expected);
        assert!(ledger.has_heard_all());
        assert_eq!(ledger.waiting(), 1);
        let totals = ledger.totals();
        assert_eq!((totals.readings, totals.raised, totals.delivered, totals.lost), (3, 2, 1, 1));
        assert_eq!((totals.stored, totals.median_delay), (2, Some(Duration::from_millis(3))));
        assert_eq!(ledger.arrived(&event("c", 11, 4), now), Verdict::Expected);
        assert_eq!((ledger.totals().lost, ledger.totals().backlog), (0, 1));
    }

    #[test]
    fn a_repeat_has_the_same_id_and_anything_else_is_unexpected() {
        let now = Instant::now();
        let mut ledger = ledger(now);
        ledger.arrived(&event("b", 2, 2), now);
        assert_eq!(ledger.arrived(&event("b", 2, 2), now), Verdict::Repeated);
        assert_eq!(ledger.arrived(&event("x", 3, 2), now), Verdict::Unexpected);
        assert_eq!(ledger.arrived(&event("y", 4, 3), now), Verdict::Unexpected);
        assert_eq!((ledger.totals().repeated, ledger.totals().unexpected), (1, 2));
    }

    #[test]
    fn an_event_after_a_later_one_of_its_sensor_is_out_of_order() {
        let now = Instant::now();
        let mut ledger = ledger(now);
        ledger.arrived(&event("c", 5, 4), now);
        ledger.arrived(&event("b", 4, 2), now);
        assert_eq!((ledger.totals().out_of_order, ledger.totals().lost), (1, 0));
    }

    #[test]
    fn an_event_without_its_attributes_is_told_in_words() {
        assert!(Arrival::read(b"{").is_err());
        assert!(
            Arrival::read(br#"{"id":"a","type":"t","subject":"s"}"#).is_err_and(|error| error.contains("sequence"))
        );
    }
}
