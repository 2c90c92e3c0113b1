//! Random histories: whatever comes in, what goes out tells a consistent story.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use uuid::Uuid;

use super::support::*;
use crate::clock::{BootTime, ClockState, Now, WallTime};
use crate::config::model::{Alarm, Condition, RateDirection, ScheduleSpan, SetPoint, Severity};
use crate::engine::{Engine, Output, Settings, record};
use crate::event::{AlarmData, AlarmRecord, AlarmState, Change, ConditionKind, Event, Limit};
use crate::reading::{Reading, SensorId, TimeSource, Value};

/// Something that happens to the engine.
#[derive(Clone, Debug)]
enum Happening {
    Reading { sensor: usize, value: Value, stamp_s: i64, source: TimeSource, fresh: bool },
    Time { millis: u64 },
    WallJump { seconds: i64 },
    Confirmed(bool),
    Commit,
    Restart { other_boot: bool, away_s: i64, config: usize, loses: bool },
    Reload { config: usize },
    Acknowledge { alarm: usize },
    Shelve { alarm: usize, seconds: u64 },
    Unshelve { alarm: usize },
    Suppress { alarm: usize, on: bool },
}

const SENSORS: [&str; 4] = ["s/0/t", "s/1/t", "s/2/t", "x/never"];
const ALARMS: [&str; 12] =
    ["warm", "hot", "boil", "low", "band", "door", "not", "rate", "off", "set", "silent", "named"];

/// Four configurations with the same names, and in each something else.
fn config(variant: usize) -> Vec<Alarm> {
    let level = |name: &str, limit: f64, severity| Alarm {
        name: name.into(),
        sensors: vec!["s/#".into()],
        group: Some("level".into()),
        severity,
        deadband: [1.0, 0.0, 2.0, 1.0][variant],
        ..high(limit + variant as f64)
    };
    let delay = |seconds: [u64; 4]| Duration::from_secs(seconds[variant]);
    let any = |name: &str, condition| alarm(name, "s/+/t", condition);
    let office = ScheduleSpan { days: [true, true, false, true, true, false, true], from_min: 1, to_min: 720 };
    let mut alarms = vec![
        Alarm { on_delay: delay([0, 5, 0, 30]), latched: variant == 2, ..level("warm", 2.0, Severity::Low) },
        Alarm { off_delay: delay([0, 0, 20, 5]), ..level("hot", 4.0, Severity::High) },
        Alarm { min_samples: 2, ..level("boil", 6.0, Severity::Critical) },
        Alarm { latched: true, repeat_every: Some(seconds(40)), ..any("low", Condition::Low(-2.0)) },
        Alarm {
            schedule: if variant < 2 { vec![office] } else { Vec::new() },
            deadband: 1.0,
            off_delay: delay([0, 3, 0, 0]),
            ..any("band", Condition::Outside { low: -4.0, high: 4.0 })
        },
        any("door", Condition::Equals(vec![Value::Text("open".into()), Value::Bool(true)])),
        Alarm {
            hold_off: delay([0, 60, 0, 20]),
            min_samples: 1 + variant as u32,
            ..any("not", Condition::NotEquals(vec![Value::Number(0.0), Value::Number(1.0), Value::Text("shut".into())]))
        },
        any("rate", Condition::RateAbove { per_second: 0.2, window: seconds(20), direction: RateDirection::Both }),
        Alarm {
            deadband: 0.5,
            on_delay: delay([0, 4, 0, 0]),
            ..any("off", Condition::Deviation { from: SetPoint::Sensor("s/1/t".into()), above: 3.0 })
        },
        any("set", Condition::Deviation { from: SetPoint::Value(1.0), above: 4.0 }),
        Alarm {
            latched: variant == 3,
            on_delay: delay([0, 5, 0, 0]),
            off_delay: delay([0, 0, 7, 0]),
            repeat_every: Some(seconds(50)),
            group: (variant == 1).then(|| "level".into()),
            ..alarm("silent", "#", Condition::Stale { after: seconds(30) })
        },
        Alarm { hold_off: delay([0, 90, 0, 0]), ..alarm("named", "x/never", Condition::Stale { after: seconds(45) }) },
    ];
    match variant {
        1 => alarms.retain(|alarm| &*alarm.name != "hot"),
        2 => alarms[3].condition = Condition::High(5.0),
        3 => {
            alarms[0].group = None;
            alarms.swap(1, 2);
            alarms[4].sensors = vec!["s/2/t".into()];
        }
        _ => {}
    }
    alarms
}

