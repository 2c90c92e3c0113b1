//! One alarm on one sensor, by the clock.

use std::time::Duration;

use super::support::*;
use crate::clock::{BootTime, ClockState, Now, WallTime};
use crate::config::model::{Alarm, Condition, RateDirection, ScheduleSpan, SetPoint};
use crate::engine::Accepted;
use crate::event::{AlarmState, Change};
use crate::reading::{Reading, TimeSource, Value};

#[test]
fn without_delays_a_single_reading_raises_and_a_single_one_clears() {
    let mut rig = Rig::new(&[high(8.0)]);
    assert_eq!(rig.read(1, 7.0), SILENCE);
    assert_eq!(rig.read(2, 8.0), SILENCE, "at the limit");
    assert_eq!(rig.read(3, 8.1), ["high Raised"]);
    assert_eq!(rig.read(4, 9.0), SILENCE);
    assert_eq!(rig.read(5, 8.0), ["high Cleared"]);
    assert_eq!(rig.read(6, 8.1), ["high Raised"], "again");
}

#[test]
fn within_the_deadband_an_active_alarm_stays_active() {
    let mut rig = Rig::new(&[Alarm { deadband: 1.0, ..high(8.0) }]);
    assert_eq!(rig.read(1, 9.0), ["high Raised"]);
    assert_eq!(rig.read(2, 7.1), SILENCE);
    assert_eq!(rig.read(3, 7.0), ["high Cleared"]);
    assert_eq!(rig.read(4, 7.9), SILENCE);
}

#[test]
fn a_crossing_that_returns_within_the_on_delay_raises_nothing() {
    let mut rig = Rig::new(&[Alarm { on_delay: seconds(10), ..high(8.0) }]);
    assert_eq!(rig.read(1, 9.0), SILENCE);
    assert_eq!(rig.read(10, 8.0), SILENCE);
    assert_eq!(rig.read(11, 9.0), SILENCE);
    assert_eq!(rig.pass(20), SILENCE);
    assert_eq!(rig.pass(21), ["high Raised"], "without another reading");
}

#[test]
fn a_delay_that_passed_counts_even_if_the_timer_is_late() {
    let mut rig = Rig::new(&[Alarm { on_delay: seconds(10), ..high(8.0) }]);
    rig.read(1, 9.0);
    rig.set(60_000);
    rig.feed(&reading(SENSOR, 1.0, rig.now));
    assert_eq!(rig.said(), ["high Raised", "high Cleared"]);
}

#[test]
fn the_off_delay_starts_over_when_the_value_crosses_again() {
    let mut rig = Rig::new(&[Alarm { off_delay: seconds(10), ..high(8.0) }]);
    assert_eq!(rig.read(0, 9.0), ["high Raised"]);
    assert_eq!(rig.read(5, 7.0), SILENCE);
    assert_eq!(rig.read(14, 9.0), SILENCE);
    assert_eq!(rig.read(15, 7.0), SILENCE);
    assert_eq!(rig.pass(24), SILENCE);
    assert_eq!(rig.pass(25), ["high Cleared"]);
}

#[test]
fn min_samples_counts_readings_in_violation_in_a_row() {
    let mut rig = Rig::new(&[Alarm { min_samples: 3, ..high(8.0) }]);
    for (second, value) in [(1, 9.0), (2, 9.0), (3, 1.0), (4, 9.0), (5, 9.0)] {
        assert_eq!(rig.read(second, value), SILENCE, "{second}");
    }
    assert_eq!(rig.read(6, 9.0), ["high Raised"]);
}

#[test]
fn both_the_on_delay_and_min_samples_must_be_met() {
    let alarm = Alarm { min_samples: 2, on_delay: seconds(10), ..high(8.0) };
    let mut rig = Rig::new(std::slice::from_ref(&alarm));
    rig.read(0, 9.0);
    assert_eq!(rig.pass(60), SILENCE, "one sample is not enough");
    assert_eq!(rig.read(61, 9.0), ["high Raised"]);
    let mut rig = Rig::new(&[alarm]);
    rig.read(0, 9.0);
    assert_eq!(rig.read(1, 9.0), SILENCE, "the delay has not passed");
    assert_eq!(rig.pass(10), ["high Raised"]);
}

