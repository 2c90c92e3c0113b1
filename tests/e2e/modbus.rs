//! Modbus: the real binary against pymodbus, over TCP and over a serial line.

mod bus;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::bus::{Bus, Kind, State, row};
use crate::stage::Stage;
use crate::support::consumer::{CLEARED, EXCEEDED, SOURCE_LOST, SOURCE_RESTORED};
use crate::support::gateway::{high_alarm, said, tidegate};
use crate::support::mosquitto::Options;
use crate::support::{PATIENT, SOON, wait_until};

/// A stage with a source `line` and its server.
fn scene(kind: Kind, state: State, keys: &str, units: &str) -> (Stage, Bus) {
    let dir = tempfile::tempdir().unwrap();
    let bus = Bus::start(kind, dir.path(), state);
    let address = bus.address();
    let stage = Stage::build(dir, Options::persistent(), |config| {
        config.sources.push(format!("name = \"line\"\ntype = \"modbus\"\n{address}{keys}\n{units}"));
        config.alarms.push(high_alarm("high", "line/#", 75.0, "high"));
    });
    (stage, bus)
}

fn unit(id: u8, name: &str, registers: &str) -> String {
    format!("[[source.unit]]\nid = {id}\nname = \"{name}\"\n[source.unit.registers]\n{registers}\n")
}

/// Units with one register each, 0, that holds `value`.
fn simple(units: &[(u8, &str, u16)]) -> (State, String) {
    let mut state = State::default();
    let mut keys = String::new();
    for (id, name, value) in units {
        state.units.insert(*id, row("holding", 0, &[*value]));
        keys += &unit(*id, name, "t = { address = 0 }");
    }
    (state, keys)
}

/// A time-out that no unit which answers comes near, on a busy machine neither.
const FAST: &str = "poll_interval = \"100ms\"\ntimeout = \"3s\"";

/// One that dead units may cost; nine times as long passes before the next.
const DEAD_TIMEOUT: Duration = Duration::from_secs(1);

fn lost_units(stage: &Stage) -> Vec<(String, String)> {
    let of = |kind: &str| stage.consumer.of_kind(kind);
    let all = of(SOURCE_LOST).into_iter().chain(of(SOURCE_RESTORED));
    all.map(|event| (event.subject.clone(), event.data("reason").as_str().unwrap_or_default().to_owned())).collect()
}