fn happening() -> impl Strategy<Value = Happening> {
    let value = prop_oneof![
        8 => (-8..10_i32).prop_map(|number| Value::Number(f64::from(number))),
        2 => prop::sample::select(vec!["open", "shut", "E04"]).prop_map(|text| Value::Text(text.into())),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Integer(i64::MAX)),
    ];
    let source =
        prop_oneof![3 => Just(TimeSource::Payload), 3 => Just(TimeSource::Arrival), 1 => Just(TimeSource::Doubtful)];
    let stamp = prop_oneof![6 => Just(0_i64), 2 => -20..20_i64, 1 => Just(3600)];
    let fresh = prop::bool::weighted(0.95);
    let reading =
        (0..SENSORS.len(), value, stamp, source, fresh).prop_map(|(sensor, value, stamp_s, source, fresh)| {
            Happening::Reading { sensor, value, stamp_s, source, fresh }
        });
    let restart = (any::<bool>(), 0..200_i64, 0..4_usize, any::<bool>())
        .prop_map(|(other_boot, away_s, config, loses)| Happening::Restart { other_boot, away_s, config, loses });
    let alarm = 0..ALARMS.len();
    prop_oneof![
        30 => reading,
        14 => prop_oneof![0..3_000_u64, 0..60_000_u64].prop_map(|millis| Happening::Time { millis }),
        1 => (-100_000..100_000_i64).prop_map(|seconds| Happening::WallJump { seconds }),
        1 => any::<bool>().prop_map(Happening::Confirmed),
        3 => Just(Happening::Commit),
        2 => restart,
        1 => (0..4_usize).prop_map(|config| Happening::Reload { config }),
        2 => alarm.clone().prop_map(|alarm| Happening::Acknowledge { alarm }),
        1 => (alarm.clone(), 0..100_u64).prop_map(|(alarm, seconds)| Happening::Shelve { alarm, seconds }),
        1 => alarm.clone().prop_map(|alarm| Happening::Unshelve { alarm }),
        1 => (alarm, any::<bool>()).prop_map(|(alarm, on)| Happening::Suppress { alarm, on }),
    ]
}

/// One step's output, with the configuration it was made under.
struct Made {
    config: usize,
    out: Output,
}

/// The engine, the store behind it and the consumer behind that.
struct World {
    engine: Engine,
    now: Now,
    boot_id: u128,
    config: usize,
    uncommitted: Vec<Made>,
    records: BTreeMap<(Arc<str>, Arc<str>), AlarmRecord>,
    active: BTreeMap<(Arc<str>, Arc<str>), Uuid>,
    ids: HashSet<Uuid>,
    runs: u64,
}

