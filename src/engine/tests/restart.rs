//! Restarts: the machines go on from their records, and nobody is told twice.

use super::support::*;
use crate::clock::ClockState;
use crate::config::model::{Alarm, Condition};
use crate::engine::{Restored, record};
use crate::event::{AlarmRecord, ConditionKind};
use crate::reading::{Reading, TimeSource, Value};

#[test]
fn an_active_alarm_stays_active_in_its_episode() {
    for other_boot in [false, true] {
        let alarms = [high(8.0)];
        let mut rig = Rig::new(&alarms);
        let raised = rig.events_of(10, 9.0).remove(0);
        assert_eq!(rig.restart(50, other_boot, &alarms), SILENCE);
        rig.feed(&reading(SENSOR, 9.5, rig.now));
        assert_eq!(rig.said(), SILENCE, "not raised again");
        rig.feed(&reading(SENSOR, 7.0, rig.now));
        let cleared = rig.events().remove(0);
        let episode = &told(&cleared).episode;
        assert_eq!((cleared.correlation, episode.start), (Some(raised.id), raised.time));
        assert_eq!((episode.duration_ms, episode.count, episode.peak.clone()), (50_000, 2, Some(Value::Number(9.5))));
        assert!(rig.records.is_empty(), "plainly normal: nothing to keep");
    }
}

#[test]
fn a_duration_goes_on_without_the_gap_when_the_clock_cannot_say_how_long_it_was() {
    let alarms = [high(8.0)];
    let mut rig = Rig::new(&alarms);
    rig.now.clock = ClockState::Unsynchronized;
    rig.read(10, 9.0);
    rig.restart(50, true, &alarms);
    let until = rig.now.boot.0 / 1_000_000_000 + 3;
    rig.pass(until);
    rig.feed(&reading(SENSOR, 7.0, rig.now));
    assert_eq!(told(&rig.events()[0]).episode.duration_ms, 3000);
}

#[test]
fn in_the_same_boot_a_delay_goes_on() {
    let alarms = [Alarm { on_delay: seconds(60), ..high(8.0) }];
    let mut rig = Rig::new(&alarms);
    rig.read(10, 9.0);
    assert_eq!(rig.restart(20, false, &alarms), SILENCE);
    assert_eq!(rig.pass(69), SILENCE);
    assert_eq!(rig.pass(70), ["high Raised"], "on the value known from before");
}

#[test]
fn in_another_boot_a_delay_starts_anew() {
    let alarms = [Alarm { on_delay: seconds(60), ..high(8.0) }];
    let mut rig = Rig::new(&alarms);
    rig.read(10, 9.0);
    assert_eq!(rig.restart(500, true, &alarms), SILENCE);
    assert_eq!(rig.pass(64), SILENCE);
    assert_eq!(rig.pass(65), ["high Raised"]);
}

#[test]
fn a_clearing_alarm_goes_on_clearing() {
    let alarms = [Alarm { off_delay: seconds(60), ..high(8.0) }];
    for (other_boot, at) in [(false, 71), (true, 65)] {
        let mut rig = Rig::new(&alarms);
        rig.read(10, 9.0);
        rig.read(11, 1.0);
        assert_eq!(rig.restart(20, other_boot, &alarms), SILENCE);
        assert_eq!(rig.pass(at - 1), SILENCE);
        assert_eq!(rig.pass(at), ["high Cleared"]);
    }
}

#[test]
fn reminders_go_on() {
    let alarms = [Alarm { repeat_every: Some(seconds(100)), ..high(8.0) }];
    for (other_boot, at) in [(false, 110), (true, 105)] {
        let mut rig = Rig::new(&alarms);
        rig.read(10, 9.0);
        rig.restart(20, other_boot, &alarms);
        assert_eq!(rig.pass(at - 1), SILENCE);
        assert_eq!(rig.pass(at), ["high Repeated"]);
    }
}

#[test]
fn a_known_sensor_that_is_silent_after_a_restart_is_found_stale() {
    let alarms = [alarm("silent", "s/#", Condition::Stale { after: seconds(60) })];
    let mut rig = Rig::new(&alarms);
    rig.read(10, 1.0);
    assert_eq!(rig.restart(20, true, &alarms), SILENCE);
    assert_eq!(rig.pass(64), SILENCE);
    assert_eq!(rig.pass(65), ["silent Raised"]);
    assert_eq!(rig.restart(1000, true, &alarms), SILENCE);
    assert_eq!(rig.pass(500), SILENCE, "still stale, not told again");
    assert_eq!(rig.read(501, 1.0), ["silent Cleared"]);
}

