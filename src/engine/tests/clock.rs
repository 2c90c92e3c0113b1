//! A wall clock that is set while alarms are active.

use super::support::*;
use crate::clock::{BootTime, ClockState, Now, WallTime};
use crate::config::model::{Alarm, Condition, ScheduleSpan};
use crate::engine::Accepted;
use crate::event::Event;
use crate::reading::{Reading, TimeSource};

const YEAR_NS: i64 = 365 * 24 * 3600 * 1_000_000_000;

/// So many seconds after boot, the wall clock ahead of where it should be.
fn ahead(second: u64, ahead_ns: i64) -> Now {
    let now = now(second * 1000);
    Now { wall: now.wall.offset(ahead_ns), ..now }
}

fn feed(rig: &mut Rig, now: Now, value: f64) -> Vec<Event> {
    rig.now = now;
    assert_eq!(rig.feed(&reading(SENSOR, value, now)), Accepted::Evaluated);
    rig.events()
}

#[test]
fn an_episode_over_a_jump_tells_one_story_by_the_new_clock() {
    for jump in [50 * YEAR_NS, -5 * YEAR_NS] {
        let mut rig = Rig::new(&[high(8.0)]);
        assert!(feed(&mut rig, ahead(1, 0), 5.0).is_empty());
        assert_eq!(feed(&mut rig, ahead(10, 0), 9.0).len(), 1);
        let cleared = feed(&mut rig, ahead(30, jump), 5.0);
        let data = told(&cleared[0]);
        assert_eq!(cleared[0].time, ahead(30, jump).wall);
        assert_eq!((data.episode.start, data.episode.duration_ms), (ahead(10, jump).wall, 20_000));
        let raised = feed(&mut rig, ahead(31, jump), 9.0);
        let context: Vec<WallTime> = told(&raised[0]).context.iter().map(|sample| sample.time).collect();
        assert_eq!(context, [1, 10, 30].map(|second| ahead(second, jump).wall));
    }
}

#[test]
fn stamps_of_the_sensors_stay_when_our_clock_is_set() {
    let mut rig = Rig::new(&[high(8.0)]);
    let stamped = |rig: &mut Rig, at: Now, value: f64| {
        rig.now = at;
        let reading = Reading {
            time: now(at.boot.0 / 1_000_000).wall,
            time_source: TimeSource::Payload,
            ..reading(SENSOR, value, at)
        };
        assert_eq!(rig.feed(&reading), Accepted::Evaluated);
        rig.events()
    };
    // Our clock is a day behind, then right.
    let wrong = -24 * 3600 * 1_000_000_000;
    stamped(&mut rig, ahead(1, wrong), 5.0);
    assert_eq!(stamped(&mut rig, ahead(10, wrong), 9.0).len(), 1);
    let cleared = stamped(&mut rig, ahead(30, 0), 5.0);
    assert_eq!(told(&cleared[0]).episode.start, now(10_000).wall);
    let raised = stamped(&mut rig, ahead(31, 0), 9.0);
    assert_eq!(told(&raised[0]).context[0].time, now(1_000).wall);
}

#[test]
fn a_restart_after_the_clock_was_set_knows_when_the_episode_began() {
    let mut rig = Rig::started(&[high(8.0)], ahead(0, -50 * YEAR_NS), 1);
    assert_eq!(feed(&mut rig, ahead(10, -50 * YEAR_NS), 9.0).len(), 1);
    rig.now = ahead(20, 0);
    let alarms = rig.alarms.clone();
    rig.restart(1, false, &alarms);
    let cleared = feed(&mut rig, ahead(30, 0), 5.0);
    assert_eq!(told(&cleared[0]).episode.start, ahead(10, 0).wall);
}

#[test]
fn silence_and_delays_run_on_through_jumps_both_ways() {
    let mut rig = Rig::new(&[alarm("silent", "s/+/t", Condition::Stale { after: seconds(60) })]);
    feed(&mut rig, ahead(1, 0), 5.0);
    for (second, jump) in [(20, 10 * YEAR_NS), (40, -5 * YEAR_NS), (60, 0)] {
        rig.now = ahead(second, jump);
        rig.engine.on_deadline(rig.now, &mut rig.out);
        assert_eq!(rig.said(), SILENCE, "after {second} s");
    }
    rig.now = ahead(61, 10 * YEAR_NS);
    rig.engine.on_deadline(rig.now, &mut rig.out);
    assert_eq!(rig.said(), ["silent Raised"]);
}

#[test]
fn a_schedule_follows_a_clock_that_is_set_at_once() {
    // In force on Mondays; the rig begins on one.
    let monday = ScheduleSpan { days: [true, false, false, false, false, false, false], from_min: 0, to_min: 0 };
    let mut rig = Rig::new(&[Alarm { schedule: vec![monday], ..high(8.0) }]);
    assert_eq!(feed(&mut rig, ahead(1, 0), 9.0).len(), 1);
    let day = 24 * 3600 * 1_000_000_000;
    rig.now = Now { boot: BootTime(2_000_000_000), clock: ClockState::Synchronized, ..ahead(2, day) };
    feed_same(&mut rig);
    assert!(rig.engine.next_deadline().is_some_and(|deadline| deadline <= rig.now.boot));
    rig.engine.on_deadline(rig.now, &mut rig.out);
    assert_eq!(rig.said(), ["high Cleared"]);
}

/// The reading again, which changes nothing by itself.
fn feed_same(rig: &mut Rig) {
    rig.feed(&reading(SENSOR, 9.0, rig.now));
    assert_eq!(rig.said(), SILENCE);
}