#[test]
fn delays_do_not_care_about_jumps_of_the_wall_clock() {
    let mut rig = Rig::new(&[Alarm { on_delay: seconds(10), ..high(8.0) }]);
    rig.read(1, 9.0);
    for (second, wall) in [(2, i64::MAX), (5, 0), (10, i64::MIN)] {
        rig.now = Now { boot: BootTime(second * 1_000_000_000), wall: WallTime(wall), clock: ClockState::Synchronized };
        assert_eq!(rig.feed(&reading(SENSOR, 9.0, rig.now)), Accepted::Evaluated);
        assert_eq!(rig.said(), SILENCE);
    }
    rig.now.boot = BootTime(11_000_000_000);
    rig.engine.on_deadline(rig.now, &mut rig.out);
    assert_eq!(rig.said(), ["high Raised"]);
}

#[test]
fn texts_mean_nothing_to_a_limit_and_the_last_number_stands() {
    let mut rig = Rig::new(&[Alarm { on_delay: seconds(10), ..high(8.0) }]);
    rig.read(1, 9.0);
    assert_eq!(rig.read(2, "E04"), SILENCE);
    rig.set(11_000);
    rig.engine.on_deadline(rig.now, &mut rig.out);
    let events = rig.events();
    assert_eq!(told(&events[0]).value, Some(Value::Number(9.0)));
}

#[test]
fn states_raise_and_clear() {
    let mut rig = Rig::new(&[
        alarm("door", "#", Condition::Equals(vec![Value::Text("open".into())])),
        alarm("not-auto", "#", Condition::NotEquals(vec![Value::Text("auto".into()), Value::Text("open".into())])),
    ]);
    assert_eq!(rig.read(1, "open"), ["door Raised"]);
    assert_eq!(rig.read(2, "closed"), ["door Cleared", "not-auto Raised"]);
    assert_eq!(rig.read(3, "auto"), ["not-auto Cleared"]);
    assert_eq!(rig.read(4, 3.0), ["not-auto Raised"]);
}

#[test]
fn outside_raises_at_both_ends_and_low_below() {
    let mut rig = Rig::new(&[
        alarm("band", "#", Condition::Outside { low: 2.0, high: 8.0 }),
        alarm("low", "#", Condition::Low(1.0)),
    ]);
    assert_eq!(rig.read(1, 9.0), ["band Raised"]);
    assert_eq!(rig.read(2, 0.5), ["low Raised"], "from one end to the other it stays active");
    assert_eq!(rig.read(3, 5.0), ["band Cleared", "low Cleared"]);
}

#[test]
fn a_fast_rise_raises_and_a_steady_value_clears() {
    let condition = Condition::RateAbove { per_second: 0.1, window: seconds(60), direction: RateDirection::Rising };
    let mut rig = Rig::new(&[alarm("rate", "#", condition)]);
    let mut said = Vec::new();
    for step in 0..12 {
        said.extend(rig.read(step * 10, 20.0));
    }
    for step in 12..20 {
        said.extend(rig.read(step * 10, 20.0 + 4.0 * (step - 11) as f64));
    }
    assert_eq!(said, ["rate Raised"]);
    for step in 20..40 {
        said.extend(rig.read(step * 10, 52.0));
    }
    assert_eq!(said, ["rate Raised", "rate Cleared"]);
}

#[test]
fn a_deviation_follows_the_other_sensor_too() {
    let condition = Condition::Deviation { from: SetPoint::Sensor("s/set/t".into()), above: 2.0 };
    let mut rig = Rig::new(&[alarm("off", "s/a/#", condition)]);
    assert_eq!(rig.read(1, 20.0), SILENCE, "no set point known yet");
    assert_eq!(rig.read_of("s/set/t", 2, 21.0), SILENCE);
    assert_eq!(rig.read_of("s/set/t", 3, 23.0), ["off Raised"]);
    assert_eq!(rig.read(4, 21.5), ["off Cleared"]);
    rig.pass(5);
    rig.feed(&reading("s/set/t", 15.0, rig.now));
    let events = rig.events();
    let data = told(&events[0]);
    assert_eq!((data.measured, data.value.clone()), (Some(6.5), Some(Value::Number(21.5))));
}

#[test]
fn an_active_alarm_reminds_until_it_clears() {
    let mut rig = Rig::new(&[Alarm { repeat_every: Some(seconds(60)), ..high(8.0) }]);
    assert_eq!(rig.read(0, 9.0), ["high Raised"]);
    assert_eq!(rig.pass(150), ["high Repeated", "high Repeated"]);
    assert_eq!(rig.read(151, 1.0), ["high Cleared"]);
    assert_eq!(rig.pass(1000), SILENCE);
}

