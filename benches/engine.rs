//! What the pure steps cost as the gateway grows: the alarm engine by condition and number of alarms, the event's
//! encodings, the delivery window.
//!
//! ```text
//! cargo bench --bench engine
//! ```
//!
//! The engine, twice. *one speaks*: so many alarms, each on a sensor of its own, and one of the sensors reports; what a
//! reading costs must not grow with the alarms that do not match it. *all speak*: the sensors report in turn; what
//! grows here is the memory that does not fit into the processor's caches, and nothing else may. Sizes take turns; what
//! counts is processor time, so that a busy machine does little harm.
//!
//! Encodings run beside serde_json writing the same fields from a plain struct and beside copying the finished bytes, the
//! window beside a `VecDeque` of what is in flight. Medians of the rounds are printed, and ratios.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on is to fail on the spot")]

mod support;
#[path = "engine/window.rs"]
mod window;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use support::cloud_event::CloudEvent;
use support::load::{self, GATEWAY, Site};
use support::machine;
use support::stats::{beside, grouped, in_turn, median, seconds};
use tidegate::config::model::{Alarm, Condition, Encoding, RateDirection, SetPoint};
use tidegate::engine::{Accepted, Engine, Output};
use tidegate::event::{Event, stored, wire};
use tidegate::reading::{Reading, SensorId, TimeSource, Value};

const ROUNDS: usize = 7;

/// Alarms, and sensors: one each.
const SIZES: [usize; 3] = [1, 1_000, 100_000];

/// Readings between two times that the outcome of the engine is handed on: a turn of the pipeline.
const TURN: usize = 512;

/// Readings of each sensor before it counts, one a second: a rate's window is full then.
const WARM: u64 = 20;

/// How much more a reading may cost among many alarms that do not match it. A sensor is found in a hash map: what the
/// ratio holds beyond 1 is memory, not work.
const RATIO_MAX: f64 = 1.5;

/// Events encoded in a round's call.
const EVENTS: usize = 6_400;

/// Events in one of the store's frames.
const FRAME_EVENTS: usize = 64;

/// Events in flight, as by default.
const WINDOW: usize = 256;

fn main() {
    if !machine::is_bench() {
        return println!("engine: run it by `cargo bench --bench engine`");
    }
    machine::announce("engine");
    stepping();
    arriving();
    encoding();
    window::window();
    println!("\nload at the end: {}", machine::load());
}

/// A kind of alarm, and what its sensors say.
struct Case {
    name: &'static str,
    condition: Condition,
    /// Changes the alarm further.
    change: fn(&mut Alarm),
    /// The value at a sensor's reading with this number.
    value: fn(u64) -> Value,
}

fn tenths(number: u64) -> f64 {
    60.0 + (number % 100) as f64 / 10.0
}

fn cases() -> Vec<Case> {
    let quiet = |number| Value::Number(tenths(number));
    let case = |name, condition| Case { name, condition, change: |_| {}, value: quiet };
    // The same text again and again, as a decoder gives it.
    let state: fn(u64) -> Value = |number| {
        thread_local!(static NAMES: [Arc<str>; 2] = ["open".into(), "closed".into()]);
        NAMES.with(|names| Value::Text(Arc::clone(&names[usize::from(number.is_multiple_of(2))])))
    };
    let rate =
        Condition::RateAbove { per_second: 1_000.0, window: Duration::from_secs(10), direction: RateDirection::Both };
    vec![
        case("high", Condition::High(75.0)),
        case("low", Condition::Low(10.0)),
        case("outside", Condition::Outside { low: 10.0, high: 75.0 }),
        Case { value: state, ..case("equals", Condition::Equals(vec![Value::Text("fault".into())])) },
        Case {
            value: state,
            ..case("not-equals", Condition::NotEquals(["open", "closed"].map(|s| Value::Text(s.into())).into()))
        },
        case("rate-above", rate),
        case("deviation, fixed", Condition::Deviation { from: SetPoint::Value(65.0), above: 20.0 }),
        case("deviation, sensor", Condition::Deviation { from: SetPoint::Sensor("site/a/value".into()), above: 20.0 }),
        case("stale", Condition::Stale { after: Duration::from_secs(10) }),
        Case {
            change: |alarm| (alarm.on_delay, alarm.off_delay) = (Duration::from_secs(3), Duration::from_secs(3)),
            value: |number| Value::Number(if number % 4 < 2 { 60.0 } else { 80.0 }),
            ..case("high, delays at work", Condition::High(75.0))
        },
        Case { change: |alarm| alarm.group = Some("g".into()), ..case("high, in a group", Condition::High(75.0)) },
        Case {
            value: |number| Value::Number(if number.is_multiple_of(2) { 60.0 } else { 80.0 }),
            ..case("high, each crosses", Condition::High(75.0))
        },
    ]
}

