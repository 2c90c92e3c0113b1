#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::clock::BootTime;
use crate::event::{AlarmState, Change, ConditionKind, Episode, GatewayStarted, Limit, Sample, samples};
use crate::reading::Value;

const SECOND: i64 = 1_000_000_000;
const BOOT: Uuid = Uuid::from_u128(7);
/// What the wall clock said at boot.
const WRONG: WallTime = WallTime::from_secs(3);
/// What it should have said.
const RIGHT: WallTime = WallTime::from_secs(1_800_000_000);

fn estimator() -> Estimator {
    Estimator { boot_id: BOOT, base: RIGHT.0 }
}

fn id(shown: WallTime) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(shown.as_millis()).unwrap(), &[9; 10]).into_uuid()
}

fn event(boot_s: i64, data: EventData) -> Event {
    let shown = WRONG.offset(boot_s * SECOND + 123_456_000);
    Event {
        sequence: 5,
        id: id(shown),
        subject: "zigbee/cold-store/temperature".into(),
        time: shown,
        boot: BootTime((boot_s * SECOND) as u64 + 123_456_789),
        boot_id: BOOT,
        clock: ClockState::Unsynchronized,
        severity: crate::config::model::Severity::High,
        correlation: Some(Uuid::from_u128(1)),
        data,
    }
}

fn started() -> EventData {
    EventData::GatewayStarted(GatewayStarted { version: "1".into(), previous_stop: "clean".into(), waiting: 0 })
}

/// A clear at second 60 of an episode raised at second 20, value and context by the wrong clock.
fn cleared(time_source: TimeSource) -> Event {
    let at = |second: i64| WRONG.offset(second * SECOND);
    let mut event = event(60, started());
    event.data = EventData::Alarm(Box::new(AlarmData {
        alarm: Arc::from("too-warm"),
        description: None,
        condition: ConditionKind::High,
        change: Change::Cleared,
        value: Some(Value::Number(3.0)),
        measured: None,
        unit: None,
        limit: Limit::Number(8.0),
        deadband: 1.0,
        on_delay_ms: 0,
        off_delay_ms: 0,
        before: AlarmState::Active,
        after: AlarmState::Normal,
        episode: Episode { start: at(20), peak: None, duration_ms: 40_123, count: 3 },
        value_time: Some(at(60)),
        time_source,
        context: vec![Sample { time: at(58), value: Value::Number(9.0) }],
        attributes: None,
    }));
    event
}

fn alarm(event: &Event) -> &AlarmData {
    match &event.data {
        EventData::Alarm(data) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_time_is_computed_from_the_boot_clock_and_the_identity_stays() {
    let before = event(30, started());
    let after = estimator().repair(&before);
    assert_eq!(after.time, RIGHT.offset(30 * SECOND + 123_456_000));
    assert_eq!(after.clock, ClockState::Estimated);
    let same = Event { time: before.time, clock: before.clock, ..after.into_owned() };
    assert_eq!(same, before);
}

#[test]
fn all_times_of_ours_in_an_alarm_move_together() {
    let before = cleared(TimeSource::Arrival);
    let after = estimator().repair(&before).into_owned();
    let shift = after.time.0 - before.time.0;
    let (old, new) = (alarm(&before), alarm(&after));
    assert_eq!(new.episode.start.0 - old.episode.start.0, shift);
    assert_eq!(new.value_time.unwrap().0 - old.value_time.unwrap().0, shift);
    assert_eq!(new.context[0].time.0 - old.context[0].time.0, shift);
    assert!(new.episode.start < new.context[0].time && new.context[0].time < after.time);
}

#[test]
fn times_that_the_payload_brought_stay() {
    let mut before = cleared(TimeSource::Payload);
    let stamp = RIGHT.offset(59 * SECOND);
    before.time = stamp;
    let EventData::Alarm(data) = &mut before.data else { panic!("an alarm") };
    (data.value_time, data.context[0].time) = (Some(stamp), stamp.offset(-SECOND));
    let after = estimator().repair(&before);
    assert_eq!((after.time, after.clock), (stamp, ClockState::Estimated));
    assert_eq!(alarm(&after).value_time, Some(stamp));
    assert_eq!(alarm(&after).context, alarm(&before).context);
    assert!(alarm(&after).episode.start.0.abs_diff(RIGHT.0 + 20 * SECOND) < 2 * SECOND as u64);
}

#[test]
fn a_payloads_stamp_that_cannot_be_true_gives_way_to_the_estimate() {
    for stamp in [RIGHT.offset(2 * 3600 * SECOND), RIGHT.offset(-40 * 86_400 * SECOND)] {
        let before = Event { time: stamp, ..cleared(TimeSource::Payload) };
        assert_eq!(estimator().repair(&before).time, RIGHT.offset(60 * SECOND + 123_456_000));
    }
}

#[test]
fn an_episode_from_before_an_earlier_jump_begins_as_long_ago_as_it_lasted() {
    let mut before = cleared(TimeSource::Arrival);
    let EventData::Alarm(data) = &mut before.data else { panic!("an alarm") };
    data.episode.start = WallTime::from_secs(1_600_000_000);
    let after = estimator().repair(&before);
    assert_eq!(alarm(&after).episode.start, RIGHT.offset(20 * SECOND + 456_000));
}

#[test]
fn an_episode_that_began_in_an_earlier_boot_by_a_right_clock_keeps_its_start() {
    let mut before = cleared(TimeSource::Arrival);
    let EventData::Alarm(data) = &mut before.data else { panic!("an alarm") };
    let start = RIGHT.offset(-7_000 * SECOND);
    data.episode.start = start;
    assert_eq!(alarm(&estimator().repair(&before)).episode.start, start);
}

#[test]
fn what_is_right_or_of_another_boot_is_left_alone() {
    for event in [
        Event { clock: ClockState::Synchronized, ..cleared(TimeSource::Arrival) },
        Event { clock: ClockState::Estimated, ..cleared(TimeSource::Arrival) },
        Event { boot_id: Uuid::from_u128(8), ..cleared(TimeSource::Arrival) },
    ] {
        assert!(matches!(estimator().repair(&event), Cow::Borrowed(_)));
    }
}

#[test]
fn the_order_of_two_events_is_that_of_the_boot_clock_also_over_a_jump() {
    let first = event(30, started());
    let mut second = event(31, started());
    second.time = WallTime::from_secs(1_600_000_000);
    second.id = id(second.time);
    assert!(estimator().repair(&first).time < estimator().repair(&second).time);
}

proptest! {
    #[test]
    fn any_event_at_all_is_repaired_without_harm(event in samples::any_event(), base in any::<i64>()) {
        let repaired = Estimator { boot_id: event.boot_id, base }.repair(&event);
        prop_assert_eq!((repaired.id, repaired.sequence, repaired.boot), (event.id, event.sequence, event.boot));
        prop_assert_eq!(repaired.clock == ClockState::Unsynchronized, false);
    }
}