#[test]
fn a_period_of_zero_reminds_never() {
    let mut rig = Rig::new(&[Alarm { repeat_every: Some(Duration::ZERO), ..high(8.0) }]);
    rig.read(0, 9.0);
    assert_eq!(rig.engine.next_deadline(), None);
}

#[test]
fn nothing_is_raised_during_the_hold_off_and_what_is_in_violation_is_at_its_end() {
    let mut rig = Rig::new(&[Alarm { hold_off: seconds(30), ..high(8.0) }]);
    assert_eq!(rig.read(1, 9.0), SILENCE);
    assert_eq!(rig.read(2, 1.0), SILENCE);
    assert_eq!(rig.read(3, 9.0), SILENCE);
    assert_eq!(rig.pass(29), SILENCE);
    assert_eq!(rig.pass(30), ["high Raised"]);
    assert_eq!(rig.read(31, 1.0), ["high Cleared"]);
    assert_eq!(rig.read(32, 9.0), ["high Raised"]);
}

#[test]
fn a_value_only_within_the_deadband_is_not_raised_at_the_end_of_the_hold_off() {
    let mut rig = Rig::new(&[Alarm { hold_off: seconds(30), deadband: 1.0, off_delay: seconds(60), ..high(8.0) }]);
    rig.read(1, 9.0);
    rig.read(2, 7.5);
    assert_eq!(rig.pass(100), SILENCE);
}

fn stamped(value: f64, stamp_s: i64, rig: &Rig) -> Reading {
    let time = WallTime::from_millis((WALL_ZERO_S + stamp_s) * 1000);
    Reading { time, time_source: TimeSource::Payload, ..reading(SENSOR, value, rig.now) }
}

#[test]
fn a_late_reading_never_moves_a_machine() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.set(100_000);
    assert_eq!(rig.feed(&stamped(9.0, 100, &rig)), Accepted::Evaluated);
    assert_eq!(rig.said(), ["high Raised"]);
    assert_eq!(rig.feed(&stamped(1.0, 99, &rig)), Accepted::Late);
    assert_eq!(rig.said(), SILENCE);
    assert_eq!(rig.feed(&stamped(1.0, 100, &rig)), Accepted::Evaluated);
    assert_eq!(rig.said(), ["high Cleared"]);
}

#[test]
fn one_stamp_from_the_future_does_not_silence_the_sensor() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.set(1000);
    rig.feed(&stamped(1.0, 3600, &rig));
    let mut raised_at = None;
    for second in 2..60 {
        rig.set(second * 1000);
        rig.feed(&stamped(9.0, second as i64, &rig));
        if !rig.said().is_empty() {
            raised_at = raised_at.or(Some(second));
        }
    }
    assert_eq!(raised_at, Some(12));
}

#[test]
fn an_old_retained_message_neither_raises_nor_clears() {
    let mut rig = Rig::new(&[high(8.0)]);
    let retained = |value: f64, rig: &Rig| Reading { fresh: false, ..reading(SENSOR, value, rig.now) };
    assert_eq!(rig.feed(&retained(9.0, &rig)), Accepted::NotFresh);
    assert_eq!(rig.said(), SILENCE);
    assert_eq!(rig.read(1, 9.0), ["high Raised"]);
    assert_eq!(rig.feed(&retained(1.0, &rig)), Accepted::NotFresh);
    assert_eq!(rig.said(), SILENCE);
    assert_eq!(rig.engine.snapshot()[0].value, Some(Value::Number(9.0)));
}

#[test]
fn beyond_the_bound_of_sensors_new_ones_are_refused_and_known_ones_go_on() {
    let mut rig = Rig::new(&[alarm("high", "#", Condition::High(8.0))]);
    for index in 0..100 {
        assert_eq!(rig.feed(&reading(&format!("s/{index}/t"), 1.0, rig.now)), Accepted::Evaluated);
    }
    assert_eq!(rig.feed(&reading("s/100/t", 9.0, rig.now)), Accepted::TooManySensors);
    assert_eq!(rig.feed(&reading("s/7/t", 9.0, rig.now)), Accepted::Evaluated);
    assert_eq!(rig.said(), ["high Raised"]);
}

