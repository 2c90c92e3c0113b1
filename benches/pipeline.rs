//! What the pure parts cost: decoding, the engine's step, the event's encodings.
//!
//! ```text
//! cargo bench --bench pipeline
//! ```
//!
//! Beside each decoder and each encoding runs what a program would do without tidegate: serde_json between the same
//! JSON and a struct that has just its fields. It does less: no names, units, ranges, times or rejects, and it knows
//! beforehand what comes. Both run in turns; medians of the rounds are printed.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on is to fail on the spot")]

mod support;

use std::hint::black_box;

use support::child::{self, Child};
use support::cloud_event::CloudEvent;
use support::json::{Climate, Small, Zigbee, climate, decimal, parsed, small, zigbee};
use support::load::{self, GATEWAY, Site};
use support::machine;
use support::stats::{alone, beside, grouped};
use tidegate::config::model::{Alarm, Encoding};
use tidegate::decode::{Decoded, Decoder, Message};
use tidegate::engine::{Engine, Output};
use tidegate::event::{Event, stored, wire};
use tidegate::reading::{Reading, SensorId, TimeSource, Value};

const ROUNDS: usize = 7;

/// Different payloads of each format, so that nothing is learned by heart.
const PAYLOADS: usize = 256;

/// Readings between two times that the outcome of the engine is handed on: a turn of the pipeline.
const TURN: usize = 512;

/// Events encoded in a round's call.
const EVENTS: usize = 6_400;

/// Events in one of the store's frames.
const FRAME_EVENTS: usize = 64;

/// How the store compresses its frames.
const FRAME_LEVEL: i32 = 1;

fn main() {
    if let Some([sensors, alarms]) = child::wanted() {
        return step(sensors.parse().unwrap(), alarms.parse().unwrap());
    }
    if !machine::is_bench() {
        return println!("pipeline: run it by `cargo bench --bench pipeline`");
    }
    machine::announce("pipeline");
    decoding();
    stepping();
    encoding();
    println!("\nload at the end: {}", machine::load());
}

/// A format, its settings, its payloads, and the same as JSON.
struct Case {
    name: &'static str,
    decode: &'static str,
    payload: fn(u32) -> String,
    parse: fn(&[u8]),
    json: fn(u32) -> String,
}

fn decoding() {
    let cases = [
        Case {
            name: "json, 1 value, 2 carried",
            decode: r#"format = "json", device = "{topic[1]}", fields = { value = "°C" }, carry = ["seq", "ts"]"#,
            payload: small,
            parse: Small::parse,
            json: small,
        },
        Case {
            name: "json, 4 values, time",
            decode: concat!(
                r#"format = "json", device = "{topic[1]}", ts_field = "last_seen", carry = ["linkquality"], fields = { "#,
                r#"temperature = "°C", humidity = "%", battery = "%", contact = { map = { true = 1, false = 0 } } }"#
            ),
            payload: zigbee,
            parse: Zigbee::parse,
            json: zigbee,
        },
        Case {
            name: "number",
            decode: r#"format = "number", device = "{topic[1]}""#,
            payload: decimal,
            parse: |text| _ = black_box(parsed::<f64>(text)),
            json: decimal,
        },
        Case {
            name: "key-value, 3 values",
            decode: r#"format = "key-value", device = "{topic[1]}""#,
            payload: |tenths| format!("t={}C h={}% p=1013.2", decimal(tenths), tenths / 10),
            parse: Climate::parse,
            json: climate,
        },
        Case {
            name: "csv, 3 values",
            decode: r#"format = "csv", device = "{topic[1]}", columns = ["t", "h", "p"]"#,
            payload: |tenths| format!("{},{},1013.2", decimal(tenths), tenths / 10),
            parse: Climate::parse,
            json: climate,
        },
    ];
    println!("\ndecoding; medians of {ROUNDS} rounds");
    println!(
        "{:<26} {:>6} {:>8} | {:>10} {:>10} {:>6} | {:>10}",
        "format", "bytes", "readings", "ns/message", "serde_json", "ratio", "ns/reading"
    );
    for case in cases {
        decode(&case);
    }
}

