//! The pipeline's one turn: take what the sources have, let the engine step, hand the outcome to the store.
//!
//! Owns the order of things: a commit is reserved before anything is taken from the sources (that is where
//! back-pressure begins), and everything of one turn (events, alarm states, and the acknowledgements of the messages that
//! caused them) is one commit. A turn ends when its commit is large enough, be it in the middle of a message: what is
//! left waits for the next, and a message is acknowledged with the commit that holds the last of it. Never touches the
//! network or the disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::clock::{BootTime, Now, SystemClock};
use crate::config::model::{Alarm, Severity};
use crate::counters::{Counters, Reject};
use crate::engine::{Accepted, Engine, Output};
use crate::event::{Event, EventData, GatewayStarted, SourceChange};
use crate::forward::repeats::{Repeats, Say};
use crate::ops::board::sensors::SENSORS_MAX;
use crate::ops::command::{AlarmCommand, Command};
use crate::ops::hooks::Tap;
use crate::reading::Reading;
use crate::record::Recorder;
use crate::source::FromSource;
use crate::store::handle::{Closed, Commit, StoreHandle};

/// Messages taken at once. Enough that a burst shares one sync, few enough that a turn stays around a millisecond
/// on a Pi.
const MESSAGES_PER_TURN_MAX: usize = 512;

/// Events and alarm states that make a commit large enough: about four megabytes of events, as much as the store
/// writes at once. A commit has at most so many and those of the step that made them so many: one reading's, or
/// what timers and schedules, a command or new rules bring about at once. The engine bounds these by its machines.
const COMMIT_ITEMS_ENOUGH: usize = 4_096;

/// Readings that make a turn long enough, whether or not they cause anything: others get their turn in between.
const READINGS_PER_TURN: usize = 8_192;

/// The engine turns at least this often, so that timers never wait on a suspended machine's monotonic clock and the
/// watchdog sees progress.
const TURN_EVERY: Duration = Duration::from_millis(500);

/// The alarms to take from now on.
pub struct Rules {
    /// All of them.
    pub alarms: Vec<Alarm>,
    /// For schedules.
    pub time_zone: jiff::tz::TimeZone,
}

/// How far the message is that the engine is in the middle of.
#[derive(Debug, Default)]
struct Begun {
    /// So many of its readings are stepped through.
    readings: usize,
    /// They caused something that must be stored.
    causes: bool,
}

/// The task between the sources and the store.
pub struct Pipeline {
    /// The alarms.
    pub engine: Engine,
    /// Keeps the readings, where that is wanted.
    pub recorder: Arc<Recorder>,
    /// Where events go.
    pub store: StoreHandle,
    /// The time.
    pub clock: Arc<SystemClock>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// From the sources; when all of them and the app have dropped their ends, the pipeline ends.
    pub inbox: mpsc::Receiver<FromSource>,
    /// From the control socket.
    pub commands: mpsc::Receiver<Command>,
    /// From the app, after a reload; only the newest counts. Whoever sends does not wait: a full store may keep the
    /// engine waiting for as long as the upstream is away.
    pub rules: watch::Receiver<Rules>,
    /// Events and alarm states to commit first: the start, and what restoring brought to light.
    pub first: Output,
    /// Programs that are run when an alarm changes.
    pub hooks: Tap,
}