#[test]
fn an_event_tells_the_whole_story() {
    let mut rig = Rig::new(&[Alarm { on_delay: seconds(10), context: 3, deadband: 0.5, ..high(8.0) }]);
    for (second, value) in [(1, 1.0), (2, 2.0), (3, 9.0), (4, 12.0)] {
        assert_eq!(rig.read(second, value), SILENCE);
    }
    // The delay passes at 13 s: that raises, on the value known then; the reading comes after.
    rig.set(13_000);
    rig.feed(&reading(SENSOR, 10.0, rig.now));
    let raised = rig.events().remove(0);
    assert_eq!(raised.correlation, Some(raised.id));
    assert_eq!((&*raised.subject, raised.time, raised.boot), (SENSOR, now(13_000).wall, now(13_000).boot));
    let data = told(&raised).clone();
    assert_eq!((data.value.clone(), data.unit.as_deref()), (Some(Value::Number(12.0)), Some("°C")));
    assert_eq!((data.before, data.after), (AlarmState::Pending, AlarmState::Active));
    assert_eq!((data.deadband, data.on_delay_ms, data.off_delay_ms), (0.5, 10_000, 0));
    let context: Vec<Value> = data.context.iter().map(|sample| sample.value.clone()).collect();
    assert_eq!(context, [1.0, 2.0, 9.0].map(Value::Number));
    assert_eq!((data.episode.count, data.episode.peak.clone()), (2, Some(Value::Number(12.0))));
    assert_eq!((data.episode.start, data.episode.duration_ms), (raised.time, 0));

    rig.read(14, 15.0);
    let cleared = rig.events_of(20, 7.5).remove(0);
    assert_eq!(cleared.correlation, raised.correlation);
    assert_ne!(cleared.id, raised.id);
    let data = told(&cleared);
    assert_eq!(data.change, Change::Cleared);
    assert_eq!((data.episode.count, data.episode.peak.clone()), (4, Some(Value::Number(15.0))));
    assert_eq!((data.episode.start, data.episode.duration_ms), (raised.time, 7_000));
    assert!(data.context.is_empty());
}

#[test]
fn an_event_takes_the_time_of_a_trusted_stamp() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.set(100_000);
    rig.feed(&stamped(9.0, 40, &rig));
    let event = rig.events().remove(0);
    assert_eq!(event.time, now(40_000).wall);
    assert_eq!(event.boot, now(100_000).boot);
    assert_eq!(told(&event).episode.start, event.time);
}

#[test]
fn a_schedule_takes_an_alarm_out_of_force_and_back() {
    let office = ScheduleSpan { days: [true; 7], from_min: 360, to_min: 1080 };
    let mut rig = Rig::new(&[Alarm { schedule: vec![office], deadband: 1.0, ..high(8.0) }]);
    let hour = 3600;
    assert_eq!(rig.read(5 * hour, 9.0), SILENCE);
    assert_eq!(rig.pass(6 * hour - 1), SILENCE);
    assert_eq!(rig.pass(6 * hour), ["high Raised"]);
    assert_eq!(rig.pass(18 * hour - 1), SILENCE);
    assert_eq!(rig.pass(18 * hour), ["high Cleared"]);
    assert_eq!(rig.read(19 * hour, 7.5), SILENCE, "not in violation, if only by less than the deadband");
    assert_eq!(rig.pass(48 * hour), SILENCE);
}

#[test]
fn a_schedule_counts_only_once_the_clock_is_confirmed() {
    let office = ScheduleSpan { days: [true; 7], from_min: 360, to_min: 1080 };
    let unconfirmed = Now { clock: ClockState::Unsynchronized, ..now(0) };
    let mut rig = Rig::started(&[Alarm { schedule: vec![office], ..high(8.0) }], unconfirmed, 1);
    assert_eq!(rig.read(10, 9.0), ["high Raised"]);
    rig.now.clock = ClockState::Synchronized;
    assert_eq!(rig.pass(120), ["high Cleared"], "it is night");
}

#[test]
fn a_steady_sensor_needs_one_timer_and_makes_no_records() {
    let mut rig = Rig::new(&[high(8.0), alarm("silent", "#", Condition::Stale { after: seconds(60) })]);
    rig.read(0, 1.0);
    let known = rig.records.len();
    for second in 1..50 {
        rig.read(second, 1.0);
        assert!(rig.out.records.is_empty());
        assert_eq!(rig.engine.timers.len(), 1);
    }
    assert_eq!((known, rig.records.len()), (1, 1));
}
