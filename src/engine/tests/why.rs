//! What the engine says of itself: for every state the reason, and never a change by asking.

use super::support::*;
use crate::config::model::{Alarm, Condition, RateDirection, SetPoint, Severity};
use crate::engine::{Output, Reason};

/// The reasons of the alarms on the sensor after a reading at this second.
fn reasons(rig: &mut Rig, second: u64, value: impl Into<Number>) -> Vec<Reason> {
    let now = now(second * 1000);
    while let Some(deadline) = rig.engine.next_deadline().filter(|deadline| *deadline < now.boot) {
        let early = crate::clock::Now { boot: deadline, ..now };
        rig.engine.on_deadline(early, &mut Output::default());
    }
    let reading = reading(SENSOR, value, now);
    let accepted = rig.engine.on_reading(&reading, now, &mut Output::default());
    let first = rig.engine.explain(&reading, accepted, now);
    assert_eq!(first, rig.engine.explain(&reading, accepted, now), "asking changes nothing");
    first.into_iter().map(|why| why.reason).collect()
}

#[test]
fn a_threshold_says_how_long_its_delays_still_take() {
    let alarm = Alarm { deadband: 1.0, on_delay: seconds(10), off_delay: seconds(20), min_samples: 2, ..high(8.0) };
    let mut rig = Rig::new(&[alarm]);
    assert_eq!(reasons(&mut rig, 0, 7.0), [Reason::Inside]);
    assert_eq!(reasons(&mut rig, 1, 9.0), [Reason::MinSamples { seen: 1, wanted: 2 }]);
    assert_eq!(reasons(&mut rig, 5, 9.0), [Reason::OnDelay { remaining_ms: 6_000 }]);
    assert_eq!(reasons(&mut rig, 6, "E04"), [Reason::OnDelay { remaining_ms: 5_000 }], "a text changes nothing");
    assert_eq!(reasons(&mut rig, 11, 9.0), [Reason::Active]);
    assert_eq!(reasons(&mut rig, 12, 7.5), [Reason::Deadband]);
    assert_eq!(reasons(&mut rig, 13, 7.0), [Reason::OffDelay { remaining_ms: 20_000 }]);
    assert_eq!(reasons(&mut rig, 34, 7.0), [Reason::Inside]);
    assert_eq!(reasons(&mut rig, 35, "E04"), [Reason::NotComparable]);
}

#[test]
fn what_keeps_an_alarm_from_being_told_is_said() {
    let held = Alarm { hold_off: seconds(60), latched: true, ..high(8.0) };
    let mut rig = Rig::new(&[held]);
    assert_eq!(reasons(&mut rig, 10, 9.0), [Reason::HoldOff { remaining_ms: 50_000 }]);
    assert_eq!(reasons(&mut rig, 70, 9.0), [Reason::Active]);
    assert_eq!(reasons(&mut rig, 71, 1.0), [Reason::Latched]);
    let out = &mut Output::default();
    assert!(rig.engine.acknowledge("high", SENSOR, now(72_000), out));
    assert_eq!(reasons(&mut rig, 73, 1.0), [Reason::Inside]);
    assert!(rig.engine.shelve("high", SENSOR, now(100_000).boot, now(80_000), out));
    assert_eq!(reasons(&mut rig, 90, 9.0), [Reason::Shelved { remaining_ms: 10_000 }]);
    assert!(rig.engine.unshelve("high", SENSOR, now(91_000), out));
    assert!(rig.engine.suppress("high", SENSOR, now(91_000), out));
    assert_eq!(reasons(&mut rig, 92, 9.0), [Reason::Suppressed]);
}

#[test]
fn a_less_severe_alarm_names_the_one_of_its_group_that_is_active() {
    let member =
        |name: &str, limit, severity| Alarm { name: name.into(), group: Some("level".into()), severity, ..high(limit) };
    let mut rig = Rig::new(&[member("warm", 4.0, Severity::Low), member("hot", 8.0, Severity::High)]);
    assert_eq!(reasons(&mut rig, 1, 5.0), [Reason::Active, Reason::Inside]);
    assert_eq!(reasons(&mut rig, 2, 9.0), [Reason::Group { by: "hot".into() }, Reason::Active]);
}

#[test]
fn conditions_without_enough_to_go_by_say_so() {
    let rate = Condition::RateAbove { per_second: 1.0, window: seconds(60), direction: RateDirection::Both };
    let off = Condition::Deviation { from: SetPoint::Sensor("s/set/t".into()), above: 1.0 };
    let silent = Condition::Stale { after: seconds(60) };
    let mut rig =
        Rig::new(&[alarm("rate", "s/+/t", rate), alarm("off", "s/a/t", off), alarm("silent", "s/+/t", silent)]);
    assert_eq!(reasons(&mut rig, 1, 5.0), [Reason::NoSlopeYet, Reason::NoSetPointYet, Reason::Alive]);
    let set = reading("s/set/t", 5.0, now(2_000));
    rig.engine.on_reading(&set, now(2_000), &mut Output::default());
    assert_eq!(reasons(&mut rig, 50, 5.0), [Reason::Inside, Reason::Inside, Reason::Alive]);
}

#[test]
fn the_words_name_the_limit_and_what_is_missing() {
    let mut rig = Rig::new(&[Alarm { on_delay: seconds(10), ..high(8.0) }]);
    let now = now(1_000);
    let reading = reading(SENSOR, 9.0, now);
    let accepted = rig.engine.on_reading(&reading, now, &mut Output::default());
    let words: Vec<String> = rig.engine.explain(&reading, accepted, now).iter().map(ToString::to_string).collect();
    assert_eq!(words, ["high: pending, above 8: raised in 10s if it stays (on_delay)"]);
}