fn decode(case: &Case) {
    let text = format!(
        "gateway.id = \"{GATEWAY}\"\n[[source]]\nname = \"site\"\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\n\
         topics = [\"site/+\"]\ndecode = {{ {} }}\n",
        case.decode
    );
    let mut decoder = Decoder::new(&load::configuration(&text).sources[0]).unwrap();
    let numbers = || (0..PAYLOADS as u32).map(|index| 600 + index * 7 % 300);
    let payloads: Vec<String> = numbers().map(case.payload).collect();
    let parsed: Vec<String> = numbers().map(case.json).collect();
    let topics: Vec<String> = (0..PAYLOADS).map(|index| format!("site/s{:02}", index % 100)).collect();
    let arrival = load::at(1_000_000_000).wall;
    let mut decoded = Decoded::default();
    let mut readings = 0;
    let (ours, serde) = beside(
        ROUNDS,
        PAYLOADS,
        || {
            readings = 0;
            for (topic, payload) in topics.iter().zip(&payloads) {
                decoded.clear();
                let message = Message { topic: Some(topic), payload: payload.as_bytes(), retained: false, arrival };
                decoder.decode(&message, &mut decoded);
                readings += black_box(&decoded).readings.len();
                assert!(decoded.rejects.is_empty(), "{}: {:?}", case.name, decoded.rejects);
            }
        },
        || parsed.iter().for_each(|text| (case.parse)(text.as_bytes())),
    );
    let readings = readings as f64 / PAYLOADS as f64;
    println!(
        "{:<26} {:>6} {readings:>8.0} | {ours:>10.0} {serde:>10.0} {:>6.1} | {:>10.0}",
        case.name,
        payloads.iter().map(String::len).sum::<usize>() / PAYLOADS,
        ours / serde,
        ours / readings
    );
}

fn stepping() {
    println!("\nthe engine's step; medians of {ROUNDS} rounds; a reading goes through its sensor's alarms");
    println!(
        "{:>7} {:>8} {:>9} | {:>12} {:>12} {:>12} | {:>9}",
        "sensors", "alarms", "machines", "ns/reading", "ns/reading", "ns/reading", "bytes"
    );
    println!(
        "{:>7} {:>8} {:>9} | {:>12} {:>12} {:>12} | {:>9}",
        "", "a sensor", "", "quiet", "1% cross", "all cross", "a sensor"
    );
    for (sensors, alarms) in [(1, 1), (1_000, 1), (100, 10), (100_000, 1), (10_000, 10)] {
        // In a process of its own: memory that an engine before it has given back would hide what this one takes.
        let mut child = Child::start([&sensors.to_string(), &alarms.to_string()]);
        let figures = child.figures();
        child.end();
        let [quiet, some, all, memory] = figures[..] else { panic!("four figures, not {figures:?}") };
        let from = |least: usize, text: String| if sensors < least { "-".to_owned() } else { text };
        println!(
            "{:>7} {alarms:>8} {:>9} | {quiet:>12.0} {:>12} {all:>12.0} | {:>9}",
            grouped(sensors as f64),
            grouped((sensors * alarms) as f64),
            from(100, format!("{some:.0}")),
            from(10_000, format!("{:.0}", memory / sensors as f64))
        );
    }
}

/// What a process of its own does.
fn step(sensors: usize, alarms: usize) {
    let readings = readings(sensors);
    let before = machine::resident_bytes();
    let mut plant = Plant::new(readings, alarms);
    let memory = machine::resident_bytes().saturating_sub(before) as f64;
    let [quiet, some, all] = [None, Some(100), Some(1)].map(|every| plant.step(every));
    child::tell(&[quiet, some, all, memory]);
}

fn readings(sensors: usize) -> Vec<Reading> {
    let unit = tidegate::reading::Unit::from("°C");
    let reading = |index| Reading {
        sensor: SensorId::new(format!("site/s{index:05}/value")),
        value: Value::Number(60.0),
        unit: Some(unit.clone()),
        time: load::at(0).wall,
        time_source: TimeSource::Arrival,
        fresh: true,
        attributes: None,
    };
    (0..sensors).map(reading).collect()
}

/// Sensors with the same number of alarms each.
struct Plant {
    engine: Engine,
    readings: Vec<Reading>,
    /// Turns through all sensors.
    rounds: u64,
    ns: u64,
}

impl Plant {
    fn new(readings: Vec<Reading>, alarms: usize) -> Self {
        let text = format!(
            "gateway.id = \"{GATEWAY}\"\n[[alarm]]\nname = \"high\"\nsensors = [\"site/+/value\"]\nhigh = 75.0\n\
             deadband = 2.0\ndescription = \"Boiler room above what the pumps can stand\"\n"
        );
        let alarm = &load::configuration(&text).alarms[0];
        let named = |index| Alarm { name: format!("high-{index}").into(), ..alarm.clone() };
        let all: Vec<Alarm> = (0..alarms).map(named).collect();
        let mut engine = Engine::new(load::settings(load::at(0), readings.len()), &all);
        let mut out = Output::default();
        // All are known before it counts, with as much context as they keep.
        for ms in 0..10 {
            for reading in &readings {
                let now = load::at(ms * 1_000_000);
                engine.on_reading(&Reading { time: now.wall, ..reading.clone() }, now, &mut out);
            }
        }
        Self { engine, readings, rounds: 0, ns: 1_000_000_000 }
    }

