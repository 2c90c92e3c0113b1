//! The slope of a sensor's values: least squares over the readings of a window.
//!
//! Owns the bounded set of samples and the fit: slope = sum((x - mx)(y - my)) / sum((x - mx)^2), in units per second.
//! The time axis is the sensor's own stamps where it has trusted ones (readings may arrive in bursts), else the boot
//! clock, never the gateway's wall clock, which may jump.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::BootTime;
use crate::reading::{Reading, TimeSource};

/// Samples kept in a window, about: a faster sensor is thinned out evenly. Enough for a smooth fit, 1 KiB a machine.
const SAMPLES_MAX: u32 = 64;

/// The samples must span at least one part in this many of the window: two readings a moment apart have a slope, but
/// it says nothing.
const SPAN_PART: i64 = 2;

/// Which clock the samples' times come from; the two do not mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Stamps,
    Boot,
}

/// The last readings of one sensor, for one window.
#[derive(Debug)]
pub(super) struct Window {
    width_ns: i64,
    axis: Axis,
    touched: BootTime,
    /// Nanoseconds on the axis, value. All but the last are at least a [`SAMPLES_MAX`]th of the window apart.
    samples: VecDeque<(i64, f64)>,
}

impl Window {
    /// An empty window.
    pub(super) fn new(width: Duration) -> Self {
        let width_ns = i64::try_from(width.as_nanos()).unwrap_or(i64::MAX).max(1);
        Self { width_ns, axis: Axis::Boot, touched: BootTime(0), samples: VecDeque::new() }
    }

    /// Takes a reading with the number it carries.
    pub(super) fn push(&mut self, reading: &Reading, number: f64, now: BootTime) {
        let (axis, x) = match reading.time_source {
            TimeSource::Payload => (Axis::Stamps, reading.time.0),
            TimeSource::Arrival | TimeSource::Doubtful => (Axis::Boot, i64::try_from(now.0).unwrap_or(i64::MAX)),
        };
        if axis != self.axis && !self.samples.is_empty() {
            // A single reading whose stamp was unusable is passed over; a sensor that has changed its ways starts anew.
            let width = Duration::from_nanos(self.width_ns.unsigned_abs());
            if now.since(self.touched) < width {
                return;
            }
            self.samples.clear();
        }
        if self.samples.back().is_some_and(|(last, _)| x < *last) {
            // The sensor's clock was set back and its order re-based: old times mean nothing now.
            self.samples.clear();
        }
        self.axis = axis;
        self.touched = now;
        let spacing = self.width_ns / i64::from(SAMPLES_MAX);
        let crowded = match self.samples.len() {
            0 => false,
            1 => x == self.samples[0].0,
            length => x.saturating_sub(self.samples[length - 2].0) < spacing.max(1),
        };
        if crowded {
            self.samples.pop_back();
        }
        self.samples.push_back((x, number));
        // A sample older than the window stays as long as the others do not span enough of it: a sensor that reports
        // only now and then, or only changes, still has a slope.
        while self.samples.len() > 2
            && x.saturating_sub(self.samples[0].0) > self.width_ns
            && x.saturating_sub(self.samples[1].0) >= self.width_ns / SPAN_PART
        {
            self.samples.pop_front();
        }
    }