#[test]
fn a_stale_sensor_that_reminds_is_not_taken_for_recovered_after_a_restart() {
    let alarms =
        [Alarm { repeat_every: Some(seconds(10)), ..alarm("silent", "s/#", Condition::Stale { after: seconds(60) }) }];
    let mut rig = Rig::new(&alarms);
    rig.read(0, 1.0);
    assert_eq!(rig.pass(60), ["silent Raised"]);
    rig.restart(5, true, &alarms);
    assert_eq!(rig.pass(26), ["silent Repeated", "silent Repeated"]);
}

#[test]
fn acknowledged_shelved_and_suppressed_survive() {
    let alarms = ["a", "b", "c"].map(|name| Alarm { name: name.into(), latched: true, ..high(8.0) });
    let mut rig = Rig::new(&alarms);
    rig.read(1, 9.0);
    rig.engine.acknowledge("a", SENSOR, rig.now, &mut rig.out);
    rig.engine.shelve("b", SENSOR, now(101_000).boot, rig.now, &mut rig.out);
    rig.engine.suppress("c", SENSOR, rig.now, &mut rig.out);
    assert_eq!(rig.said(), ["b Cleared", "c Cleared"]);
    assert_eq!(rig.restart(40, true, &alarms), SILENCE);
    rig.feed(&reading(SENSOR, 9.0, rig.now));
    assert_eq!(rig.said(), SILENCE);
    assert_eq!(rig.pass(64), SILENCE);
    assert_eq!(rig.pass(65), ["b Raised"], "100 s less the 40 s away");
    assert_eq!(rig.read(66, 1.0), ["a Cleared"]);
    assert!(rig.engine.snapshot().iter().any(|view| view.suppressed && &*view.alarm == "c"));
}

#[test]
fn the_members_of_a_group_go_on_as_they_were() {
    let member = |name: &str, limit| Alarm { name: name.into(), group: Some("g".into()), ..high(limit) };
    let alarms = [member("hot", 10.0), member("warm", 8.0)];
    let mut rig = Rig::new(&alarms);
    let raised = rig.events_of(1, 9.0).remove(0);
    rig.read(2, 11.0);
    assert_eq!(rig.restart(1, true, &alarms), SILENCE);
    rig.feed(&reading(SENSOR, 9.0, rig.now));
    let events = rig.events();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.correlation == Some(raised.id)));
}

#[test]
fn an_active_alarm_that_is_no_longer_configured_is_closed() {
    let mut rig = Rig::new(&[high(8.0)]);
    let raised = rig.events_of(1, 9.0).remove(0);
    rig.events();
    let records: Vec<AlarmRecord> = rig.records.values().cloned().collect();
    let mut other = Rig::started(&[Alarm { name: "other".into(), ..high(8.0) }], now(3000), 2);
    let restored = other.engine.restore(&records, other.now, &mut other.out);
    assert_eq!(restored, Restored { resumed: 0, closed: 1, unreadable: 0 });
    assert!(other.out.records[0].state.is_empty());
    let closed = other.events().remove(0);
    assert_eq!((closed.correlation, closed.severity), (Some(raised.id), raised.severity));
    let data = told(&closed);
    assert_eq!((data.value.clone(), data.condition), (Some(Value::Number(9.0)), ConditionKind::High));
    assert_eq!((data.limit.clone(), data.episode.duration_ms), (told(&raised).limit.clone(), 2000));
}

#[test]
fn an_alarm_that_watches_for_something_else_now_is_closed_and_judged_anew() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    let low = alarm("high", "s/+/t", Condition::Low(10.0));
    assert_eq!(rig.restart(1, true, &[low]), ["high Cleared"]);
    rig.feed(&reading(SENSOR, 9.0, rig.now));
    assert_eq!(rig.said(), ["high Raised"]);
}

#[test]
fn a_pattern_that_no_longer_covers_the_sensor_closes_its_alarm() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    let elsewhere = Alarm { sensors: vec!["x/#".into()], ..high(8.0) };
    assert_eq!(rig.restart(1, true, &[elsewhere]), ["high Cleared"]);
    assert!(rig.records.is_empty());
}

