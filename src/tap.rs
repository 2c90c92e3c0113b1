//! Looking on while the gateway works: what sources receive, what is refused, what readings do to the alarms.
//!
//! Owns the way from those who work to those who look on. Nobody who works ever waits or asks more than one atomic
//! question while nobody looks. What is shown goes into a bounded ring; who reads too slowly loses the oldest and is
//! told how much.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::clock::WallTime;
use crate::config::model::Severity;
use crate::counters::Reject;
use crate::engine::{Accepted, Why};
use crate::event::{Change, Event, EventData};
use crate::reading::{Reading, TimeSource, Value};

/// What waits for the slowest: two turns of the pipeline. At about 500 bytes each this is half a megabyte, and only
/// while somebody looks.
const WAITING_MAX: usize = 1024;

/// Most who look at once.
const LISTENERS_MAX: usize = 8;

/// Bytes shown of a payload or a piece of a serial line; the rest is only counted.
pub const BYTES_SHOWN_MAX: usize = 1024;

/// What is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Shown {
    /// An MQTT payload, or what has come from a serial port, before it is cut into messages.
    Bytes {
        /// The source's name.
        source: String,
        /// The MQTT topic.
        topic: Option<String>,
        /// When it came, RFC 3339.
        time: String,
        /// How many bytes there were.
        length: usize,
        /// The first [`BYTES_SHOWN_MAX`] of them.
        hex: String,
    },
    /// Something a device sent was refused.
    Refused {
        /// The source's name.
        source: String,
        /// The MQTT topic.
        topic: Option<String>,
        /// The counter's label.
        reason: String,
        /// What was found.
        what: String,
    },
    /// A reading, after the alarms have seen it.
    Reading {
        /// When it was measured, RFC 3339.
        time: String,
        /// Whose clock that is.
        time_source: TimeSource,
        /// The sensor's name.
        sensor: String,
        /// The value.
        value: Value,
        /// Its unit.
        unit: Option<String>,
        /// What became of it: `evaluated`, `late`, `not-fresh`, `too-many-sensors`.
        outcome: String,
        /// What each alarm on the sensor made of it.
        alarms: Vec<Why>,
    },
    /// An alarm acted other than on a reading of its own sensor: a delay or a silence had lasted long enough, or the
    /// sensor it is compared with has spoken.
    Acted {
        /// When, RFC 3339.
        time: String,
        /// The sensor's name.
        sensor: String,
        /// The alarm's name.
        alarm: String,
        /// How urgent.
        severity: Severity,
        /// What it told.
        change: Change,
    },
    /// So many of these were not shown: the reader was too slow.
    Missed {
        /// How many.
        count: u64,
    },
}

impl Shown {
    /// The source it is about.
    fn source(&self) -> Option<&str> {
        match self {
            Self::Bytes { source, .. } | Self::Refused { source, .. } => Some(source),
            Self::Reading { sensor, .. } | Self::Acted { sensor, .. } => sensor.split('/').next(),
            Self::Missed { .. } => None,
        }
    }

    /// A reading as the engine has left it.
    pub fn reading(reading: &Reading, accepted: Accepted, mut alarms: Vec<Why>, events: &[Event]) -> Self {
        for event in events.iter().filter(|event| *event.subject == *reading.sensor.as_str()) {
            let EventData::Alarm(data) = &event.data else { continue };
            if let Some(why) = alarms.iter_mut().find(|why| why.alarm == data.alarm) {
                why.acted = Some(data.change);
            }
        }
        Self::Reading {
            time: reading.time.to_string(),
            time_source: reading.time_source,
            sensor: reading.sensor.to_string(),
            value: reading.value.clone(),
            unit: reading.unit.as_deref().map(str::to_owned),
            outcome: match accepted {
                Accepted::Evaluated => "evaluated",
                Accepted::Late => "late",
                Accepted::TooManySensors => "too-many-sensors",
                Accepted::NotFresh => "not-fresh",
            }
            .to_owned(),
            alarms,
        }
    }
}

impl Shown {
    /// An alarm's event by itself; `None` for one of the gateway's own.
    pub fn acted(event: &Event) -> Option<Self> {
        let EventData::Alarm(data) = &event.data else { return None };
        Some(Self::Acted {
            time: event.time.to_string(),
            sensor: event.subject.to_string(),
            alarm: data.alarm.to_string(),
            severity: event.severity,
            change: data.change,
        })
    }
}

type Ring = broadcast::Sender<Arc<Shown>>;

/// Where those who look on are.
#[derive(Debug, Default)]
pub struct Tap {
    listeners: AtomicUsize,
    ring: Mutex<Option<Ring>>,
}

impl Tap {
    /// Whether anybody looks: to be asked before anything is put together for them.
    pub fn is_on(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Shows bytes as they came.
    pub fn bytes(&self, source: &str, topic: Option<&str>, bytes: &[u8], time: WallTime) {
        let mut hex = String::with_capacity(2 * bytes.len().min(BYTES_SHOWN_MAX));
        for byte in bytes.iter().take(BYTES_SHOWN_MAX) {
            let _ = write!(hex, "{byte:02x}");
        }
        self.show(Shown::Bytes {
            source: source.to_owned(),
            topic: topic.map(str::to_owned),
            time: time.to_string(),
            length: bytes.len(),
            hex,
        });
    }

    /// Shows a refusal.
    pub fn refused(&self, source: &str, topic: Option<&str>, reject: Reject, what: &str) {
        let topic = topic.map(str::to_owned);
        let reason = reject.as_str().to_owned();
        self.show(Shown::Refused { source: source.to_owned(), topic, reason, what: what.to_owned() });
    }

    /// Shows a reading, what the alarms say of it and which of them acted.
    pub fn reading(&self, reading: &Reading, accepted: Accepted, whys: Vec<Why>, events: &[Event]) {
        self.show(Shown::reading(reading, accepted, whys, events));
        self.acted(events.iter().filter(|event| *event.subject != *reading.sensor.as_str()));
    }

    /// Shows what alarms did by themselves.
    pub fn acted<'a>(&self, events: impl Iterator<Item = &'a Event>) {
        events.filter_map(Shown::acted).for_each(|shown| self.show(shown));
    }

