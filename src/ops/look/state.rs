//! What is shown, as JSON: the whole state, or what has changed since the last look.
//!
//! Owns the looking; the shape (of `/api/v1/state`, and the same in the stream) is in `shape`. `kind` is "full" or "delta"; a delta
//! has the same members without those that have not changed, and of sensors only `added` and `changed`. Times called
//! `boot_ms` and `seen_ms` are of the boot clock, so that ages are right whatever the wall clock does. Asks the engine,
//! and goes on with what it knew when that waits for the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use super::LookAt;
use super::queue::{Queue, Rates, Sample};
use super::shape::{
    Changed, LimitShown, LinkShown, Message, PointShown, QueueShown, RefusedShown, SensorShown, event, hex,
};
use crate::clock::{BootTime, WallTime};
use crate::counters::Counters;
use crate::engine::{AlarmView, LimitView, SensorView};
use crate::ops::board::refused::RefusedInput;
use crate::ops::board::sensors::{BUCKET, POINTS_MAX, Row, Sensors};
use crate::ops::command::Command;
use crate::ops::control::alarms::AlarmLine;
use crate::ops::status::Status;
use crate::reading::own;
use crate::store::history::History;

/// How long the engine may take to answer before a page does without.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);

/// How often the limits are asked for again, which a reload may have changed.
const LIMITS_EVERY: Duration = Duration::from_secs(10);

/// How often the oldest waiting event is looked up: it lies in a file.
const OLDEST_EVERY: Duration = Duration::from_secs(10);

/// Most alarms shown: what nobody could read anyway must not be sent every second.
const ALARMS_MAX: usize = 500;

/// What was last seen of something that the engine or a file had to be asked for.
#[derive(Default)]
struct Known {
    alarms: Vec<AlarmLine>,
    alarms_in_all: usize,
    limits: HashMap<Arc<str>, Vec<LimitView>>,
    limits_at: Option<BootTime>,
    engine_waits: bool,
    /// Sequence number and time.
    oldest: Option<(u64, WallTime)>,
    oldest_at: Option<BootTime>,
    rates: Rates,
}

/// What the pages have been shown.
#[derive(Default)]
struct Shown {
    epoch: u32,
    rows: usize,
    limits_changed: bool,
    alarms: Vec<AlarmLine>,
    refused: u64,
    told: u64,
}

/// Looks, and tells what it saw.
pub struct Looker {
    at: LookAt,
    counters: Arc<Counters>,
    status: Status,
    queue: Queue,
    known: Known,
    shown: Shown,
    /// A question that the engine has not answered yet; there is never more than one of a kind.
    alarms_asked: Option<oneshot::Receiver<Vec<AlarmView>>>,
    sensors_asked: Option<oneshot::Receiver<Vec<SensorView>>>,
}

impl Looker {
    /// Has seen nothing yet.
    pub fn new(at: LookAt, counters: Arc<Counters>) -> Self {
        Self {
            status: (at.status)(),
            at,
            counters,
            queue: Queue::default(),
            known: Known::default(),
            shown: Shown::default(),
            alarms_asked: None,
            sensors_asked: None,
        }
    }

    /// Nobody looks any more.
    pub fn rest(&mut self) {
        self.queue.forget();
    }

    /// Takes a look.
    pub async fn look(&mut self) {
        let now = self.at.clock.boot();
        self.status = (self.at.status)();
        self.known.rates = self.queue.take(Sample {
            at: now,
            delivered: self.counters.events_delivered.get(),
            stored: self.counters.events_stored.get(),
            waiting: self.status.store.waiting,
        });
        self.counters.board.sensors().retain(|name| has_source(&self.status, name));
        let rows = self.counters.board.sensors().rows().len();
        let is_due = |at: Option<BootTime>, every| at.is_none_or(|at| now.since(at) >= every);
        let mut answered = self.ask_alarms(now).await;
        if answered && (is_due(self.known.limits_at, LIMITS_EVERY) || rows != self.shown.rows) {
            answered = self.ask_sensors(now).await;
        }
        self.known.engine_waits = !answered;
        if is_due(self.known.oldest_at, OLDEST_EVERY) {
            self.known.oldest_at = Some(now);
            self.look_up_oldest().await;
        }
    }

