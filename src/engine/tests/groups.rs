//! Exclusive groups: several limits on one sensor, one alarm at a time.

use super::support::*;
use crate::config::model::{Alarm, Severity};
use crate::event::{Change, Event};

fn member(name: &str, limit: f64, severity: Severity) -> Alarm {
    Alarm { name: name.into(), group: Some("level".into()), severity, ..high(limit) }
}

fn pair() -> [Alarm; 2] {
    [member("warm", 8.0, Severity::Medium), member("hot", 10.0, Severity::Critical)]
}

#[test]
fn a_more_severe_alarm_takes_over_and_gives_back_within_one_episode() {
    let mut rig = Rig::new(&pair());
    let mut events: Vec<Event> = Vec::new();
    for (second, value) in [(1, 9.0), (2, 11.0), (3, 12.0), (4, 9.5), (5, 7.0)] {
        events.extend(rig.events_of(second, value));
    }
    let said: Vec<_> = events.iter().map(|event| (&*told(event).alarm, told(event).change)).collect();
    use Change::*;
    assert_eq!(
        said,
        [
            ("warm", Raised),
            ("warm", Superseded),
            ("hot", Escalated),
            ("hot", Superseded),
            ("warm", Escalated),
            ("warm", Cleared)
        ]
    );
    assert!(events.iter().all(|event| event.correlation == Some(events[0].id)));
    assert!(events.iter().all(|event| told(event).episode.start == events[0].time));
    assert_eq!(told(&events[5]).episode.duration_ms, 4000);
    assert_eq!(events[2].severity, Severity::Critical);
}

#[test]
fn a_jump_straight_to_the_top_raises_only_the_most_severe() {
    let mut rig = Rig::new(&pair());
    assert_eq!(rig.read(1, 20.0), ["hot Raised"]);
    assert_eq!(rig.read(2, 1.0), ["hot Cleared"]);
}

#[test]
fn delays_count_for_each_member_by_itself() {
    let [warm, hot] = pair();
    let mut rig = Rig::new(&[warm, Alarm { on_delay: seconds(10), off_delay: seconds(5), ..hot }]);
    assert_eq!(rig.read(0, 20.0), ["warm Raised"]);
    assert_eq!(rig.pass(10), ["warm Superseded", "hot Escalated"]);
    assert_eq!(rig.read(11, 9.0), SILENCE, "still clearing");
    assert_eq!(rig.pass(16), ["hot Superseded", "warm Escalated"]);
}

#[test]
fn among_equals_the_first_configured_wins() {
    let mut rig = Rig::new(&[member("one", 8.0, Severity::Low), member("two", 7.0, Severity::Low)]);
    assert_eq!(rig.read(1, 7.5), ["two Raised"]);
    assert_eq!(rig.read(2, 9.0), ["two Superseded", "one Escalated"]);
}

#[test]
fn the_same_group_on_another_sensor_is_another_group() {
    let mut rig = Rig::new(&pair());
    assert_eq!(rig.read(1, 11.0), ["hot Raised"]);
    assert_eq!(rig.read_of("s/b/t", 2, 9.0), ["warm Raised"]);
}

#[test]
fn a_shelved_member_steps_aside_for_the_next() {
    let mut rig = Rig::new(&pair());
    rig.read(1, 11.0);
    assert!(rig.engine.shelve("hot", SENSOR, now(60_000).boot, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["hot Superseded", "warm Escalated"]);
    assert_eq!(rig.pass(60), ["warm Superseded", "hot Escalated"]);
}

#[test]
fn reminders_are_those_of_the_member_that_is_shown() {
    let [warm, hot] = pair();
    let mut rig = Rig::new(&[Alarm { repeat_every: Some(seconds(10)), ..warm }, hot]);
    assert_eq!(rig.read(0, 9.0), ["warm Raised"]);
    assert_eq!(rig.read(5, 11.0), ["warm Superseded", "hot Escalated"]);
    assert_eq!(rig.pass(100), SILENCE);
    assert_eq!(rig.read(101, 9.0), ["hot Superseded", "warm Escalated"]);
    assert_eq!(rig.pass(111), ["warm Repeated"]);
}

#[test]
fn a_latched_member_that_was_told_waits_for_its_acknowledgement() {
    let [warm, hot] = pair();
    let mut rig = Rig::new(&[Alarm { latched: true, ..warm }, hot]);
    rig.read(1, 9.0);
    rig.read(2, 11.0);
    assert_eq!(rig.read(3, 1.0), ["hot Superseded", "warm Escalated"]);
    assert!(rig.engine.acknowledge("warm", SENSOR, rig.now, &mut rig.out));
    assert_eq!(rig.said(), ["warm Cleared"]);
    assert_eq!(rig.read(4, 11.0), ["hot Raised"]);
    assert_eq!(rig.read(5, 1.0), ["hot Cleared"], "warm was never told this time");
}
