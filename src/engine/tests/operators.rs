//! Acknowledge, shelve, suppress.

use super::support::*;
use crate::config::model::Alarm;
use crate::event::AlarmState;

fn latched() -> Alarm {
    Alarm { latched: true, ..high(8.0) }
}

#[test]
fn a_latched_alarm_stays_active_until_acknowledged() {
    let mut rig = Rig::new(&[latched()]);
    rig.read(1, 9.0);
    assert_eq!(rig.read(2, 1.0), SILENCE);
    assert!(rig.engine.snapshot()[0].waits_for_acknowledgement);
    assert!(rig.engine.acknowledge("high", SENSOR, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["high Cleared"]);
    assert_eq!(rig.read(3, 9.0), ["high Raised"]);
}

#[test]
fn one_acknowledged_while_in_violation_clears_by_itself() {
    let mut rig = Rig::new(&[latched()]);
    rig.read(1, 9.0);
    assert!(rig.engine.acknowledge("high", "s/+/t", rig.now, &mut rig.out));
    assert_eq!(rig.said(), SILENCE);
    assert!(rig.engine.snapshot()[0].acknowledged);
    assert_eq!(rig.read(2, 1.0), ["high Cleared"]);
    assert_eq!(rig.read(3, 9.0), ["high Raised"]);
    assert_eq!(rig.read(4, 1.0), SILENCE, "the next one must be acknowledged again");
}

#[test]
fn acknowledging_what_is_not_active_does_nothing() {
    let mut rig = Rig::new(&[latched()]);
    rig.read(1, 1.0);
    assert!(!rig.engine.acknowledge("high", SENSOR, rig.now, &mut rig.out));
    assert!(!rig.engine.acknowledge("nonsense", "#", rig.now, &mut rig.out));
    assert!(rig.out.records.is_empty());
}

#[test]
fn a_shelved_alarm_clears_raises_nothing_and_is_raised_anew_afterwards() {
    let mut rig = Rig::new(&[high(8.0)]);
    let first = rig.events_of(1, 9.0).remove(0);
    assert!(rig.engine.shelve("high", "s/#", now(60_000).boot, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["high Cleared"]);
    assert_eq!(rig.read(2, 1.0), SILENCE);
    assert_eq!(rig.read(3, 9.5), SILENCE);
    assert_eq!(rig.engine.snapshot()[0].state, AlarmState::Normal);
    assert_eq!(rig.pass(59), SILENCE);
    rig.set(60_000);
    rig.engine.on_deadline(rig.now, &mut rig.out);
    let second = rig.events().remove(0);
    assert_ne!(first.correlation, second.correlation);
    assert_eq!(told(&second).episode.count, 1);
}

#[test]
fn an_alarm_that_is_no_longer_in_violation_when_its_shelf_ends_stays_quiet() {
    let mut rig = Rig::new(&[Alarm { deadband: 1.0, ..latched() }]);
    rig.read(1, 9.0);
    rig.read(2, 7.5);
    rig.engine.shelve("high", SENSOR, now(60_000).boot, rig.now, &mut rig.out);
    assert_eq!(rig.said(), ["high Cleared"]);
    assert_eq!(rig.pass(100), SILENCE);
    assert!(rig.engine.snapshot().is_empty());
}

#[test]
fn a_shelf_ends_early_by_word() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 1.0);
    assert!(!rig.engine.unshelve("high", SENSOR, rig.now, &mut rig.out));
    assert!(!rig.engine.shelve("high", SENSOR, rig.now.boot, rig.now, &mut rig.out), "already over");
    rig.engine.shelve("high", SENSOR, now(60_000).boot, rig.now, &mut rig.out);
    assert_eq!(rig.read(2, 9.0), SILENCE);
    assert!(rig.engine.unshelve("high", SENSOR, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["high Raised"]);
    assert_eq!(rig.pass(100), SILENCE);
}

#[test]
fn a_suppressed_alarm_is_quiet_until_it_is_told_otherwise() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    assert!(rig.engine.suppress("high", SENSOR, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["high Cleared"]);
    assert_eq!(rig.read(5000, 9.0), SILENCE);
    assert!(rig.engine.unsuppress("high", SENSOR, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["high Raised"]);
    assert!(!rig.engine.unsuppress("high", SENSOR, rig.now, &mut rig.out));
}

#[test]
fn the_end_of_a_shelf_does_not_end_a_suppression_nor_the_other_way_round() {
    let mut rig = Rig::new(&[high(8.0)]);
    rig.read(1, 9.0);
    assert!(rig.engine.shelve("high", SENSOR, now(61_000).boot, rig.now, &mut rig.out));
    assert!(rig.engine.suppress("high", SENSOR, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["high Cleared"], "once");
    assert_eq!(rig.pass(100), SILENCE);
    assert!(rig.engine.snapshot().iter().all(|view| view.suppressed && view.shelved_until.is_none()));
    assert!(rig.engine.shelve("high", SENSOR, now(161_000).boot, rig.now, &mut rig.out));
    assert!(rig.engine.unsuppress("high", SENSOR, rig.now, &mut rig.out));
    assert_eq!(rig.said(), SILENCE);
    assert_eq!(rig.pass(161), ["high Raised"]);
}