    async fn ask_alarms(&mut self, now: BootTime) -> bool {
        let Some(views) = ask(&self.at, &mut self.alarms_asked, Command::Alarms).await else { return false };
        self.known.alarms_in_all = views.len();
        // The most severe first, then the newest.
        let mut views = views;
        views.sort_by_key(|view| std::cmp::Reverse((view.severity, view.since)));
        views.truncate(ALARMS_MAX);
        self.known.alarms = views.into_iter().map(|view| AlarmLine::new(view, now)).collect();
        true
    }

    async fn ask_sensors(&mut self, now: BootTime) -> bool {
        let Some(views) = ask(&self.at, &mut self.sensors_asked, Command::Sensors).await else { return false };
        let mut sensors = self.counters.board.sensors();
        let mut limits = HashMap::with_capacity(views.len());
        for view in views {
            if has_source(&self.status, &view.sensor) {
                sensors.adopt(&view.sensor, view.value.as_ref(), view.unit.as_ref());
                limits.insert(view.sensor, view.limits);
            }
        }
        // New sensors bring theirs; a page has to be told anew only when those it has are others.
        let is_other = |(name, old): (&Arc<str>, &Vec<LimitView>)| limits.get(name).is_some_and(|new| new != old);
        self.shown.limits_changed |= self.known.limits.iter().any(is_other);
        self.known.limits = limits;
        self.known.limits_at = Some(now);
        true
    }

    /// The time of the oldest waiting event, from the store's files, on a thread that may block.
    async fn look_up_oldest(&mut self) {
        if self.status.store.waiting == 0 {
            self.known.oldest = None;
            return;
        }
        let from = self.status.store.delivered + 1;
        if self.known.oldest.is_some_and(|(sequence, _)| sequence == from) {
            return;
        }
        let path = Arc::clone(&self.at.store_path);
        let read = move || {
            let events = History::open(&path)?.read(from, 1, 1)?;
            Ok::<_, std::io::Error>(events.first().map(|event| event.time))
        };
        // A file that is just being replaced is read at the next look.
        let found = tokio::task::spawn_blocking(read).await.ok().and_then(Result::ok).flatten();
        self.known.oldest = found.map(|time| (from, time));
    }

    /// The whole state.
    pub fn full(&self) -> Vec<u8> {
        let sensors = self.counters.board.sensors();
        let rows = sensors.rows().iter().map(|row| self.sensor(row)).collect();
        let (refused, told) = (self.counters.board.refused(), self.counters.board.told());
        let message = Message {
            sensors: Some(rows),
            alarms: Some(&self.known.alarms),
            refused: Some(refused.iter().map(|entry| self.refused(entry)).collect()),
            events: Some(told.iter().map(event).collect()),
            ..self.message("full", sensors.epoch())
        };
        write(&message)
    }

    /// What has changed since this was last called; `None` when so much has that only the whole state will do.
    pub fn delta(&mut self) -> Option<Vec<u8>> {
        let counters = Arc::clone(&self.counters);
        let mut sensors = counters.board.sensors();
        let numbers = sensors.take_changed();
        let known_rows = self.shown.rows.min(sensors.rows().len());
        let is_whole = self.shown.epoch == sensors.epoch() && !std::mem::take(&mut self.shown.limits_changed);
        let (refused, told) = (counters.board.refused(), counters.board.told());
        let rows = sensors.rows();
        let changed = numbers.iter().filter(|number| (**number as usize) < known_rows).map(|number| {
            let row = &rows[*number as usize];
            let seen = row.seen.map_or(0, |seen| seen.0 / 1_000_000);
            Changed(*number, row.value.as_ref(), row.unit.as_deref(), seen, row.newest().map(PointShown::from))
        });
        let is_new_alarm = self.shown.alarms.len() != self.known.alarms.len()
            || self.shown.alarms.iter().zip(&self.known.alarms).any(|(old, new)| old != new);
        let message = Message {
            added_from: (known_rows < rows.len()).then_some(known_rows),
            added: rows[known_rows..].iter().map(|row| self.sensor(row)).collect(),
            changed: changed.collect(),
            alarms: is_new_alarm.then_some(&self.known.alarms[..]),
            refused: (self.shown.refused != refused.revision())
                .then(|| refused.iter().map(|entry| self.refused(entry)).collect()),
            events: (self.shown.told != told.revision()).then(|| told.iter().map(event).collect()),
            ..self.message("delta", sensors.epoch())
        };
        let json = is_whole.then(|| write(&message));
        let shown = Shown {
            epoch: sensors.epoch(),
            rows: rows.len(),
            limits_changed: false,
            alarms: self.known.alarms.clone(),
            refused: refused.revision(),
            told: told.revision(),
        };
        self.shown = shown;
        json
    }

