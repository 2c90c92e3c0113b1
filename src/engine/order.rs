//! The order of one sensor's readings: which one is late.
//!
//! Owns the newest trusted stamp of a sensor. A reading stamped before it is late and must not move a state machine.
//! Readings without a trusted stamp are ordered by their arrival and are never late, so the gateway's own wall clock
//! has no say here.
//!
//! A clock that was wrong once must not silence a sensor: one stamp an hour ahead (the decoder lets a tolerance pass),
//! or a device set back by an hour, would make every following reading late. So a run of late readings re-bases the
//! order on itself, when
//! - at least [`LATE_RUN_READINGS`] in a row were late, their stamps advance, over at least [`LATE_RUN_STEADY`], and
//!   no faster than time itself: that is a live sensor with another clock, not a device emptying its memory; or
//! - nothing but late readings has come for [`LATE_RUN_LONGEST`], whatever their stamps do.

use std::time::Duration;

use crate::clock::{BootTime, WallTime};
use crate::reading::{Reading, TimeSource};

/// Late readings in a row before the order may be re-based: one or two happen with any network.
const LATE_RUN_READINGS: u32 = 3;

/// How long a run of late readings with steadily advancing stamps must last.
const LATE_RUN_STEADY: Duration = Duration::from_secs(10);

/// How long a run of late readings can last at most.
const LATE_RUN_LONGEST: Duration = Duration::from_secs(15 * 60);

/// Stamps that advance up to this many times as fast as the boot clock are live (uneven latency); a device that
/// empties its memory is far above.
const PACE_MAX: u32 = 2;

/// The order of one sensor's readings.
#[derive(Debug, Default)]
pub(super) struct Order {
    newest: Option<WallTime>,
    late: Option<Box<LateRun>>,
}

/// Late readings without one in order between them.
#[derive(Debug)]
struct LateRun {
    since: BootTime,
    readings: u32,
    steady_since: BootTime,
    steady_first: WallTime,
    steady_last: WallTime,
    steady_readings: u32,
}

impl Order {
    /// Goes on after a restart from the stamp of a reading known from before.
    pub(super) fn resume(&mut self, time: WallTime) {
        self.newest = Some(time);
    }

    /// Takes note of a reading; true when it is late.
    pub(super) fn is_late(&mut self, reading: &Reading, now: BootTime) -> bool {
        if reading.time_source == TimeSource::Payload {
            if self.newest.is_some_and(|newest| reading.time < newest) && !self.rebases(reading.time, now) {
                return true;
            }
            self.newest = Some(reading.time);
        }
        self.late = None;
        false
    }

    /// Adds to the run of late readings; true when it has become the order.
    fn rebases(&mut self, time: WallTime, now: BootTime) -> bool {
        let Some(run) = &mut self.late else {
            self.late = Some(Box::new(LateRun {
                since: now,
                readings: 1,
                steady_since: now,
                steady_first: time,
                steady_last: time,
                steady_readings: 1,
            }));
            return false;
        };
        run.readings = run.readings.saturating_add(1);
        if time < run.steady_last {
            (run.steady_since, run.steady_first, run.steady_readings) = (now, time, 0);
        }
        run.steady_last = time;
        run.steady_readings = run.steady_readings.saturating_add(1);

        let lasted = now.since(run.steady_since);
        let advanced = time.since(run.steady_first).unwrap_or_default();
        let steady = run.steady_readings >= LATE_RUN_READINGS
            && lasted >= LATE_RUN_STEADY
            && !advanced.is_zero()
            && advanced <= lasted.saturating_mul(PACE_MAX);
        steady || (run.readings >= LATE_RUN_READINGS && now.since(run.since) >= LATE_RUN_LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{SensorId, Value};

    fn late(order: &mut Order, stamp_s: i64, boot_s: u64, time_source: TimeSource) -> bool {
        let reading = Reading {
            sensor: SensorId::new("s"),
            value: Value::Number(1.0),
            unit: None,
            time: WallTime::from_millis(stamp_s * 1000),
            time_source,
            fresh: true,
            attributes: None,
        };
        order.is_late(&reading, BootTime(boot_s * 1_000_000_000))
    }

    #[test]
    fn an_older_stamp_is_late_and_an_equal_one_is_not() {
        let mut order = Order::default();
        assert!(!late(&mut order, 100, 0, TimeSource::Payload));
        assert!(late(&mut order, 99, 1, TimeSource::Payload));
        assert!(!late(&mut order, 100, 2, TimeSource::Payload));
    }

    #[test]
    fn a_reading_without_a_trusted_stamp_is_never_late() {
        let mut order = Order::default();
        assert!(!late(&mut order, 100, 0, TimeSource::Payload));
        assert!(!late(&mut order, 5, 1, TimeSource::Arrival));
        assert!(!late(&mut order, 4, 2, TimeSource::Doubtful));
    }

    #[test]
    fn one_stamp_from_the_future_blinds_a_sensor_for_seconds_only() {
        let mut order = Order::default();
        assert!(!late(&mut order, 3_700, 100, TimeSource::Payload));
        let first = (101..200).find(|second| !late(&mut order, *second as i64, *second, TimeSource::Payload));
        assert_eq!(first, Some(111));
        assert!(!late(&mut order, 112, 112, TimeSource::Payload));
    }

    #[test]
    fn a_device_that_empties_its_memory_stays_late() {
        let mut order = Order::default();
        assert!(!late(&mut order, 100_000, 0, TimeSource::Payload));
        for minute in 0..600 {
            assert!(late(&mut order, minute * 60, 1 + minute as u64 / 10, TimeSource::Payload));
        }
        assert!(!late(&mut order, 100_061, 62, TimeSource::Payload));
    }

    #[test]
    fn a_slow_sensor_set_back_an_hour_is_heard_at_its_third_reading() {
        let mut order = Order::default();
        assert!(!late(&mut order, 10_000, 0, TimeSource::Payload));
        assert!(late(&mut order, 6_700, 300, TimeSource::Payload));
        assert!(late(&mut order, 7_000, 600, TimeSource::Payload));
        assert!(!late(&mut order, 7_300, 900, TimeSource::Payload));
    }

    #[test]
    fn a_stopped_clock_behind_the_newest_stamp_is_heard_in_the_end() {
        let mut order = Order::default();
        assert!(!late(&mut order, 10_000, 0, TimeSource::Payload));
        let first = (1..2000).find(|second| !late(&mut order, 5_000, *second, TimeSource::Payload));
        assert_eq!(first, Some(901));
    }

    #[test]
    fn a_reading_in_order_ends_the_run() {
        let mut order = Order::default();
        let mut heard_late = 0;
        for second in 0..2000 {
            assert!(!late(&mut order, 10_000 + second, second as u64, TimeSource::Payload));
            heard_late += i32::from(!late(&mut order, second, second as u64, TimeSource::Payload));
        }
        assert_eq!(heard_late, 0);
    }
}