/// The configuration's defaults for the rest of an alarm.
fn alarm(case: &Case, name: &str, sensors: String) -> Alarm {
    thread_local!(static DEFAULTS: Alarm = load::configuration(&format!(
        "gateway.id = \"{GATEWAY}\"\n[[alarm]]\nname = \"a\"\nsensors = [\"#\"]\nhigh = 1.0\n"
    )).alarms.remove(0));
    let mut alarm = DEFAULTS.with(|defaults| Alarm {
        name: name.into(),
        sensors: vec![sensors],
        condition: case.condition.clone(),
        deadband: 0.0,
        ..defaults.clone()
    });
    (case.change)(&mut alarm);
    alarm
}

fn sensor(index: usize) -> String {
    format!("site/s{index:06}/value")
}

fn reading(name: String) -> Reading {
    Reading {
        sensor: SensorId::new(name),
        value: Value::Number(60.0),
        unit: Some("°C".into()),
        time: load::at(0).wall,
        time_source: TimeSource::Arrival,
        fresh: true,
        attributes: None,
    }
}

/// As many alarms as sensors, and the sensors that speak.
struct Plant {
    engine: Engine,
    readings: Vec<Reading>,
    value: fn(u64) -> Value,
    out: Output,
    turn: u64,
}

impl Plant {
    fn new(case: &Case, alarms: usize, speaking: usize) -> Self {
        let mut all: Vec<Alarm> =
            (0..alarms).map(|index| alarm(case, &format!("alarm-{index}"), sensor(index))).collect();
        // Those that never speak would all be stale soon, which is not what a reading costs.
        for alarm in &mut all[speaking..] {
            if let Condition::Stale { after } = &mut alarm.condition {
                *after = Duration::from_secs(1_000_000_000);
            }
        }
        let mut engine = Engine::new(load::settings(load::at(0), alarms), &all);
        let mut out = Output::default();
        if let Condition::Deviation { from: SetPoint::Sensor(name), .. } = &case.condition {
            engine.on_reading(&reading(name.to_string()), load::at(0), &mut out);
        }
        let readings = (0..speaking).map(|index| reading(sensor(index))).collect();
        let mut plant = Self { engine, readings, value: case.value, out, turn: 0 };
        (0..WARM).for_each(|_| plant.round());
        plant
    }

    /// Each sensor once, within a second.
    fn round(&mut self) {
        self.turn += 1;
        let apart_ns = 1_000_000_000 / self.readings.len() as u64;
        let value = (self.value)(self.turn);
        for (index, reading) in self.readings.iter_mut().enumerate() {
            let now = load::at(self.turn * 1_000_000_000 + index as u64 * apart_ns);
            reading.value = value.clone();
            reading.time = now.wall;
            let accepted = self.engine.on_reading(reading, now, &mut self.out);
            debug_assert_eq!(accepted, Accepted::Evaluated);
            if index % TURN == TURN - 1 {
                if self.engine.next_deadline().is_some_and(|at| at <= now.boot) {
                    self.engine.on_deadline(now, &mut self.out);
                }
                hand_on(&mut self.out);
            }
        }
        if self.readings.len() < TURN && (self.turn * self.readings.len() as u64).is_multiple_of(TURN as u64) {
            let now = load::at(self.turn * 1_000_000_000 + 999_999_999);
            self.engine.on_deadline(now, &mut self.out);
            hand_on(&mut self.out);
        }
    }

    /// At least a turn's readings.
    fn step(&mut self) {
        (0..TURN.div_ceil(self.readings.len())).for_each(|_| self.round());
    }

    /// Readings in [`Plant::step`].
    fn items(&self) -> usize {
        TURN.div_ceil(self.readings.len()) * self.readings.len()
    }
}

fn hand_on(out: &mut Output) {
    black_box(&*out);
    out.events.clear();
    out.records.clear();
}

/// Nanoseconds a reading, for each of [`SIZES`].
fn sizes(case: &Case, speaking: fn(usize) -> usize) -> Vec<f64> {
    let mut plants: Vec<Plant> = SIZES.iter().map(|&alarms| Plant::new(case, alarms, speaking(alarms))).collect();
    let items: Vec<usize> = plants.iter().map(Plant::items).collect();
    let mut steps: Vec<_> = plants.iter_mut().map(|plant| || plant.step()).collect();
    in_turn(ROUNDS, &items, &mut steps)
}

