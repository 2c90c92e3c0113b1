//! The far end: counts what arrives without keeping it, a bit for each reading.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Deserialize;

use crate::plan::Plan;
use crate::support::subscriber::Subscriber;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    sequence: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    attributes: Option<Attributes>,
    count: Option<u64>,
}

#[derive(Deserialize)]
struct Attributes {
    seq: u64,
}

/// What has arrived of one sensor.
#[derive(Clone, Debug, Default)]
struct Sensor {
    /// A bit for each reading.
    readings: Vec<u64>,
    highest: u64,
    highest_sequence: u64,
}

/// The counts.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    sensors: Vec<Sensor>,
    /// Readings whose event has arrived.
    pub arrived: u64,
    /// Deliveries beyond the first of a reading's event.
    pub repeats: u64,
    /// First deliveries behind a later one of their sensor, by the reading's number or the event's.
    pub out_of_order: u64,
    /// Announced as lost.
    pub announced: u64,
    /// Events that are not about a reading: starts, sources lost and restored.
    pub others: u64,
    /// What cannot be read, or is about no sensor of the plant.
    pub strange: u64,
}

impl Counts {
    fn take(&mut self, plan: &Plan, payload: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Envelope<'_>>(payload) else {
            self.strange += 1;
            return;
        };
        let Some(Attributes { seq }) = event.data.attributes else {
            self.others += 1;
            if event.kind == "tidegate.events.lost.v1" {
                self.announced += event.data.count.unwrap_or(1);
            }
            return;
        };
        let (Some(sensor), Ok(sequence)) = (plan.sensor(&event.subject), event.sequence.parse::<u64>()) else {
            self.strange += 1;
            return;
        };
        let sensor = &mut self.sensors[sensor];
        let (place, bit) = (usize::try_from(seq / 64).unwrap(), 1 << (seq % 64));
        if sensor.readings.len() <= place {
            sensor.readings.resize(place + 1, 0);
        }
        if sensor.readings[place] & bit != 0 {
            self.repeats += 1;
            return;
        }
        sensor.readings[place] |= bit;
        self.arrived += 1;
        self.out_of_order += u64::from(seq < sensor.highest || sequence < sensor.highest_sequence);
        sensor.highest = sensor.highest.max(seq);
        sensor.highest_sequence = sensor.highest_sequence.max(sequence);
    }
}

/// The one who counts; ends with its value.
pub struct Tally {
    counts: Arc<Mutex<Counts>>,
    _subscriber: Subscriber,
}

impl Tally {
    /// Subscribes; returns when the broker has confirmed it.
    pub fn start(plan: &Plan, address: SocketAddr) -> Self {
        let sensors = vec![Sensor::default(); usize::try_from(plan.sensors).unwrap()];
        let counts = Arc::new(Mutex::new(Counts { sensors, ..Counts::default() }));
        let (plan, counted) = (plan.clone(), Arc::clone(&counts));
        let take = move |topic: String, payload: &[u8]| {
            if !topic.ends_with("/status") {
                counted.lock().expect("no holder panics").take(&plan, payload);
            }
        };
        Self { counts, _subscriber: Subscriber::start(address.into(), "tally", take) }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no holder panics")
    }

    /// Readings whose event has arrived.
    pub fn arrived(&self) -> u64 {
        self.lock().arrived
    }

    /// All counts.
    pub fn counts(&self) -> Counts {
        Counts { sensors: Vec::new(), ..*self.lock() }
    }
}