/// The registers of a value, in the order it is sent.
fn words(bytes: &[u8], order: &str) -> Vec<u16> {
    let sent: Vec<u8> = order.bytes().map(|letter| bytes[usize::from(letter - b'A')]).collect();
    sent.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

fn every_type_is_read(kind: Kind) {
    let f = 1234.5_f32.to_be_bytes();
    let d = (-9876.25_f64).to_be_bytes();
    let l = (-5_000_000_000_i64).to_be_bytes();
    let cases: Vec<(&str, &str, Vec<u16>, serde_json::Value)> = vec![
        ("u16", "type = 'u16'", vec![65_000], 65_000.into()),
        ("i16", "type = 'i16', scale = 0.1", vec![0xFF83], (-12.5).into()),
        ("i16-ba", "type = 'i16', order = 'BA'", vec![0x83FF], (-125).into()),
        ("u32", "type = 'u32'", words(&3_000_000_000_u32.to_be_bytes(), "ABCD"), 3_000_000_000_u64.into()),
        ("u32-cdab", "type = 'u32', order = 'CDAB'", words(&70_000_u32.to_be_bytes(), "CDAB"), 70_000.into()),
        ("i32-badc", "type = 'i32', order = 'BADC'", words(&(-70_000_i32).to_be_bytes(), "BADC"), (-70_000).into()),
        ("i32-dcba", "type = 'i32', order = 'DCBA'", words(&(-70_001_i32).to_be_bytes(), "DCBA"), (-70_001).into()),
        ("f32", "type = 'f32'", words(&f, "ABCD"), 1234.5.into()),
        ("f32-cdab", "type = 'f32', order = 'CDAB'", words(&f, "CDAB"), 1234.5.into()),
        ("f32-badc", "type = 'f32', order = 'BADC'", words(&f, "BADC"), 1234.5.into()),
        ("f32-dcba", "type = 'f32', order = 'DCBA'", words(&f, "DCBA"), 1234.5.into()),
        ("f64", "type = 'f64'", words(&d, "ABCDEFGH"), (-9876.25).into()),
        ("f64-ghef", "type = 'f64', order = 'GHEFCDAB'", words(&d, "GHEFCDAB"), (-9876.25).into()),
        ("f64-hgfe", "type = 'f64', order = 'DCBA'", words(&d, "HGFEDCBA"), (-9876.25).into()),
        ("i64", "type = 'i64'", words(&l, "ABCDEFGH"), (-5_000_000_000_i64).into()),
        ("i64-mixed", "type = 'i64', order = 'CDABGHEF'", words(&l, "CDABGHEF"), (-5_000_000_000_i64).into()),
        ("u64", "type = 'u64'", vec![0, 1, 0, 0], (1_u64 << 32).into()),
        ("bcd16", "type = 'bcd16'", vec![0x1234], 1234.into()),
        ("bcd32", "type = 'bcd32'", vec![0x0012, 0x3456], 123_456.into()),
        ("bit", "type = 'bit', bit = 3", vec![0b1000], true.into()),
        ("bits", "type = 'bits', mask = 0x0F00", vec![0xA5FF], 5.into()),
        ("mapped", "map = { 4 = 'running' , 5 = 55 }", vec![5], 55.into()),
        ("sunspec", "type = 'i16', scale_register = 'sf'", vec![2300], 230.into()),
        ("sf", "type = 'i16'", vec![0xFFFF], (-1).into()),
        ("absent", "type = 'u32', sunspec = true", vec![0xFFFF, 0xFFFF], serde_json::Value::Null),
        ("nan", "type = 'f32', sunspec = true", vec![0x7FC0, 0], serde_json::Value::Null),
        ("infinite", "type = 'f32'", vec![0x7F80, 0], serde_json::Value::Null),
        ("no-bcd", "type = 'bcd16'", vec![0x12AB], serde_json::Value::Null),
    ];
    let mut memory = BTreeMap::new();
    let mut registers = String::new();
    let mut expected = BTreeMap::new();
    let mut at = 0;
    for (name, keys, words, value) in &cases {
        for table in ["holding", "input"] {
            registers += &format!("{name}-{table} = {{ address = {at}, table = '{table}', {keys} }}\n")
                .replace("'sf'", &format!("'sf-{table}'"));
            if !value.is_null() {
                expected.insert(format!("line/all/{name}-{table}"), value.as_f64().unwrap_or(1.0));
            }
        }
        for word in words {
            memory.insert(at, *word);
            at += 1;
        }
    }
    registers += "coil = { address = 3, table = 'coil' }\ninput = { address = 20, table = 'discrete' }\n";
    expected.insert("line/all/coil".to_owned(), 1.0);
    expected.insert("line/all/input".to_owned(), 1.0);
    let bits = BTreeMap::from([(3, 1), (20, 1)]);
    let mut state = State::default();
    let tables = [("holding", memory.clone()), ("input", memory), ("coil", bits.clone()), ("discrete", bits)];
    state.units.insert(7, tables.into());
    let (mut stage, bus) = scene(kind, state, FAST, &unit(7, "all", &registers));
    stage.config.alarms = vec![high_alarm("any", "line/#", -1e18, "high")];
    stage.gateway.configure(&stage.config);
    stage.start();
    stage.consumer.wait_for(EXCEEDED, expected.len() as u64, PATIENT);
    let found: BTreeMap<String, f64> = stage
        .consumer
        .of_kind(EXCEEDED)
        .into_iter()
        .map(|event| {
            let value = event.data("value");
            let number = value.as_f64().unwrap_or_else(|| f64::from(u8::from(value.as_bool().unwrap_or_default())));
            (event.subject.clone(), number)
        })
        .collect();
    assert_eq!(found, expected);
    // A table is one request.
    let first: Vec<String> = bus.asked().into_iter().filter(|line| line.starts_with("7 ")).take(4).collect();
    assert_eq!(first.len(), 4);
    assert!(first.contains(&format!("7 3 0 {at}")) && first.contains(&format!("7 4 0 {at}")), "{first:?}");
    let status = stage.status();
    assert_eq!(status["sources"]["line/all"]["up"], true, "{status}");
    assert!(status["sources"]["line"]["rejects"]["not-a-number"].as_u64() > Some(0), "{status}");
    assert!(status["sources"]["line/all"]["ignored"].as_u64() > Some(0), "{status}");
    stage.consumer.assert_lossless();
}

#[test]
fn every_type_and_order_is_read_over_a_serial_line() {
    every_type_is_read(Kind::Rtu);
}

#[test]
fn every_type_and_order_is_read_over_tcp() {
    every_type_is_read(Kind::Tcp);
}

#[test]
fn every_type_and_order_is_read_through_a_device_server() {
    every_type_is_read(Kind::RtuOverTcp);
}

#[test]
fn a_hole_among_the_registers_costs_only_what_is_in_it_and_every_refusal_has_its_name() {
    let mut state = State::default();
    let mut holding = row("holding", 0, &[80, 81]);
    // Address 2 does not exist, 3 does, 40 is busy.
    holding.entry("holding").or_default().extend([(3, 83), (40, 99)]);
    state.units.insert(1, holding);
    state.errors.insert(1, row("holding", 40, &[6]));
    let keys = "a = { address = 0 }\nb = { address = 1 }\nhole = { address = 2 }\nc = { address = 3 }\n\
                busy = { address = 40 }\nelsewhere = { address = 1, table = \"coil\" }";
    let (mut stage, bus) = scene(Kind::Tcp, state, FAST, &unit(1, "meter", keys));
    stage.start();
    stage.consumer.wait_for(EXCEEDED, 3, PATIENT);
    let mut subjects: Vec<String> = stage.consumer.of_kind(EXCEEDED).into_iter().map(|event| event.subject).collect();
    subjects.sort();
    assert_eq!(subjects, ["line/meter/a", "line/meter/b", "line/meter/c"]);
    stage.gateway.wait_logged(&["it is asked in parts from now on", "illegal data address", "holding 0 to 3"]);
    stage.gateway.wait_logged(&["input refused", "device-error", "exception"]);
    let rejects = |stage: &Stage| stage.status()["sources"]["line/meter"]["rejects"]["device-error"].as_u64();
    wait_until("all three refusals", SOON, || rejects(&stage) >= Some(3));
    assert_eq!(stage.consumer.count(SOURCE_LOST), 0, "who refuses is there");
    // From then on each by itself: the whole is not tried again.
    bus.wait_asked(1, 12);
    assert!(bus.asked().iter().any(|line| line == "1 3 40 1"));
    stage.consumer.assert_lossless();
}

fn a_dead_unit_does_not_slow_the_others(kind: Kind) {
    let (mut state, keys) = simple(&[(1, "alive", 20), (2, "dead", 20), (3, "also-dead", 20)]);
    state.silent = vec![2, 3];
    // A unit that answers late on a busy machine must not be lost for it; and two that are dead are soon.
    let limits = format!("poll_interval = \"100ms\"\ntimeout = \"{}s\"", DEAD_TIMEOUT.as_secs());
    let (mut stage, mut bus) = scene(kind, state, &limits, &keys);
    stage.start();
    stage.consumer.wait_for(SOURCE_LOST, 2, PATIENT);
    let told = lost_units(&stage);
    for (subject, address) in [("source/line/dead", "(address 2)"), ("source/line/also-dead", "(address 3)")] {
        let found = told.iter().find(|(of, _)| of == subject);
        assert!(found.is_some_and(|(_, why)| why.contains(address) && why.contains("not answered for 1s")), "{told:?}");
    }
    let began = Instant::now();
    let dead_before = bus.asked_of(2) + bus.asked_of(3);
    bus.wait_asked(1, 40);
    let (took, dead) = (began.elapsed(), bus.asked_of(2) + bus.asked_of(3) - dead_before);
    let dead_time = DEAD_TIMEOUT * u32::try_from(dead).unwrap();
    // One that is under way in the beginning, and one at the end.
    assert!(dead_time <= took / 10 + 2 * DEAD_TIMEOUT, "{dead} time-outs of {DEAD_TIMEOUT:?} within {took:?}");
    // At ten a second 40 polls take 4 s.
    let own = took.saturating_sub(dead_time);
    assert!(own < Duration::from_secs(12), "40 polls took {own:?} besides {dead} time-outs");

    bus.set(|state| {
        state.silent.clear();
        state.units.insert(2, row("holding", 0, &[80]));
    });
    stage.consumer.wait_for(SOURCE_RESTORED, 2, PATIENT);
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    assert_eq!(stage.consumer.of_kind(EXCEEDED)[0].subject, "line/dead/t");
    assert_eq!((stage.consumer.count(SOURCE_LOST), stage.consumer.count(SOURCE_RESTORED)), (2, 2), "each told once");
    stage.consumer.assert_lossless();
}

#[test]
fn dead_units_on_a_serial_line_are_told_once_and_do_not_slow_the_others() {
    a_dead_unit_does_not_slow_the_others(Kind::Rtu);
}

#[test]
fn dead_units_behind_tcp_are_told_once_and_do_not_slow_the_others() {
    a_dead_unit_does_not_slow_the_others(Kind::Tcp);
}

#[test]
fn a_server_that_is_restarted_is_told_and_read_again() {
    let (state, keys) = simple(&[(1, "meter", 80)]);
    let (mut stage, mut bus) = scene(Kind::Tcp, state, FAST, &keys);
    stage.start();
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    bus.stop();
    stage.consumer.wait_for(SOURCE_LOST, 1, PATIENT);
    // A connection that was made in the server's last moment has still been accepted.
    let told = &lost_units(&stage)[0].1;
    let is_told = ["refuses the connection", "ends it without an answer"].iter().any(|words| told.contains(words));
    assert!(is_told, "{told}");
    bus.set(|state| {
        state.units.insert(1, row("holding", 0, &[20]));
    });
    bus.resume();
    stage.consumer.wait_for(SOURCE_RESTORED, 1, PATIENT);
    stage.consumer.wait_for(CLEARED, 1, PATIENT);
    let subjects: Vec<String> = lost_units(&stage).into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects, ["source/line", "source/line"], "the line was away, not the unit");
    stage.consumer.assert_lossless();
}

