//! What a wall clock that was set means for what the engine remembers: other words for the same moments.
//!
//! Owns moving remembered times of our own into the new setting, so that an event made after it tells one story: its
//! start, its value and its context by the same clock as itself. Times that payloads brought are the sensors' own and
//! stay. Phases and timers run by the boot clock and are not concerned.

use std::time::Duration;

use super::Engine;
use super::sensor::Sensor;
use crate::clock::{Now, WallTime, judge};
use crate::reading::TimeSource;

impl Engine {
    /// Follows the wall clock when it was set since the last call.
    pub(super) fn follow_clock(&mut self, now: Now) {
        let base = judge::base(now.boot, now.wall);
        let before = std::mem::replace(&mut self.wall_base, base);
        if !judge::is_jump(before, base) {
            return;
        }
        let shift = base.saturating_sub(before);
        let shown = WallTime(i64::try_from(now.boot.0).unwrap_or(i64::MAX).saturating_add(before));
        for sensor in &mut self.sensors {
            follow(sensor, now, shown, shift);
        }
        // The weekday and the hour may be others now.
        self.schedule_at = self.schedule_at.map(|_| now.boot);
    }
}

/// `shown` is what the clock would have said now.
fn follow(sensor: &mut Sensor, now: Now, shown: WallTime, shift: i64) {
    for last in sensor.last.iter_mut().chain(sensor.last_number.as_deref_mut()) {
        if last.time_source != TimeSource::Payload {
            last.time = last.time.offset(shift);
        }
    }
    for (sample, time_source) in sensor.ring_mut() {
        if *time_source != TimeSource::Payload {
            sample.time = sample.time.offset(shift);
        }
    }
    for episode in sensor.machines.iter_mut().filter_map(|machine| machine.shown.as_deref_mut()) {
        episode.start = moved_start(episode.start, episode.lasted(now.boot), shown, shift);
    }
}

/// The start of an episode that had lasted so long when our clock showed `shown`. One that began in another boot, or by
/// a payload's stamp, does not fit and stays.
pub(super) fn moved_start(start: WallTime, lasted: Duration, shown: WallTime, shift: i64) -> WallTime {
    let by_us = shown.offset(i64::try_from(lasted.as_nanos()).unwrap_or(i64::MAX).saturating_neg());
    if judge::is_jump(by_us.0, start.0) { start } else { start.offset(shift) }
}
