//! Events for tests: any that can be, and a load like that of a real site. `tests/schema.rs` uses this file too.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::*;

/// Any text a name, unit or description can be.
fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        "[a-z]{1,6}/[a-z0-9-]{1,8}/(temperature|humidity)".prop_map(Arc::from),
        "\\PC{0,12}".prop_map(Arc::from),
        "[a-z]{250,300}".prop_map(Arc::from),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    let special = prop_oneof![Just(0.0), Just(-0.0), Just(f64::MAX), Just(f64::MIN_POSITIVE), Just(0.1 + 0.2)];
    let any = any::<f64>().prop_filter("decoders let only finite numbers through", |number| number.is_finite());
    prop_oneof![(-4000_i32..4000).prop_map(|tenths| f64::from(tenths) / 10.0), any, special]
}

fn value() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => number().prop_map(Value::Number),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => text().prop_map(Value::Text),
    ]
    .boxed()
}

fn time() -> impl Strategy<Value = WallTime> {
    let near = 1_700_000_000_000_000_000_i64..1_700_000_100_000_000_000;
    prop_oneof![
        near.clone().prop_map(WallTime),
        near.prop_map(|time| WallTime(time / 1_000_000 * 1_000_000)),
        any::<i64>().prop_map(WallTime),
        Just(WallTime(i64::MIN)),
        Just(WallTime(i64::MAX)),
    ]
}

fn uuid() -> impl Strategy<Value = Uuid> {
    prop_oneof![
        any::<u128>().prop_map(Uuid::from_u128),
        (0_u64..1 << 48, any::<[u8; 10]>())
            .prop_map(|(ms, random)| uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid()),
    ]
}

fn carried() -> BoxedStrategy<Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        number().prop_map(Json::from),
        "\\PC{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec(("[a-z]{0,3}", inner), 0..4).prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
    .boxed()
}