#[test]
fn garbage_on_the_line_is_passed_over_and_nothing_but_garbage_is_told() {
    let (mut state, keys) = simple(&[(1, "meter", 80)]);
    // Among it what looks like the start of an answer.
    state.noise = "ff0001037d01830155aa".to_owned();
    let (mut stage, mut bus) = scene(Kind::Rtu, state, FAST, &keys);
    stage.start();
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    assert_eq!(stage.consumer.count(SOURCE_LOST), 0);
    // More than any frame, so that the answer behind it comes too late to be one.
    bus.set(|state| {
        state.noise = "00".repeat(40);
        state.silent = vec![1];
    });
    stage.consumer.wait_for(SOURCE_LOST, 1, PATIENT);
    bus.set(|state| {
        state.noise.clear();
        state.silent.clear();
        state.units.insert(1, row("holding", 0, &[20]));
    });
    stage.consumer.wait_for(SOURCE_RESTORED, 1, PATIENT);
    stage.consumer.wait_for(CLEARED, 1, PATIENT);
    stage.consumer.assert_lossless();
}

#[test]
fn a_serial_line_that_is_pulled_out_and_put_back_goes_on() {
    let (state, keys) = simple(&[(1, "meter", 80)]);
    let (mut stage, mut bus) = scene(Kind::Rtu, state, FAST, &keys);
    stage.start();
    stage.consumer.wait_for(EXCEEDED, 1, PATIENT);
    bus.unplug();
    stage.consumer.wait_for(SOURCE_LOST, 1, PATIENT);
    bus.set(|state| {
        state.units.insert(1, row("holding", 0, &[20]));
    });
    bus.replug();
    stage.consumer.wait_for(SOURCE_RESTORED, 1, PATIENT);
    stage.consumer.wait_for(CLEARED, 1, PATIENT);
    assert_eq!(lost_units(&stage)[0].0, "source/line");
    stage.consumer.assert_lossless();
}

