//! Recorded readings through the real engine on a virtual clock: what would these alarms have done?
//!
//! Owns the virtual time, the counting of episodes and the comparison of two configurations. Pure: readings go in one
//! by one with the time they came, figures come out. Reading the recordings is [`input`] and [`lines`]; nothing here
//! writes an event anywhere.
//!
//! The clock is driven by the readings: each moves it to its own time, and what the engine has to do in between (delays,
//! silence, schedules) is done at its own moment on the way. A reading that came out of order finds the clock where it
//! is, as it would at a gateway.

pub mod compare;
pub mod input;
pub mod lines;
pub mod tally;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::tz::TimeZone;
use uuid::Uuid;

use crate::clock::{BootTime, ClockState, Now, WallTime};
use crate::config::model::Alarm;
use crate::engine::{Accepted, Engine, Output, Settings};
use crate::reading::Recorded;
use tally::Tally;

/// One configuration's alarms on their way through a recording.
#[derive(Debug)]
pub struct Run {
    engine: Engine,
    out: Output,
    started: WallTime,
    now: Now,
    tally: Tally,
}

impl Run {
    /// Alarms on a gateway that starts at `first`, at which moment nothing is known of any sensor. Reminders
    /// (`repeat_every`) are left out: they raise nothing. So is `hold_off`: a recording begins somewhere in a
    /// gateway's life, not at its start.
    pub fn new(alarms: &[Alarm], time_zone: TimeZone, first: WallTime, sensors_max: usize) -> Self {
        let alarms: Vec<Alarm> = alarms
            .iter()
            .map(|alarm| Alarm { repeat_every: None, hold_off: Duration::ZERO, context: 0, ..alarm.clone() })
            .collect();
        let now = Now { boot: BootTime(0), wall: first, clock: ClockState::Synchronized };
        let settings = Settings { boot_id: Uuid::nil(), started: now, time_zone, seed: 0, sensors_max };
        let engine = Engine::new(settings, &alarms);
        Self { engine, out: Output::default(), started: first, now, tally: Tally::default() }
    }

    /// Takes a reading.
    pub fn take(&mut self, recorded: &Recorded) -> Accepted {
        self.advance(recorded.arrival, false);
        let accepted = self.engine.on_reading(&recorded.reading, self.now, &mut self.out);
        self.note();
        accepted
    }

    /// The figures, as of the last reading's time.
    pub fn finish(mut self) -> Tally {
        self.advance(self.now.wall, true);
        self.tally.close(self.now.boot);
        self.tally
    }

    /// Moves the clock, and lets what is due on the way happen at its time. What is due at the very moment of a reading
    /// waits for it: it may be the sign of life that was missed.
    fn advance(&mut self, to: WallTime, inclusive: bool) {
        let boot = to.since(self.started).map_or(BootTime(0), |since| BootTime(0).after(since)).max(self.now.boot);
        while let Some(deadline) = self.engine.next_deadline() {
            if deadline > boot || (deadline == boot && !inclusive) {
                break;
            }
            self.set_clock(deadline.max(self.now.boot));
            self.engine.on_deadline(self.now, &mut self.out);
            self.note();
        }
        self.set_clock(boot);
    }

    fn set_clock(&mut self, boot: BootTime) {
        self.now.boot = boot;
        self.now.wall = self.started.offset(i64::try_from(boot.0).unwrap_or(i64::MAX));
    }

    fn note(&mut self) {
        if !self.out.events.is_empty() {
            for event in self.out.events.drain(..) {
                self.tally.note(&event);
            }
        }
        self.out.records.clear();
    }
}