impl Pipeline {
    /// Runs until every sender of `inbox` is gone and what they sent is handed to the store.
    pub async fn run(mut self, started: GatewayStarted) -> Result<(), Closed> {
        let now = self.clock.now();
        let mut out = std::mem::take(&mut self.first);
        out.events.insert(
            0,
            self.gateway_event(now, Severity::Info, Arc::from("gateway"), None, EventData::GatewayStarted(started)),
        );
        let mut lost_sources: Vec<(Arc<str>, Uuid)> = Vec::new();
        let mut refusals = Repeats::default();
        let (mut acks, mut arrivals) = (Vec::new(), Vec::new());
        // What was taken from the sources and is not stepped through, the oldest last, and how far that is.
        let mut messages = Vec::with_capacity(MESSAGES_PER_TURN_MAX);
        let mut begun = Begun::default();
        let mut open = true;
        while open {
            let permit = self.store.reserve().await?;
            let (mut command, mut reconfigured) = (None, false);
            if out.events.is_empty() && out.records.is_empty() {
                let wake = tokio::time::sleep(self.until_deadline());
                tokio::select! {
                    biased;
                    // Before the readings: those of a source that came with new rules are judged by them.
                    Ok(()) = self.rules.changed() => reconfigured = true,
                    Some(asked) = self.commands.recv() => command = Some(asked),
                    // What is left is there at once, but all other tasks come first.
                    () = tokio::task::yield_now(), if !messages.is_empty() => {}
                    taken = self.inbox.recv_many(&mut messages, MESSAGES_PER_TURN_MAX), if messages.is_empty() => {
                        open = taken > 0;
                        messages.reverse();
                    }
                    () = wake => {}
                }
            }
            self.counters.engine_turns.add(1);
            let now = self.clock.now();
            if reconfigured {
                let rules = self.rules.borrow_and_update();
                self.engine.reconfigure(&rules.alarms, rules.time_zone.clone(), now, &mut out);
            }
            let mut left = READINGS_PER_TURN;
            while left > 0 && !is_enough(&out) {
                let Some(message) = messages.pop() else { break };
                match message {
                    FromSource::Readings { readings, arrived, ack, room } => {
                        let before = (out.events.len(), out.records.len());
                        let these = &readings[begun.readings..];
                        let these = &these[..these.len().min(left)];
                        let count = self.evaluate(these, now, &mut out, &mut refusals);
                        left -= count;
                        arrivals.extend(out.events[before.0..].iter().map(|_| arrived));
                        begun.readings += count;
                        begun.causes |= before != (out.events.len(), out.records.len());
                        if begun.readings < readings.len() {
                            messages.push(FromSource::Readings { readings, arrived, ack, room });
                            break;
                        }
                        let Begun { causes, .. } = std::mem::take(&mut begun);
                        if self.recorder.is_on() {
                            self.recorder.offer(now.wall, readings);
                        }
                        match ack {
                            // It caused nothing that would have to be stored first. Its source keeps the order.
                            Some(ack) if !causes => ack.release(),
                            ack => acks.extend(ack),
                        }
                    }
                    FromSource::Lost { source, reason } => {
                        self.counters.board.note_link(&source, false, &reason, now.boot);
                        let data = change(&source, reason, Duration::ZERO);
                        let event = self.source_event(now, &source, None, EventData::SourceLost(data));
                        lost_sources.retain(|(name, _)| *name != source);
                        lost_sources.push((source, event.id));
                        out.events.push(event);
                    }
                    FromSource::Restored { source, reason, away } => {
                        let episode = lost_sources.iter().position(|(name, _)| *name == source);
                        let episode = episode.map(|index| lost_sources.swap_remove(index).1);
                        self.counters.board.note_link(&source, true, &reason, now.boot);
                        let data = change(&source, reason, away);
                        out.events.push(self.source_event(now, &source, episode, EventData::SourceRestored(data)));
                    }
                }
            }
            // After the readings, all of them: what a sensor has just said must not find it stale.
            if messages.is_empty() && self.engine.next_deadline().is_some_and(|deadline| deadline <= now.boot) {
                let events = out.events.len();
                self.engine.on_deadline(now, &mut out);
                if self.counters.tap.is_on() {
                    self.counters.tap.acted(out.events[events..].iter());
                }
            }
            let answer = command.map(|command| self.carry_out(command, now, &mut out));
            if !(out.events.is_empty() && out.records.is_empty() && acks.is_empty()) {
                self.counters.events_raised.add(out.events.len() as u64);
                if let Some(mut told) = self.counters.board.note_told().filter(|_| !out.events.is_empty()) {
                    told.note(&out.events);
                }
                out.events.iter().for_each(tell);
                acks.extend(self.hooks.note(&out.events));
                let commit = Commit {
                    events: std::mem::take(&mut out.events),
                    records: std::mem::take(&mut out.records),
                    arrivals: std::mem::take(&mut arrivals),
                    acks: std::mem::take(&mut acks),
                };
                self.store.commit(commit, permit)?;
            }
            if let Some(answer) = answer {
                answer();
            }
        }
        Ok(())
    }