    fn message(&self, kind: &'static str, epoch: u32) -> Message<'_> {
        let clock = &self.at.clock;
        let link = |(name, note): (Arc<str>, crate::ops::board::LinkNote)| {
            let since_ms = clock.wall_at(note.since).as_millis();
            // What keeps a lost one away may be something else by now.
            let now = (!note.up).then(|| self.counters.source(&name).lost_reason.get()).flatten();
            (name, LinkShown { up: note.up, since_ms, reason: now.unwrap_or(note.reason) })
        };
        Message {
            kind,
            epoch,
            boot_ms: clock.boot().0 / 1_000_000,
            wall_ms: clock.wall().as_millis(),
            bucket_ms: BUCKET.as_millis() as u64,
            points_max: POINTS_MAX,
            status: &self.status,
            queue: QueueShown {
                rates: self.known.rates,
                oldest_ms: self.known.oldest.map(|(_, time)| time.as_millis()),
            },
            links: self.counters.board.links().into_iter().map(link).collect(),
            engine_waits: self.known.engine_waits,
            alarms: None,
            alarms_in_all: self.known.alarms_in_all,
            sensors: None,
            added_from: None,
            added: Vec::new(),
            changed: Vec::new(),
            refused: None,
            events: None,
        }
    }

    fn sensor<'a>(&'a self, row: &'a Row) -> SensorShown<'a> {
        let limits = self.known.limits.get(row.name.as_str()).map_or(&[][..], Vec::as_slice);
        let limit = |view: &'a LimitView| LimitShown {
            alarm: &view.alarm,
            severity: view.severity,
            condition: view.condition,
            limit: &view.limit,
        };
        SensorShown {
            name: row.name.as_str(),
            value: row.value.as_ref(),
            unit: row.unit.as_deref(),
            seen_ms: row.seen.map(|seen| seen.0 / 1_000_000),
            limits: limits.iter().map(limit).collect(),
        }
    }

    fn refused<'a>(&self, entry: &'a RefusedInput) -> RefusedShown<'a> {
        RefusedShown {
            source: &entry.source,
            topic: entry.topic.as_deref(),
            reason: entry.reason,
            what: &entry.what,
            raw_hex: hex(&entry.raw),
            length: entry.length,
            times: entry.times,
            at_ms: self.at.clock.wall_at(entry.at).as_millis(),
        }
    }
}

/// Whether a sensor's source is still there; the gateway's own readings come from no configured one.
fn has_source(status: &Status, sensor: &str) -> bool {
    let source = sensor.split('/').next().unwrap_or_default();
    source == own::NAME || status.sources.contains_key(source)
}

/// Asks the engine, or goes on waiting for what was asked before; `None` when it does not answer in time.
async fn ask<T>(
    at: &LookAt,
    asked: &mut Option<oneshot::Receiver<T>>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Option<T> {
    let mut answer = match asked.take() {
        Some(answer) => answer,
        None => {
            let (reply, answer) = oneshot::channel();
            // Full: somebody else waits for the engine, too.
            at.commands.try_send(command(reply)).ok()?;
            answer
        }
    };
    match tokio::time::timeout(ANSWER_WITHIN, &mut answer).await {
        Ok(answered) => answered.ok(),
        Err(_) => {
            *asked = Some(answer);
            None
        }
    }
}

/// The last hour of some rows: `{"epoch": 0, "rows": {"3": [[slot, min, max, last], ...]}}`.
pub fn history(sensors: &Sensors, rows: &[u32], now: BootTime) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer {
        epoch: u32,
        rows: BTreeMap<u32, Vec<PointShown>>,
    }
    let points = |number: &u32| {
        let row = sensors.rows().get(*number as usize)?;
        Some((*number, row.points(now).map(PointShown::from).collect()))
    };
    write(&Answer { epoch: sensors.epoch(), rows: rows.iter().filter_map(points).collect() })
}

fn write(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("invariant: every key of the state is a text")
}

#[cfg(test)]
mod tests;