impl World {
    fn new() -> Self {
        let now = now(0);
        Self {
            engine: Engine::new(settings(now, 1), &config(0)),
            now,
            boot_id: 1,
            config: 0,
            uncommitted: Vec::new(),
            records: BTreeMap::new(),
            active: BTreeMap::new(),
            ids: HashSet::new(),
            runs: 0,
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let mut out = Output::default();
        match happening {
            Happening::Reading { sensor, value, stamp_s, source, fresh } => {
                let stamp = if *source == TimeSource::Payload { *stamp_s } else { 0 };
                let reading = Reading {
                    sensor: SensorId::new(SENSORS[*sensor]),
                    value: value.clone(),
                    unit: None,
                    time: self.now.wall.offset(stamp * 1_000_000_000),
                    time_source: *source,
                    fresh: *fresh,
                    attributes: None,
                };
                self.engine.on_reading(&reading, self.now, &mut out);
            }
            Happening::Time { millis } => return self.pass(*millis),
            Happening::WallJump { seconds } => {
                self.now.wall = self.now.wall.offset(seconds * 1_000_000_000);
            }
            Happening::Confirmed(yes) => {
                self.now.clock = if *yes { ClockState::Synchronized } else { ClockState::Unsynchronized };
            }
            Happening::Commit => return self.commit(),
            Happening::Restart { other_boot, away_s, config, loses } => {
                return self.restart(*other_boot, *away_s, *config, *loses);
            }
            Happening::Reload { config: new } => {
                self.config = *new;
                self.engine.reconfigure(&config(*new), TimeZone::UTC, self.now, &mut out);
                let mut again = Output::default();
                self.engine.reconfigure(&config(*new), TimeZone::UTC, self.now, &mut again);
                assert!(again.events.is_empty() && again.records.is_empty());
            }
            Happening::Acknowledge { alarm } => {
                self.engine.acknowledge(ALARMS[*alarm], "#", self.now, &mut out);
            }
            Happening::Shelve { alarm, seconds } => {
                let until = self.now.boot.after(Duration::from_secs(*seconds));
                self.engine.shelve(ALARMS[*alarm], "+/+/+", until, self.now, &mut out);
            }
            Happening::Unshelve { alarm } => {
                self.engine.unshelve(ALARMS[*alarm], "#", self.now, &mut out);
            }
            Happening::Suppress { alarm, on: true } => {
                self.engine.suppress(ALARMS[*alarm], "s/#", self.now, &mut out);
            }
            Happening::Suppress { alarm, on: false } => {
                self.engine.unsuppress(ALARMS[*alarm], "s/#", self.now, &mut out);
            }
        }
        self.made(out);
    }

    /// Time passes; the engine is called when it asks, and does not ask for the past for ever.
    fn pass(&mut self, millis: u64) {
        let until = self.now.boot.after(Duration::from_millis(millis));
        let mut at_once = 0;
        while let Some(deadline) = self.engine.next_deadline().filter(|deadline| *deadline <= until) {
            at_once = if deadline > self.now.boot { 0 } else { at_once + 1 };
            assert!(at_once < 3, "asks again and again for {deadline:?}");
            self.move_to(deadline.max(self.now.boot));
            let mut out = Output::default();
            self.engine.on_deadline(self.now, &mut out);
            self.made(out);
        }
        self.move_to(until);
    }

    fn move_to(&mut self, boot: BootTime) {
        let passed = i64::try_from(boot.since(self.now.boot).as_nanos()).unwrap();
        self.now.wall = self.now.wall.offset(passed);
        self.now.boot = boot;
    }

    fn made(&mut self, out: Output) {
        assert!(self.engine.timers.len() <= self.engine.machines());
        self.uncommitted.push(Made { config: self.config, out });
    }

    /// What was made reaches the store, and the consumer.
    fn commit(&mut self) {
        for made in std::mem::take(&mut self.uncommitted) {
            for record in &made.out.records {
                let key = (Arc::clone(&record.alarm), Arc::clone(&record.sensor));
                self.records.insert(key, record.clone());
            }
            self.records.retain(|_, record| !record.state.is_empty());
            self.consume(&made);
        }
        // What the engine shows now is what the consumer believes.
        let shown: BTreeMap<_, _> = self
            .engine
            .snapshot()
            .into_iter()
            .filter_map(|view| Some(((view.alarm, view.sensor), view.correlation?)))
            .collect();
        assert_eq!(shown, self.active);
    }

    fn restart(&mut self, other_boot: bool, away_s: i64, new: usize, loses: bool) {
        if loses {
            self.uncommitted.clear();
        } else {
            self.commit();
        }
        self.config = new;
        self.now.wall = self.now.wall.offset(away_s * 1_000_000_000);
        self.now.boot = if other_boot { BootTime(7_000_000_000) } else { self.now.boot.after(seconds(away_s as u64)) };
        self.boot_id += u128::from(other_boot);
        self.runs += 1;
        let settings = Settings { seed: self.runs, ..settings(self.now, self.boot_id) };
        self.engine = Engine::new(settings, &config(new));
        let records: Vec<AlarmRecord> = self.records.values().cloned().collect();
        let mut out = Output::default();
        self.engine.restore(&records, self.now, &mut out);
        self.made(out);
    }

    /// Checks a step's events one by one, and the groups after it.
    fn consume(&mut self, made: &Made) {
        let alarms = config(made.config);
        let mut superseded: HashMap<Arc<str>, Uuid> = HashMap::new();
        for event in &made.out.events {
            let data = told(event);
            let key = (Arc::clone(&data.alarm), Arc::clone(&event.subject));
            let episode = event.correlation.expect("every alarm event has an episode");
            assert!(self.ids.insert(event.id), "an id twice");
            match data.change {
                Change::Raised | Change::Escalated => {
                    assert!(raises(data.change));
                    assert_eq!(self.active.insert(key, episode), None, "raised twice: {data:?}");
                    let definition = alarms.iter().find(|alarm| alarm.name == data.alarm).expect("configured");
                    check_raise(event, data, definition);
                    if data.change == Change::Raised {
                        assert_eq!(event.id, episode);
                    } else {
                        assert_eq!(superseded.remove(&event.subject), Some(episode), "escalated from what?");
                    }
                }
                Change::Repeated => assert_eq!(self.active.get(&key), Some(&episode)),
                Change::Cleared | Change::Superseded => {
                    assert!(clears(data.change));
                    assert_eq!(self.active.remove(&key), Some(episode), "cleared, but not active: {data:?}");
                    assert_eq!(data.after, AlarmState::Normal);
                    if data.change == Change::Superseded {
                        superseded.insert(Arc::clone(&event.subject), episode);
                    }
                }
            }
            assert!(raises(data.change) || data.context.is_empty());
        }
        assert!(superseded.is_empty(), "superseded by nobody");
        let mut groups = HashSet::new();
        for (name, sensor) in self.active.keys() {
            let group = alarms.iter().find(|alarm| alarm.name == *name).and_then(|alarm| alarm.group.clone());
            if let Some(group) = group {
                assert!(groups.insert((group, sensor)), "two of a group are active on {sensor}");
            }
        }
    }
}

/// A raise tells of a violation.
fn check_raise(event: &Event, data: &AlarmData, alarm: &Alarm) {
    assert!(matches!(data.after, AlarmState::Active | AlarmState::Clearing));
    assert!(data.context.len() <= alarm.context);
    let number = data.value.as_ref().and_then(Value::as_f64);
    let held = data.change == Change::Escalated && (alarm.latched || !alarm.off_delay.is_zero());
    // An episode that goes on at another member may be kept there by the deadband only.
    let slack = if data.change == Change::Escalated { -alarm.deadband - 1e-9 } else { 0.0 };
    let beyond = |distance: f64| assert!(held || distance > slack, "{event:?}");
    match (&data.limit, data.condition) {
        (Limit::Number(limit), ConditionKind::High) => beyond(number.unwrap() - limit),
        (Limit::Number(limit), ConditionKind::Low) => beyond(limit - number.unwrap()),
        (Limit::Range([low, high]), _) => beyond((low - number.unwrap()).max(number.unwrap() - high)),
        (Limit::Number(limit), ConditionKind::RateAbove | ConditionKind::Deviation) => {
            beyond(data.measured.unwrap().abs() - limit);
        }
        (Limit::Number(limit), ConditionKind::Stale) => assert!(held || data.measured.unwrap() >= *limit, "{event:?}"),
        (Limit::Values(values), kind) => {
            let listed = values.iter().any(|value| value.same_state(data.value.as_ref().unwrap()));
            assert_eq!(listed, kind == ConditionKind::Equals, "{event:?}");
        }
        other => panic!("{other:?}"),
    }
    if data.condition != ConditionKind::Stale {
        assert!(data.episode.count >= 1 && data.episode.peak.is_some(), "{event:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_raises_and_clears_alternate_and_episodes_hold_together(
        history in prop::collection::vec(happening(), 1..150)
    ) {
        let mut world = World::new();
        for happening in &history {
            world.happen(happening);
        }
        world.commit();
    }

    #[test]
    fn a_crash_after_any_step_changes_nothing_for_the_consumer(
        history in prop::collection::vec(happening(), 1..60), other_boot in any::<bool>()
    ) {
        let mut world = World::new();
        for happening in &history {
            world.happen(happening);
            world.commit();
            let before = world.active.clone();
            let config = world.config;
            world.restart(other_boot, 0, config, false);
            // A schedule may have closed meanwhile; nothing else says anything because of a restart.
            let said: usize = world.uncommitted.iter().map(|made| made.out.events.len()).sum();
            world.commit();
            prop_assert!(said == 0 || world.active != before);
        }
    }

    #[test]
    fn records_of_any_bytes_are_taken_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let now = Now { wall: WallTime(i64::MIN), ..now(0) };
        let mut state = vec![record::VERSION];
        state.extend(bytes);
        let record = AlarmRecord { alarm: "warm".into(), sensor: "s/0/t".into(), state };
        let mut engine = Engine::new(settings(now, 1), &config(0));
        let mut out = Output::default();
        engine.restore(&[record], now, &mut out);
        prop_assert!(out.events.is_empty());
    }
}