    /// Steps through the readings until they end or `out` is enough for a commit; how many these were.
    fn evaluate(&mut self, readings: &[Reading], now: Now, out: &mut Output, refusals: &mut Repeats) -> usize {
        let mut board = self.counters.board.note_sensors();
        let mut seen = |reading: &Reading, is_value: bool| {
            if let Some(board) = &mut board {
                board.note(reading, is_value, now.boot);
            }
        };
        for (reading, before) in readings.iter().zip(0..) {
            if is_enough(out) {
                return before;
            }
            let events = out.events.len();
            let accepted = self.engine.on_reading(reading, now, out);
            if self.counters.tap.is_on() {
                let whys = self.engine.explain(reading, accepted, now);
                self.counters.tap.reading(reading, accepted, whys, &out.events[events..]);
            }
            match accepted {
                Accepted::Evaluated => {
                    self.counters.readings.add(1);
                    seen(reading, true);
                }
                Accepted::NotFresh => {}
                Accepted::Late => {
                    self.counters.readings_late.add(1);
                    seen(reading, false);
                }
                Accepted::TooManySensors => {
                    self.counters.readings_refused.add(1);
                    let source = reading.sensor.as_str().split('/').next().unwrap_or_default();
                    self.counters.source(&Arc::from(source)).reject(Reject::TooManySensors);
                    if refusals.note(source, now.boot) != Say::Nothing {
                        let sensor = reading.sensor.as_str();
                        let help = "does a device make up names? a restart forgets those that are not used any more";
                        tracing::warn!(source, sensor, help, "new sensor refused: there are as many as can be kept");
                    }
                }
            }
        }
        readings.len()
    }

    /// Does what was asked; the answer it returns is given when the change is handed to the store. Whoever asked may
    /// have given up waiting, which is no error.
    fn carry_out(&mut self, command: Command, now: Now, out: &mut Output) -> Box<dyn FnOnce() + Send> {
        match command {
            Command::Alarm { alarm, sensor, command, done } => {
                let engine = &mut self.engine;
                let changed = match command {
                    AlarmCommand::Acknowledge => engine.acknowledge(&alarm, &sensor, now, out),
                    AlarmCommand::Shelve(time) => engine.shelve(&alarm, &sensor, now.boot.after(time), now, out),
                    AlarmCommand::Unshelve => engine.unshelve(&alarm, &sensor, now, out),
                    AlarmCommand::Suppress => engine.suppress(&alarm, &sensor, now, out),
                    AlarmCommand::Unsuppress => engine.unsuppress(&alarm, &sensor, now, out),
                };
                tracing::info!(alarm, sensor, ?command, changed, "operator's command");
                Box::new(move || done.send(changed).unwrap_or_default())
            }
            Command::Alarms(reply) => {
                let views = self.engine.snapshot();
                Box::new(move || reply.send(views).unwrap_or_default())
            }
            Command::Sensors(reply) => {
                let views = self.engine.sensor_views(SENSORS_MAX);
                Box::new(move || reply.send(views).unwrap_or_default())
            }
        }
    }

    fn until_deadline(&self) -> Duration {
        let deadline = self.engine.next_deadline().unwrap_or(BootTime(u64::MAX));
        deadline.since(self.clock.boot()).min(TURN_EVERY)
    }

    fn source_event(&self, now: Now, source: &str, episode: Option<Uuid>, data: EventData) -> Event {
        let subject = Arc::from(format!("source/{source}"));
        let mut event = self.gateway_event(now, Severity::High, subject, episode, data);
        event.correlation.get_or_insert(event.id);
        event
    }

    fn gateway_event(
        &self,
        now: Now,
        severity: Severity,
        subject: Arc<str>,
        correlation: Option<Uuid>,
        data: EventData,
    ) -> Event {
        let millis = u64::try_from(now.wall.as_millis()).unwrap_or(0);
        let random: [u8; 10] = std::array::from_fn(|_| fastrand::u8(..));
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random);
        Event {
            sequence: 0,
            id: id.into_uuid(),
            subject,
            time: now.wall,
            boot: now.boot,
            boot_id: self.clock.boot_id,
            clock: now.clock,
            severity,
            correlation,
            data,
        }
    }
}

/// Whether it is time to commit.
fn is_enough(out: &Output) -> bool {
    out.events.len() + out.records.len() >= COMMIT_ITEMS_ENOUGH
}

/// A line for each event, for who follows one through the log (`tidegate log-level app=debug`). Not at `info`: a
/// gateway may make thousands in a second.
fn tell(event: &Event) {
    let correlation_id = event.correlation.map(tracing::field::display);
    tracing::debug!(
        event_id = %event.id,
        sensor = %event.subject,
        correlation_id,
        severity = event.severity.as_str(),
        "event {}",
        event.data.event_type()
    );
}

fn change(source: &Arc<str>, reason: String, away: Duration) -> SourceChange {
    SourceChange { source: source.to_string(), reason, away_ms: u64::try_from(away.as_millis()).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests;
