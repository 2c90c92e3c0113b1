//! Repairing events that were stamped before the time was known.
//!
//! Owns the arithmetic. Pure. An event knows the boot clock at its making, so once the wall clock is right, every time
//! in it that came from the wrong one can be computed. Times that the payload brought are the sensor's own and stay,
//! unless they cannot be true. What identifies an event (id, sequence, correlation) is never touched.

use std::borrow::Cow;
use std::time::Duration;

use uuid::Uuid;

use super::judge::JUMP_MIN;
use super::{BUILT, ClockState, WallTime};
use crate::event::{AlarmData, Event, EventData};
use crate::reading::TimeSource;

/// A payload's stamp this far before the estimate is still believed; the decoders' usual `max_age`.
const STAMP_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A payload's stamp this far after the estimate is still believed; the decoders' usual `max_future_skew`.
const STAMP_AHEAD_MAX: Duration = Duration::from_secs(3600);

/// How far an event's own time can be from the time in its id when both were read off the same clock: the id is cut to
/// the millisecond, and a series of ids holds on to the latest time for a moment when the clock goes back a little.
const SAME_LOOK: i64 = 1_000_000;

/// Knows how far the wall clock, now right, is ahead of the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimator {
    /// The boot it is about.
    pub boot_id: Uuid,
    /// See [`super::judge::base`].
    pub base: i64,
}

impl Estimator {
    /// The event with its times repaired; the event itself where there is nothing to repair or nothing known: it was
    /// stamped by a right clock, or in another boot.
    pub fn repair<'a>(&self, event: &'a Event) -> Cow<'a, Event> {
        if event.clock != ClockState::Unsynchronized || event.boot_id != self.boot_id {
            return Cow::Borrowed(event);
        }
        let boot = i64::try_from(event.boot.0).unwrap_or(i64::MAX);
        let nanos = self.base.saturating_add(boot);
        // To the microsecond, as all our times.
        let estimate = WallTime(nanos - nanos.rem_euclid(1_000));
        let shown = shown_by_id(event.id);
        let ours = shown.is_none_or(|shown| (0..SAME_LOOK).contains(&event.time.0.saturating_sub(shown.0)));
        let wrong = if ours { event.time } else { shown.unwrap_or(event.time) };
        let shift = estimate.0.saturating_sub(wrong.0);
        let mut event = event.clone();
        event.clock = ClockState::Estimated;
        if ours || !is_plausible(event.time, estimate) {
            event.time = estimate;
        }
        if let EventData::Alarm(data) = &mut event.data {
            repair_alarm(data, event.time, shift);
        }
        Cow::Owned(event)
    }
}

fn repair_alarm(data: &mut AlarmData, time: WallTime, shift: i64) {
    let duration = i64::try_from(data.episode.duration_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let by_duration = time.offset(duration.saturating_neg());
    let shifted = data.episode.start.offset(shift);
    if u128::from(shifted.0.abs_diff(by_duration.0)) <= JUMP_MIN.as_nanos() {
        data.episode.start = shifted;
    } else if data.episode.start < BUILT || data.episode.start > time {
        // From before an earlier jump: the boot clock knows how long ago it was.
        data.episode.start = by_duration;
    }
    if data.time_source == TimeSource::Payload {
        return;
    }
    if let Some(value_time) = &mut data.value_time {
        *value_time = value_time.offset(shift).min(time);
    }
    for sample in &mut data.context {
        sample.time = sample.time.offset(shift).min(time);
    }
}

/// What our wall clock said when a UUIDv7 was made.
fn shown_by_id(id: Uuid) -> Option<WallTime> {
    let millis = i64::try_from(id.as_u128() >> 80).ok()?;
    (id.get_version_num() == 7).then(|| WallTime::from_millis(millis))
}

fn is_plausible(stamp: WallTime, estimate: WallTime) -> bool {
    match estimate.since(stamp) {
        Some(age) => age <= STAMP_AGE_MAX,
        None => stamp.since(estimate).is_some_and(|ahead| ahead <= STAMP_AHEAD_MAX),
    }
}

#[cfg(test)]
mod tests;
