//! Changes of the configuration while running.

use jiff::tz::TimeZone;

use super::support::*;
use crate::config::model::{Alarm, Condition, ScheduleSpan, Severity};

#[test]
fn the_same_configuration_again_changes_nothing() {
    let alarms =
        [Alarm { on_delay: seconds(10), ..high(8.0) }, alarm("silent", "#", Condition::Stale { after: seconds(60) })];
    let mut rig = Rig::new(&alarms);
    rig.read(1, 9.0);
    let before = (rig.records.clone(), rig.engine.next_deadline());
    assert_eq!(rig.reload(&alarms), SILENCE);
    assert_eq!((rig.records.clone(), rig.engine.next_deadline()), before);
    assert_eq!(rig.pass(11), ["high Raised"]);
}

#[test]
fn an_unchanged_alarm_goes_on_beside_a_new_one() {
    let mut rig = Rig::new(&[Alarm { on_delay: seconds(10), ..high(8.0) }]);
    rig.read(1, 9.0);
    let new = Alarm { name: "new".into(), ..high(5.0) };
    assert_eq!(rig.reload(&[new, Alarm { on_delay: seconds(10), ..high(8.0) }]), ["new Raised"]);
    assert_eq!(rig.pass(11), ["high Raised"]);
}

#[test]
fn a_changed_limit_is_judged_by_the_last_value_at_once() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    assert_eq!(rig.reload(&[high(10.0)]), ["high Cleared"]);
    assert_eq!(rig.reload(&[high(7.0)]), ["high Raised"]);
    assert_eq!(rig.reload(&[high(8.0)]), SILENCE);
    assert_eq!(rig.reload(&[Alarm { off_delay: seconds(10), ..high(10.0) }]), SILENCE);
    assert_eq!(rig.pass(20), ["high Cleared"], "by the normal path");
}

#[test]
fn a_removed_alarm_clears_and_is_forgotten() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    assert_eq!(rig.reload(&[]), ["high Cleared"]);
    assert!(rig.records.is_empty());
    assert_eq!(rig.reload(&[high(8.0)]), ["high Raised"]);
}

#[test]
fn an_alarm_whose_condition_is_of_another_kind_is_closed() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    assert_eq!(rig.reload(&[alarm("high", "#", Condition::Low(9.5))]), ["high Cleared", "high Raised"]);
    assert_eq!(rig.reload(&[alarm("high", "#", Condition::High(9.5))]), ["high Cleared"]);
}

#[test]
fn a_silent_sensor_is_judged_by_a_new_patience() {
    let silent = |after| alarm("silent", "#", Condition::Stale { after: seconds(after) });
    let mut rig = Rig::new(&[silent(60)]);
    rig.read(0, 1.0);
    assert_eq!(rig.pass(60), ["silent Raised"]);
    assert_eq!(rig.reload(&[silent(600)]), ["silent Cleared"]);
    rig.pass(100);
    assert_eq!(rig.reload(&[silent(90)]), ["silent Raised"]);
}

#[test]
fn a_stale_alarm_added_later_knows_the_sensors_seen_before() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(0, 1.0);
    rig.pass(10);
    assert_eq!(rig.reload(&[alarm("silent", "#", Condition::Stale { after: seconds(60) })]), SILENCE);
    assert_eq!(rig.records.len(), 1);
    assert_eq!(rig.pass(60), ["silent Raised"]);
}

#[test]
fn a_latched_alarm_that_no_longer_latches_clears() {
    let mut rig = Rig::new(&[Alarm { latched: true, ..high(8.0) }]);
    rig.read(1, 9.0);
    rig.read(2, 1.0);
    assert_eq!(rig.reload(&[high(8.0)]), ["high Cleared"]);
}

#[test]
fn alarms_that_join_a_group_leave_one_active() {
    let loose = |name: &str, severity| Alarm { name: name.into(), severity, ..high(8.0) };
    let bound = |name: &str, severity| Alarm { group: Some("g".into()), ..loose(name, severity) };
    let mut rig = Rig::new(&[loose("a", Severity::Low), loose("b", Severity::High)]);
    assert_eq!(rig.read(1, 9.0), ["a Raised", "b Raised"]);
    assert_eq!(rig.reload(&[bound("a", Severity::Low), bound("b", Severity::High)]), ["a Cleared"]);
    assert_eq!(
        rig.reload(&[bound("a", Severity::Critical), bound("b", Severity::High)]),
        ["b Superseded", "a Escalated"]
    );
}

#[test]
fn another_time_zone_moves_the_schedule() {
    let span = ScheduleSpan { days: [true; 7], from_min: 360, to_min: 1080 };
    let alarms = [Alarm { schedule: vec![span], ..high(8.0) }];
    let mut rig = Rig::new(&alarms);
    assert_eq!(rig.read(5 * 3600, 9.0), SILENCE, "05:00");
    rig.engine.reconfigure(&alarms, TimeZone::fixed(jiff::tz::offset(2)), rig.now, &mut rig.out);
    assert_eq!(rig.said(), ["high Raised"], "07:00");
}