    /// The slope in units per second; `None` while the samples span too little.
    pub(super) fn slope(&self) -> Option<f64> {
        let (first, last) = (self.samples.front()?.0, self.samples.back()?.0);
        let span = last.saturating_sub(first);
        if span == 0 || span < self.width_ns / SPAN_PART {
            return None;
        }
        let count = self.samples.len() as f64;
        let seconds = |x: i64| x.saturating_sub(first) as f64 / 1e9;
        let mean_x = self.samples.iter().map(|(x, _)| seconds(*x)).sum::<f64>() / count;
        let mean_y = self.samples.iter().map(|(_, y)| y / count).sum::<f64>();
        let (mut xy, mut xx) = (0.0, 0.0);
        for (x, y) in &self.samples {
            let dx = seconds(*x) - mean_x;
            xy += dx * (y - mean_y);
            xx += dx * dx;
        }
        Some(xy / xx).filter(|slope| slope.is_finite())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic, that is how it fails")]

    use super::*;
    use crate::clock::WallTime;
    use crate::reading::{SensorId, Value};

    fn window(width_s: u64) -> Window {
        Window::new(Duration::from_secs(width_s))
    }

    fn push(window: &mut Window, seconds: f64, number: f64, time_source: TimeSource) {
        let nanos = (seconds * 1e9) as i64;
        let reading = Reading {
            sensor: SensorId::new("s"),
            value: Value::Number(number),
            unit: None,
            time: WallTime(nanos),
            time_source,
            fresh: true,
            attributes: None,
        };
        window.push(&reading, number, BootTime(nanos as u64));
    }

    #[test]
    fn a_straight_line_has_its_slope() {
        let mut window = window(60);
        for second in 0..=60 {
            push(&mut window, f64::from(second), 5.0 + 0.25 * f64::from(second), TimeSource::Payload);
        }
        assert!((window.slope().unwrap() - 0.25).abs() < 1e-9);
    }

    #[test]
    fn the_fit_agrees_with_one_worked_out_by_hand() {
        let mut window = window(4);
        for (x, y) in [(0.0, 1.0), (1.0, 3.0), (2.0, 2.0), (4.0, 5.0)] {
            push(&mut window, x, y, TimeSource::Payload);
        }
        // mx = 1.75, my = 2.75; sum dx*dy = 7.75, sum dx^2 = 8.75.
        assert!((window.slope().unwrap() - 7.75 / 8.75).abs() < 1e-12);
    }

    #[test]
    fn two_readings_a_moment_apart_have_no_slope_yet() {
        let mut window = window(60);
        push(&mut window, 0.0, 1.0, TimeSource::Payload);
        push(&mut window, 1.0, 9.0, TimeSource::Payload);
        assert_eq!(window.slope(), None);
        push(&mut window, 30.0, 9.0, TimeSource::Payload);
        assert!(window.slope().is_some());
    }

    #[test]
    fn a_fast_sensor_fills_no_more_than_the_bound() {
        let mut window = window(60);
        for step in 0..100_000 {
            push(&mut window, f64::from(step) * 0.01, f64::from(step) * 0.02, TimeSource::Arrival);
            assert!(window.samples.len() <= SAMPLES_MAX as usize + 3, "{}", window.samples.len());
        }
        assert!((window.slope().unwrap() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_sensor_slower_than_the_window_has_the_slope_between_its_last_readings() {
        let mut window = window(60);
        push(&mut window, 0.0, 0.0, TimeSource::Arrival);
        push(&mut window, 3600.0, 36.0, TimeSource::Arrival);
        assert!((window.slope().unwrap() - 0.01).abs() < 1e-12);
        push(&mut window, 7200.0, 36.0, TimeSource::Arrival);
        assert!(window.slope().unwrap().abs() < 1e-12);
    }

    #[test]
    fn a_reading_without_a_usable_stamp_does_not_spoil_a_stamped_series() {
        let mut window = window(60);
        for second in 0..=40 {
            push(&mut window, f64::from(second), f64::from(second), TimeSource::Payload);
        }
        push(&mut window, 41.0, -500.0, TimeSource::Doubtful);
        assert!((window.slope().unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_clock_set_back_starts_the_window_anew() {
        let mut window = window(60);
        push(&mut window, 1000.0, 0.0, TimeSource::Payload);
        push(&mut window, 1060.0, 60.0, TimeSource::Payload);
        push(&mut window, 10.0, 61.0, TimeSource::Payload);
        assert_eq!(window.slope(), None);
    }
}