#[test]
fn a_check_of_the_environment_asks_every_unit() {
    let (mut state, keys) = simple(&[(1, "meter", 1), (2, "dead", 1), (3, "elsewhere", 1)]);
    let (stage, mut bus) = scene(Kind::Tcp, state.clone(), FAST, &keys);
    let path = stage.path("gateway/tidegate.toml");
    let check = || said(&tidegate(&["check", "--environment", "--config", path.to_str().unwrap()]));
    let good = check();
    assert!(
        good.contains("ok    source `line`: connected to 127.0.0.1") && good.contains("3 of 3 units answer"),
        "{good}"
    );
    state.silent = vec![2];
    state.errors.insert(3, row("holding", 0, &[1]));
    bus.set(|now| *now = state);
    let bad = check();
    for words in
        ["WRONG source `line`", "unit `dead` (address 2)", "unit `elsewhere` answers exception 1 (illegal function)"]
    {
        assert!(bad.contains(words), "{words} is not in {bad}");
    }
    // A unit that is there need not have all that is wanted of it.
    let (state, _) = simple(&[(1, "meter", 1), (2, "dead", 1), (3, "elsewhere", 1)]);
    bus.set(|now| *now = state);
    let mut config = std::fs::read_to_string(&path).unwrap();
    config = config.replacen("t = { address = 0 }", "t = { address = 0 }\nvoltage = { address = 40001 }", 1);
    std::fs::write(&path, config).unwrap();
    let partly = check();
    for words in ["WRONG source `line`", "unit `meter` answers exception 2", "holding 40001", "see `addressing`"] {
        assert!(partly.contains(words), "{words} is not in {partly}");
    }
    bus.stop();
    let gone = check();
    assert!(gone.contains("WRONG source `line`") && gone.contains("refuses the connection"), "{gone}");
}