fn limit() -> impl Strategy<Value = Limit> {
    prop_oneof![
        number().prop_map(Limit::Number),
        [number(), number()].prop_map(Limit::Range),
        vec(value(), 0..3).prop_map(Limit::Values),
        vec(Just(Value::Number(1.0)), 30..36).prop_map(Limit::Values),
    ]
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

fn alarm_data() -> BoxedStrategy<AlarmData> {
    use AlarmState::{Active, Clearing, Normal, Pending};
    use Change::{Cleared, Escalated, Raised, Repeated, Superseded};
    use ConditionKind::{Deviation, Equals, High, Low, NotEquals, Outside, RateAbove, Stale};
    let names = (text(), proptest::option::of(text()), proptest::option::of(text()));
    let states = (
        one_of(&[High, Low, Outside, Equals, NotEquals, RateAbove, Deviation, Stale]),
        one_of(&[Raised, Escalated, Repeated, Cleared, Superseded]),
        one_of(&[Normal, Pending, Active, Clearing]),
        one_of(&[Normal, Pending, Active, Clearing]),
        one_of(&[TimeSource::Payload, TimeSource::Arrival, TimeSource::Doubtful]),
    );
    let numbers = (limit(), number(), any::<u64>(), any::<u64>(), proptest::option::of(number()));
    let episode = (time(), proptest::option::of(value()), any::<u64>(), any::<u64>())
        .prop_map(|(start, peak, duration_ms, count)| Episode { start, peak, duration_ms, count });
    let values = (
        proptest::option::of(value()),
        proptest::option::of(time()),
        vec((time(), value()).prop_map(|(time, value)| Sample { time, value }), 0..6),
        proptest::option::of(vec((text(), carried()), 0..4).prop_map(Arc::new)),
    );
    (names, states, numbers, episode, values)
        .prop_map(|(names, states, numbers, episode, values)| AlarmData {
            alarm: names.0,
            description: names.1,
            unit: names.2.map(Into::into),
            condition: states.0,
            change: states.1,
            before: states.2,
            after: states.3,
            time_source: states.4,
            limit: numbers.0,
            deadband: numbers.1,
            on_delay_ms: numbers.2,
            off_delay_ms: numbers.3,
            measured: numbers.4,
            episode,
            value: values.0,
            value_time: values.1,
            context: values.2,
            attributes: values.3,
        })
        .boxed()
}

fn data() -> BoxedStrategy<EventData> {
    let words = "\\PC{0,20}";
    let change =
        (words, words, any::<u64>()).prop_map(|(source, reason, away_ms)| SourceChange { source, reason, away_ms });
    let lost = (words, any::<u64>(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |(reason, count, first_sequence, last_sequence, whole_range)| {
            EventData::EventsLost(EventsLost { reason, count, first_sequence, last_sequence, whole_range })
        },
    );
    let started = (words, words, any::<u64>()).prop_map(|(version, previous_stop, waiting)| {
        EventData::GatewayStarted(GatewayStarted { version, previous_stop, waiting })
    });
    prop_oneof![
        6 => alarm_data().prop_map(|alarm| EventData::Alarm(Box::new(alarm))),
        1 => change.clone().prop_map(|change| EventData::SourceLost(SourceChange { away_ms: 0, ..change })),
        1 => change.prop_map(EventData::SourceRestored),
        1 => lost,
        1 => started,
    ]
    .boxed()
}

/// Any event at all.
pub(crate) fn any_event() -> BoxedStrategy<Event> {
    let clocks = &[ClockState::Synchronized, ClockState::Estimated, ClockState::Unsynchronized];
    (
        (any::<u64>(), uuid(), text(), time(), any::<u64>(), uuid()),
        (one_of(clocks), one_of(&Severity::ALL), proptest::option::of(uuid()), data()),
    )
        .prop_map(|(head, tail)| Event {
            sequence: head.0,
            id: head.1,
            subject: head.2,
            time: head.3,
            boot: BootTime(head.4),
            boot_id: head.5,
            clock: tail.0,
            severity: tail.1,
            correlation: tail.2,
            data: tail.3,
        })
        .boxed()
}

/// Any events, related to each other as those of a run are: same episodes, shared fields, repeated context.
pub(crate) fn any_events() -> impl Strategy<Value = Vec<Event>> {
    (vec(any_event(), 0..12), vec(any::<u8>(), 12)).prop_map(|(mut events, dice)| {
        for index in 1..events.len() {
            let (before, from) = events.split_at_mut(index);
            let (last, event) = (&before[index - 1], &mut from[0]);
            if dice[index] & 1 != 0 {
                event.correlation = Some(before[usize::from(dice[index]) % index].id);
            }
            if dice[index] & 2 != 0 {
                event.sequence = last.sequence.wrapping_add(1);
                event.boot_id = last.boot_id;
                event.subject = last.subject.clone();
            }
            if let (EventData::Alarm(last), EventData::Alarm(alarm), true) =
                (&last.data, &mut event.data, dice[index] & 4 != 0)
            {
                alarm.attributes = last.attributes.clone();
                alarm.context.splice(0..0, last.context.iter().skip(1).cloned());
                alarm.episode.peak = alarm.value.clone();
                alarm.limit = last.limit.clone();
            }
        }
        events
    })
}

/// How a [`Load`] is made.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Sensors, taking turns.
    pub sensors: usize,
    /// Readings per second over all sensors.
    pub rate: u64,
    /// Readings a sensor between two crossings.
    pub between: usize,
    /// Times are as exact as the clock, ns; else us.
    pub nanos: bool,
    /// A slow real quantity instead of independent values.
    pub slow: bool,
    /// An event each reading above (no clears).
    pub level: bool,
}

/// `count` events: values with one decimal from 60.0 to 89.9 against a limit of 75, `seq` and `ts` carried.
pub(crate) fn load(load: Load, count: usize) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(7);
    let boot_id = Uuid::from_u128(random.u128(..));
    let mut seen: Vec<Vec<Sample>> = vec![Vec::new(); load.sensors];
    let mut episodes: Vec<Option<(Uuid, WallTime, f64, u64)>> = vec![None; load.sensors];
    let mut events = Vec::new();
    let mut wall = 1_795_219_574_393_487_123_i64;
    let offset = wall - 86_400_000_123_456;
    let mut round = 0_usize;
    while events.len() < count {
        for sensor in 0..load.sensors {
            let step = 1_000_000_000 / load.rate as i64;
            wall += step + random.i64(-step / 5..=step / 5);
            let sent = WallTime(wall / 1000 * 1000);
            let time = if load.nanos { WallTime(wall + random.i64(20_000..90_000)) } else { sent };
            let above = if load.level { true } else { round / load.between % 2 == 1 };
            let tenths = if load.slow {
                (if above { 760 } else { 740 }) + random.i32(-4..=4)
            } else {
                (if above { 800 } else { 600 }) + random.i32(0..100)
            };
            let number = f64::from(tenths) / 10.0;
            let is_event = load.level || (round > 0 && round.is_multiple_of(load.between));
            if is_event {
                let now = time.0 + if load.nanos { 0 } else { random.i64(90_000..160_000) };
                let ms = (now / 1_000_000) as u64;
                let mut tail = [0; 10];
                random.fill(&mut tail);
                let id = uuid::Builder::from_unix_timestamp_millis(ms, &tail).into_uuid();
                let change = match (load.level, above) {
                    (true, _) if episodes[sensor].is_some() => Change::Repeated,
                    (_, true) => Change::Raised,
                    _ => Change::Cleared,
                };
                if change == Change::Raised {
                    episodes[sensor] = Some((id, time, number, 0));
                }
                if let Some((episode, start, peak, readings)) = &mut episodes[sensor] {
                    *peak = peak.max(number);
                    *readings += load.between as u64;
                    let context = match change {
                        Change::Raised => seen[sensor].iter().rev().take(10).rev().cloned().collect(),
                        _ => Vec::new(),
                    };
                    let micros = sent.0 / 1000;
                    let sequence = events.len() as u64 + 1;
                    let data = AlarmData {
                        alarm: "too-warm".into(),
                        description: Some("Boiler room above what the pumps can stand".into()),
                        condition: ConditionKind::High,
                        change,
                        value: Some(Value::Number(number)),
                        measured: None,
                        unit: Some("°C".into()),
                        limit: Limit::Number(75.0),
                        deadband: 2.0,
                        on_delay_ms: 0,
                        off_delay_ms: 0,
                        before: if change == Change::Raised { AlarmState::Normal } else { AlarmState::Active },
                        after: if change == Change::Cleared { AlarmState::Normal } else { AlarmState::Active },
                        episode: Episode {
                            start: *start,
                            peak: Some(Value::Number(*peak)),
                            duration_ms: ((time.0 - start.0) / 1_000_000) as u64,
                            count: *readings,
                        },
                        value_time: Some(time),
                        time_source: if load.nanos { TimeSource::Arrival } else { TimeSource::Payload },
                        context,
                        attributes: Some(Arc::new(vec![
                            ("seq".into(), json!(sequence * 3)),
                            ("ts".into(), json!(micros)),
                        ])),
                    };
                    events.push(Event {
                        sequence,
                        id,
                        subject: format!("bench/s{sensor}/value").into(),
                        time,
                        boot: BootTime((now - offset) as u64),
                        boot_id,
                        clock: ClockState::Synchronized,
                        severity: Severity::High,
                        correlation: Some(*episode),
                        data: EventData::Alarm(Box::new(data)),
                    });
                }
            }
            seen[sensor].push(Sample { time, value: Value::Number(number) });
        }
        round += 1;
    }
    events.truncate(count);
    events
}