#[test]
fn damaged_records_and_those_of_a_later_version_leave_the_alarm_normal() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    let good = rig.records.values().next().unwrap().clone();
    let mut cases = vec![vec![record::VERSION], vec![99, 1, 2, 3], vec![record::VERSION; 40], vec![0xff; 100]];
    cases.extend((1..good.state.len()).map(|length| good.state[..length].to_vec()));
    for state in cases {
        let mut other = Rig::started(&[high(8.0)], now(3000), 2);
        let damaged = AlarmRecord { state, ..good.clone() };
        let restored = other.engine.restore(&[damaged], other.now, &mut other.out);
        assert_eq!(restored, Restored { resumed: 0, closed: 0, unreadable: 1 });
        assert_eq!(other.said(), SILENCE);
        assert_eq!(other.read(4, 9.0), ["high Raised"]);
    }
}

#[test]
fn no_flipped_bit_makes_a_record_panic() {
    let alarms = [Alarm { on_delay: seconds(1), off_delay: seconds(5), latched: true, ..high(8.0) }];
    let mut rig = Rig::new(&alarms);
    rig.read(1, 9.0);
    rig.pass(5);
    let good = rig.records.values().next().unwrap().clone();
    for bit in 0..good.state.len() * 8 {
        let mut state = good.state.clone();
        state[bit / 8] ^= 1 << (bit % 8);
        let mut other = Rig::started(&alarms, now(3000), 2);
        other.engine.restore(&[AlarmRecord { state, ..good.clone() }], other.now, &mut other.out);
        other.engine.on_deadline(now(1_000_000), &mut other.out);
        other.set(2_000_000);
        other.feed(&reading(SENSOR, 1.0, other.now));
    }
}

#[test]
fn records_are_small() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    let bytes = rig.records.values().next().unwrap().state.len();
    assert!(bytes <= 224, "{bytes} bytes");
}

#[test]
fn a_reading_sent_again_from_before_the_restart_is_late() {
    let alarms = [high(8.0)];
    let mut rig = Rig::new(&alarms);
    let stamped = |value: f64, at: u64| Reading { time_source: TimeSource::Payload, ..reading(SENSOR, value, now(at)) };
    rig.set(10_000);
    rig.feed(&stamped(1.0, 8_000));
    rig.feed(&stamped(9.0, 9_000));
    assert_eq!(rig.said(), ["high Raised"]);
    rig.restart(1, true, &alarms);
    rig.feed(&stamped(1.0, 8_000));
    rig.feed(&stamped(9.0, 9_000));
    assert_eq!(rig.said(), SILENCE);
}

#[test]
fn a_latched_alarm_still_waits_for_its_acknowledgement_after_a_restart() {
    let alarms = [Alarm { latched: true, ..high(8.0) }];
    for gone_before in [false, true] {
        let mut rig = Rig::new(&alarms);
        rig.read(1, 9.0);
        if gone_before {
            rig.read(2, 1.0);
        }
        assert_eq!(rig.restart(1, true, &alarms), SILENCE);
        rig.feed(&reading(SENSOR, 1.0, rig.now));
        assert_eq!(rig.said(), SILENCE);
        assert!(rig.engine.acknowledge("high", SENSOR, rig.now, &mut rig.out));
        assert_eq!(rig.said(), ["high Cleared"]);
    }
}

#[test]
fn the_hold_off_after_a_restart_does_not_take_back_what_is_active() {
    let alarms = [Alarm { hold_off: seconds(60), deadband: 1.0, ..high(8.0) }];
    let mut rig = Rig::new(&alarms);
    rig.read(1, 9.0);
    assert_eq!(rig.pass(60), ["high Raised"]);
    assert_eq!(rig.restart(1, true, &alarms), SILENCE);
    assert_eq!(rig.read(10, 7.5), SILENCE, "within the deadband");
    assert_eq!(rig.read(20, 7.0), ["high Cleared"]);
}

#[test]
fn after_a_restart_with_another_limit_the_last_value_decides() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    assert_eq!(rig.restart(1, true, &[high(8.5)]), SILENCE);
    assert_eq!(rig.restart(1, true, &[high(10.0)]), ["high Cleared"]);
    assert!(rig.records.is_empty());
}