fn stepping() {
    println!("\nthe engine's step; medians of {ROUNDS} rounds; alarms x sensors, one alarm a sensor");
    println!(
        "{:<22} | {:>11} {:>7} | {:>7} {:>5} {:>7} {:>5} | {:>11} {:>5} {:>11} {:>5}",
        "", "1", "", "1,000", "", "100,000", "", "1,000", "", "100,000", ""
    );
    println!(
        "{:<22} | {:>11} {:>7} | {:>7} {:>5} {:>7} {:>5} | {:>11} {:>5} {:>11} {:>5}",
        "", "steps/s", "ns", "ns, one", "ratio", "speaks", "ratio", "all speak,", "ratio", "steps/s", "ratio"
    );
    let mut grows = Vec::new();
    for case in cases() {
        let one = sizes(&case, |_| 1);
        let all = sizes(&case, |alarms| alarms);
        println!(
            "{:<22} | {:>11} {:>7.0} | {:>7.0} {:>5.2} {:>7.0} {:>5.2} | {:>11} {:>5.2} {:>11} {:>5.2}",
            case.name,
            grouped(1e9 / one[0]),
            one[0],
            one[1],
            one[1] / one[0],
            one[2],
            one[2] / one[0],
            grouped(1e9 / all[1]),
            all[1] / all[0],
            grouped(1e9 / all[2]),
            all[2] / all[0],
        );
        if one[1..].iter().any(|each| each / one[0] > RATIO_MAX) {
            grows.push(case.name);
        }
    }
    match grows.is_empty() {
        true => println!("alarms that do not match cost a reading nothing (within {RATIO_MAX} times)"),
        false => println!("grows with alarms that do not match, beyond {RATIO_MAX} times: {}", grows.join("; ")),
    }
}

/// The first reading of a sensor is the one that looks for its alarms.
fn arriving() {
    const NEW: usize = 2_000;
    println!("\na sensor's first reading; medians of {ROUNDS} rounds; half of the alarms have a wildcard, one matches");
    let mut first = None;
    for alarms in SIZES {
        let case = Case { name: "", condition: Condition::High(75.0), change: |_| {}, value: |_| Value::Bool(false) };
        let pattern = |index: usize| match index {
            0 => "plant/+/value".to_owned(),
            index if index % 2 == 0 => sensor(index),
            index => format!("site/+/quantity-{index}"),
        };
        let all: Vec<Alarm> =
            (0..alarms).map(|index| alarm(&case, &format!("alarm-{index}"), pattern(index))).collect();
        let took = (0..ROUNDS).map(|_| {
            let mut engine = Engine::new(load::settings(load::at(0), NEW), &all);
            let new: Vec<Reading> = (0..NEW).map(|index| reading(format!("plant/s{index}/value"))).collect();
            let mut out = Output::default();
            let took = seconds(|| {
                for reading in &new {
                    engine.on_reading(reading, load::at(0), &mut out);
                }
            });
            assert_eq!(engine.machines(), NEW, "each has found its one alarm");
            took * 1e9 / NEW as f64
        });
        let took = median(took.collect());
        let ratio = took / *first.get_or_insert(took);
        println!("{:>9} alarms | {took:>7.0} ns | ratio {ratio:.2}", grouped(alarms as f64));
    }
}

fn encoding() {
    let events = Site::new(1).events(EVENTS);
    let texts: Vec<Vec<u8>> = events.iter().map(load::json).collect();
    let structs: Vec<CloudEvent> = texts.iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
    let mut json = Vec::new();
    let mut serde = || {
        for event in &structs {
            json.clear();
            serde_json::to_writer(&mut json, event).unwrap();
            black_box(&json);
        }
    };
    println!("\nalarm events; medians of {ROUNDS} rounds; the same as a plain struct by serde_json; its bytes copied");
    println!(
        "{:<22} {:>7} | {:>8} {:>7} | {:>10} {:>6} | {:>7} {:>6}",
        "", "bytes", "ns/event", "MB/s", "serde_json", "ratio", "copy", "ratio"
    );
    let mut line = |name: &str, made: &[Vec<u8>], ours: &mut dyn FnMut()| {
        let bytes = made.iter().map(Vec::len).sum::<usize>() as f64 / EVENTS as f64;
        let (took, by_serde) = beside(ROUNDS, EVENTS, &mut *ours, &mut serde);
        let mut copy = Vec::new();
        let copied = || {
            for bytes in made {
                copy.clear();
                copy.extend_from_slice(bytes);
                black_box(&copy);
            }
        };
        let (again, by_copy) = beside(ROUNDS, EVENTS, ours, copied);
        println!(
            "{name:<22} {bytes:>7.1} | {took:>8.0} {:>7.0} | {by_serde:>10.0} {:>6.2} | {by_copy:>7.1} {:>6.1}",
            bytes * 1e3 / took,
            took / by_serde,
            again / by_copy
        );
    };
    let mut out = Vec::new();
    for (name, encoding) in [("wire, JSON", Encoding::Json), ("wire, CBOR", Encoding::Cbor)] {
        let made: Vec<Vec<u8>> = events
            .iter()
            .map(|event| {
                wire::encode(event, GATEWAY, encoding, false, &mut out);
                out.clone()
            })
            .collect();
        line(name, &made, &mut || {
            for event in &events {
                wire::encode(event, GATEWAY, encoding, false, &mut out);
                black_box(&out);
            }
        });
    }
    for (name, size) in [("stored, frames of 64", FRAME_EVENTS), ("stored, one by one", 1)] {
        let chunks: Vec<&[Event]> = events.chunks(size).collect();
        let made: Vec<Vec<u8>> = chunks.iter().map(|chunk| stored::encode_events(chunk)).collect();
        line(name, &made, &mut || chunks.iter().for_each(|chunk| drop(black_box(stored::encode_events(chunk)))));
    }
}