    /// Nanoseconds a reading when one sensor in `every` crosses its limit at each reading.
    fn step(&mut self, every: Option<usize>) -> f64 {
        let Self { engine, readings, rounds, ns } = self;
        let mut out = Output::default();
        // Small ones go round several times, so that each call is a turn at least.
        let turns = TURN.div_ceil(readings.len());
        alone(ROUNDS, turns * readings.len(), || {
            for _ in 0..turns {
                *rounds += 1;
                let above = rounds.is_multiple_of(2);
                for (index, reading) in readings.iter_mut().enumerate() {
                    *ns += 10_000;
                    let now = load::at(*ns);
                    let crosses = every.is_some_and(|every| index.is_multiple_of(every));
                    let tenth = (*rounds + index as u64) % 100;
                    reading.value = Value::Number(if crosses && above { 80.0 } else { 60.0 } + tenth as f64 / 10.0);
                    reading.time = now.wall;
                    engine.on_reading(reading, now, &mut out);
                    if index % TURN == TURN - 1 {
                        black_box(&out);
                        out.events.clear();
                        out.records.clear();
                    }
                }
            }
            out.events.clear();
            out.records.clear();
        })
    }
}

fn encoding() {
    let events = Site::new(1).events(EVENTS);
    let texts: Vec<Vec<u8>> = events.iter().map(load::json).collect();
    let structs: Vec<CloudEvent> = texts.iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
    println!("\nalarm events; medians of {ROUNDS} rounds; serde_json to and from a struct of the same fields");
    println!("{:<30} {:>9} | {:>9} {:>10} {:>6}", "", "bytes", "ns/event", "serde_json", "ratio");
    let (mut out, mut json) = (Vec::new(), Vec::new());
    let mut write = || {
        for event in &structs {
            json.clear();
            serde_json::to_writer(&mut json, event).unwrap();
            black_box(&json);
        }
    };
    let mut read = || {
        for text in &texts {
            black_box(serde_json::from_slice::<CloudEvent>(text).unwrap());
        }
    };
    let line = |name: &str, bytes: usize, (ours, serde): (f64, f64)| {
        let bytes = bytes as f64 / EVENTS as f64;
        println!("{name:<30} {bytes:>9.1} | {ours:>9.0} {serde:>10.0} {:>6.2}", ours / serde);
    };
    for (name, encoding) in [("wire JSON, encode", Encoding::Json), ("wire CBOR, encode", Encoding::Cbor)] {
        let mut bytes = 0;
        let mut ours = || {
            bytes = 0;
            for event in &events {
                wire::encode(event, GATEWAY, encoding, false, &mut out);
                bytes += black_box(&out).len();
            }
        };
        let took = beside(ROUNDS, EVENTS, &mut ours, &mut write);
        line(name, bytes, took);
    }
    for (name, size) in [("stored, frames of 64", FRAME_EVENTS), ("stored, one by one", 1)] {
        let chunks: Vec<&[Event]> = events.chunks(size).collect();
        let frames: Vec<Vec<u8>> = chunks.iter().map(|chunk| stored::encode_events(chunk)).collect();
        let bytes = frames.iter().map(Vec::len).sum();
        let mut encode = || chunks.iter().for_each(|chunk| drop(black_box(stored::encode_events(chunk))));
        line(&format!("{name}, encode"), bytes, beside(ROUNDS, EVENTS, &mut encode, &mut write));
        let mut decode = || frames.iter().for_each(|frame| drop(black_box(stored::decode_events(frame).unwrap())));
        line(&format!("{name}, decode"), bytes, beside(ROUNDS, EVENTS, &mut decode, &mut read));
        if size == 1 {
            continue;
        }
        let mut compressor = zstd::bulk::Compressor::new(FRAME_LEVEL).unwrap();
        let mut bytes = 0;
        let mut compress = || {
            bytes = frames.iter().map(|frame| black_box(compressor.compress(frame).unwrap()).len()).sum();
        };
        let took = alone(ROUNDS, EVENTS, &mut compress);
        println!("{:<30} {:>9.1} | {took:>9.0}", "  zstd of these frames", bytes as f64 / EVENTS as f64);
    }
}