    /// Begins to look on; of one source, where it is named. `None` when too many do already.
    pub fn listen(self: &Arc<Self>, source: Option<String>, raw: bool) -> Option<Listener> {
        let mut ring = self.ring();
        if self.listeners.load(Ordering::Relaxed) >= LISTENERS_MAX {
            return None;
        }
        let from = ring.get_or_insert_with(|| broadcast::channel(WAITING_MAX).0).subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Some(Listener { tap: Arc::clone(self), from, source, raw })
    }

    /// Sends everybody home.
    pub fn close(&self) {
        self.ring().take();
    }

    fn show(&self, shown: Shown) {
        if let Some(ring) = &*self.ring() {
            // An error means that the last one has just gone.
            let _ = ring.send(Arc::new(shown));
        }
    }

    fn ring(&self) -> MutexGuard<'_, Option<Ring>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who looks on; the last one who goes takes the ring along.
#[derive(Debug)]
pub struct Listener {
    tap: Arc<Tap>,
    from: broadcast::Receiver<Arc<Shown>>,
    source: Option<String>,
    raw: bool,
}

impl Listener {
    /// The next that is wanted; `None` when the gateway stops. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<Shown>> {
        loop {
            match self.from.recv().await {
                Ok(shown) if self.wants(&shown) => return Some(shown),
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => return Some(Arc::new(Shown::Missed { count })),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The next if there is one already.
    pub fn next_ready(&mut self) -> Option<Arc<Shown>> {
        loop {
            match self.from.try_recv() {
                Ok(shown) if self.wants(&shown) => return Some(shown),
                Ok(_) => {}
                Err(TryRecvError::Lagged(count)) => return Some(Arc::new(Shown::Missed { count })),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    fn wants(&self, shown: &Shown) -> bool {
        let raw = matches!(shown, Shown::Bytes { .. });
        (self.raw || !raw) && self.source.as_deref().is_none_or(|source| shown.source() == Some(source))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut ring = self.tap.ring();
        if self.tap.listeners.fetch_sub(1, Ordering::Relaxed) == 1 {
            ring.take();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn bytes(tap: &Tap, source: &str, payload: &[u8]) {
        tap.bytes(source, None, payload, WallTime(0));
    }

    #[test]
    fn nobody_is_shown_anything_before_somebody_looks_and_after_the_last_has_gone() {
        let tap = Arc::new(Tap::default());
        assert!(!tap.is_on());
        bytes(&tap, "a", b"unseen");
        let mut first = tap.listen(None, true).unwrap();
        let second = tap.listen(None, true).unwrap();
        assert!(tap.is_on());
        assert_eq!(first.next_ready(), None);
        drop(second);
        bytes(&tap, "a", b"\x00z");
        let Some(shown) = first.next_ready() else { panic!("nothing") };
        assert!(matches!(&*shown, Shown::Bytes { hex, length: 2, .. } if hex == "007a"));
        drop(first);
        assert!(!tap.is_on() && tap.ring().is_none());
    }

    #[test]
    fn who_is_slow_loses_the_oldest_and_is_told_how_many() {
        let tap = Arc::new(Tap::default());
        let mut slow = tap.listen(Some("a".to_owned()), true).unwrap();
        for _ in 0..WAITING_MAX + 10 {
            bytes(&tap, "a", b"1");
        }
        assert_eq!(slow.next_ready().as_deref(), Some(&Shown::Missed { count: 10 }));
        assert_eq!(std::iter::from_fn(|| slow.next_ready()).count(), WAITING_MAX);
    }

    #[test]
    fn one_source_and_raw_bytes_are_chosen_and_long_ones_are_cut() {
        let tap = Arc::new(Tap::default());
        let mut of_a = tap.listen(Some("a".to_owned()), true).unwrap();
        let mut decoded = tap.listen(None, false).unwrap();
        bytes(&tap, "b", b"1");
        bytes(&tap, "a", &[7; 5000]);
        tap.refused("b", Some("t"), Reject::Empty, "nothing in it");
        let shown = of_a.next_ready().unwrap();
        assert!(matches!(&*shown, Shown::Bytes { hex, length: 5000, .. } if hex.len() == 2 * BYTES_SHOWN_MAX));
        assert_eq!(of_a.next_ready(), None);
        assert!(matches!(&*decoded.next_ready().unwrap(), Shown::Refused { source, .. } if source == "b"));
        assert_eq!(decoded.next_ready(), None);
    }

    #[test]
    fn there_are_never_too_many_and_a_stop_sends_all_home() {
        let tap = Arc::new(Tap::default());
        let mut listeners: Vec<Listener> = (0..LISTENERS_MAX).map(|_| tap.listen(None, false).unwrap()).collect();
        assert!(tap.listen(None, false).is_none());
        tap.close();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(listeners[0].next()), None);
    }
}
