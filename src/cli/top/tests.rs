//! The screen at several sizes, the keys, and what hostile names do to it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::{Value as Json, json};

use super::*;
use crate::cli::top::panels::Panel;

const NOW_MS: i64 = 1_800_000_000_000;

fn manner() -> Manner {
    Manner { unicode: true, colour: true, zone: TimeZone::UTC }
}

fn status() -> Json {
    json!({
        "version": "0.1.0", "gateway": "gw1",
        "sources": { "zigbee": { "up": false, "messages": 7, "readings": 5, "ignored": 0, "rejects": { "malformed": 2 } } },
        "readings": { "evaluated": 5, "late": 0, "refused": 0 },
        "clock": { "time": "2027-01-15T08:00:00Z", "state": "synchronized", "confirmed_by": "chrony",
            "since": "2027-01-15T07:00:00Z", "jumps": 0, "last_jump": null, "repaired": 0 },
        "store": { "waiting": 12, "bytes": 3_145_728, "max_bytes": 268_435_456, "retained_bytes": 0,
            "retain_delivered": 0, "last_sequence": 99, "delivered": 87, "full": false, "fault": null, "lost": 4, "dead": 0 },
        "wear": { "written_bytes": 1_048_576, "per_event_bytes": 300, "day_bytes": 524_288, "day_s": 7200 },
        "upstream": { "connected": true, "broker": "broker:8883", "since": "2027-01-15T07:58:00Z", "last_error": null,
            "next_attempt": null, "inflight": 3, "delivered": 87 },
    })
}

fn full(sensors: &[&str]) -> Json {
    let sensors: Vec<Json> = sensors
        .iter()
        .map(|name| {
            json!({ "name": name, "value": 9.5, "unit": "°C", "seen_ms": 3_599_000, "limits": [
            { "alarm": "too-warm", "severity": "high", "condition": "high", "limit": 8.0 }] })
        })
        .collect();
    json!({
        "kind": "full", "epoch": 1, "boot_ms": 3_600_000, "wall_ms": NOW_MS, "bucket_ms": 30_000, "points_max": 120,
        "status": status(),
        "queue": { "delivered_per_s": 12.0, "stored_per_s": 0.5, "left_s": 90, "oldest_ms": NOW_MS - 60_000 },
        "links": { "zigbee": { "up": false, "since_ms": NOW_MS - 5_000, "reason": "connection refused" } },
        "engine_waits": false, "alarms_in_all": 1,
        "alarms": [{ "alarm": "too-warm", "sensor": "zigbee/cold-store/temperature", "severity": "critical",
            "condition": "high", "state": "active", "since": "2027-01-15T07:59:00Z", "value": 9.5, "unit": "°C",
            "limit": 8.0, "peak": 10.0, "acknowledged": false, "waits_for_acknowledgement": false, "shelved_s": null,
            "suppressed": false }],
        "sensors": sensors,
        "refused": [{ "source": "zigbee", "topic": "zigbee2mqtt/x", "reason": "malformed", "what": "no JSON",
            "raw_hex": "ff", "length": 1, "times": 3, "at_ms": NOW_MS - 1_000 }],
        "events": [
            { "time_ms": NOW_MS - 60_000, "severity": "critical", "type": "tidegate.threshold.exceeded.v1",
              "subject": "zigbee/cold-store/temperature", "alarm": { "name": "too-warm", "condition": "high",
              "change": "raised", "value": 9.5, "unit": "°C", "limit": 8.0 } },
            { "time_ms": NOW_MS - 90_000, "severity": "info", "type": "tidegate.gateway.started.v1", "subject": "gateway",
              "text": "version 0.1.0, 0 events waiting" }],
    })
}

fn message(json: Json) -> Message {
    serde_json::from_value(json).unwrap()
}

fn state(sensors: &[&str]) -> State {
    State::new(message(full(sensors))).unwrap()
}

const NAMES: [&str; 2] = ["zigbee/cold-store/temperature", "zigbee/attic/humidity"];

/// The lines of a screen of this size.
fn drawn(size: (u16, u16), state: Option<&State>, view: &mut View, manner: &Manner) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| view::draw(frame, state, view, manner)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..size.0).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..size.1).map(row).collect()
}

fn key(view: &mut View, code: KeyCode) -> Wish {
    pressed(view, KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn the_usual_terminal_shows_the_verdict_the_facts_and_one_panel() {
    let mut state = state(&NAMES);
    state.remember(
        serde_json::from_value(json!({ "epoch": 1, "rows": { "0": [[119, 1.0, 2.0, 1.0], [120, 1.0, 9.5, 9.5]] } }))
            .unwrap(),
    );
    let lines = drawn((80, 24), Some(&state), &mut View::default(), &manner());
    let text = lines.join("\n");
    for words in [
        "gw1 1 alarm is active",
        "! source zigbee is down: connection refused",
        "upstream connected for 2 min, 3 in flight, 87 delivered, broker:8883",
        "queue    12 waiting, 0.50/s in, 12/s out, empty in 1 min 30 s, oldest 1 min old",
        "store    3 MiB of 256 MiB (1 %), 4 lost, 0 dead letters",
        "flash    512 KiB written in the last 2 h, 300 B an event",
        "clock    08:00:00, synchronized by chrony",
        " Alarms 1  Sensors 2  Sources 1  Events 2  Refused 1",
        " zigbee/attic/humidity",
        "9.5 °C",
        "▁█",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    assert!(lines[23].starts_with("q quit"), "{text}");
    let first = lines.iter().position(|line| line.contains("attic")).unwrap();
    assert!(lines[first + 1].starts_with("!"), "that with an active alarm is marked, not only coloured:\n{text}");
}

#[test]
fn a_small_terminal_shows_names_and_values_and_each_panel_in_turn() {
    let state = state(&NAMES);
    let mut view = View::default();
    let mut seen = Vec::new();
    for _ in Panel::ALL {
        seen.push(drawn((40, 20), Some(&state), &mut view, &manner()).join("\n"));
        key(&mut view, KeyCode::Tab);
    }
    for (text, words) in seen.iter().zip(["…attic/humidity", "DOWN zigbee", "07:59:00", "07:59:59", "critical"]) {
        assert!(text.contains(words) || words.starts_with('…') && text.contains("attic/humidity"), "{words}:\n{text}");
        assert!(text.contains("gw1 1 alarm is active"), "{text}");
    }
    assert_eq!(view.panel, Panel::Sensors, "round and back");
    key(&mut view, KeyCode::Left);
    assert_eq!(view.panel, Panel::Alarms);
}

#[test]
fn a_large_terminal_shows_all_panels_at_once() {
    let names: Vec<String> = (0..500).map(|number| format!("plant/line-{number:03}/pressure")).collect();
    let state = state(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for size in [(120, 34), (500, 200)] {
        let mut view = View::default();
        let text = drawn(size, Some(&state), &mut view, &manner()).join("\n");
        for words in [
            "─ Alarms 1 ─",
            "─ Sensors 500 ─",
            "─ Sources 1 ─",
            "─ Events 2 ─",
            "─ Refused 1 ─",
            "too-warm raised",
            "zigbee on zigbee2mqtt/x: malformed",
            "2 refused: 2 malformed",
        ] {
            assert!(text.contains(words), "{words} in {size:?}:\n{text}");
        }
        assert_eq!(view.visible[0], 0);
        key(&mut view, KeyCode::End);
        let text = drawn(size, Some(&state), &mut view, &manner()).join("\n");
        // Its end, where there is no room for the whole name.
        assert!(text.contains("/line-499/pressure "), "{text}");
        assert_eq!(view.visible.last(), Some(&499));
    }
}

#[test]
fn no_size_is_too_small() {
    let state = state(&NAMES);
    for width in [1, 2, 5, 9, 20, 39, 61, 119, 121] {
        for height in [1, 2, 3, 8, 15, 33, 35] {
            for panel in Panel::ALL {
                let mut view = View { panel, ..View::default() };
                drawn((width, height), Some(&state), &mut view, &manner());
                view.lost = Some("error".to_owned());
                drawn((width, height), Some(&state), &mut view, &manner());
                drawn((width, height), None, &mut view, &manner());
            }
        }
    }
}

#[test]
fn hostile_names_and_values_stay_texts_and_shift_nothing() {
    let hostile = [
        "a/\u{1b}[2J\u{1b}]0;owned\u{7}/t",
        "a/\u{202e}gnp.exe/t",
        "a/שלום/t",
        "a/温度計温度計温度計温度計温度計温度計/t",
        "a/e\u{301}\u{200b}/t",
        "a/👩‍👩‍👧‍👦🇩🇪/t",
    ];
    let mut state = state(&hostile);
    state.sensors[0].value = Some(crate::reading::Value::Text("\u{1b}[31mopen\r\n".into()));
    state.status.gateway = "gw\u{1b}c".to_owned();
    state.alarms[0].sensor = hostile[0].to_owned();
    state.refused[0].what = "found \u{9b}31m".to_owned();
    for size in [(80, 24), (40, 20), (200, 60)] {
        for panel in Panel::ALL {
            let mut view = View { panel, ..View::default() };
            for line in drawn(size, Some(&state), &mut view, &manner()) {
                let is_harmful = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}' | '\u{200d}' | 'ש');
                assert!(!line.chars().any(is_harmful), "{line:?}");
            }
        }
    }
    // What stands beside a wide name stands where it stands beside a narrow one.
    let mut view = View::default();
    let lines = drawn((80, 24), Some(&state), &mut view, &manner());
    // Every cell holds one character here, so that they count columns.
    let column = |line: &String| Some(line[..line.find("9.5 °C")?].chars().count());
    let columns: Vec<usize> = lines.iter().filter_map(column).collect();
    assert_eq!(columns.len(), hostile.len() - 1, "one of them has a text for a value: {lines:#?}");
    assert!(columns.iter().all(|column| *column == columns[0]), "{lines:#?}");
    let plain = plain::page(&state, &Manner { unicode: false, ..manner() });
    assert!(plain.is_ascii() && plain.contains("a/\\u{1b}[2J"), "{plain}");
}

#[test]
fn a_filter_is_typed_kept_and_dropped() {
    let state = state(&NAMES);
    let mut view = View { panel: Panel::Events, ..View::default() };
    for c in "/ATTIC".chars() {
        key(&mut view, KeyCode::Char(c));
    }
    let text = drawn((80, 24), Some(&state), &mut view, &manner()).join("\n");
    assert!(text.contains("Sensors 1 of 2") && text.contains("filter: ATTIC_"), "{text}");
    assert!(!text.contains("cold-store/temperature"), "{text}");
    assert_eq!(key(&mut view, KeyCode::Char('q')), Wish::Draw, "a letter of the filter");
    key(&mut view, KeyCode::Backspace);
    key(&mut view, KeyCode::Enter);
    assert_eq!((view.filter.as_str(), view.is_typing), ("ATTIC", false));
    key(&mut view, KeyCode::Esc);
    assert_eq!(view.filter, "");
    assert_eq!(key(&mut view, KeyCode::Char('q')), Wish::Quit);
    assert_eq!(pressed(&mut view, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Wish::Quit);
    assert_eq!(pressed(&mut view, KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL)), Wish::Suspend);
}

#[test]
fn a_lost_gateway_is_told_above_what_was_last_known() {
    let state = state(&NAMES);
    let why = "no gateway answers on /run/tidegate/control.sock: Connection refused\n  = help: is the gateway running?";
    let mut view = View { lost: Some(why.to_owned()), heard_ms_ago: 65_000, ..View::default() };
    let text = drawn((80, 24), Some(&state), &mut view, &manner()).join("\n");
    for words in
        ["gateway not reachable, trying again", "is the gateway running?", "was so 1 min 5 s ago", "zigbee/attic"]
    {
        assert!(text.contains(words), "{words}:\n{text}");
    }
    let text = drawn((80, 24), None, &mut view, &manner()).join("\n");
    assert!(text.contains("gateway not reachable, trying again") && text.contains("q quit"), "{text}");
}

#[test]
fn changes_are_put_upon_what_is_known_and_what_does_not_fit_is_refused() {
    let mut state = state(&NAMES);
    let mut delta = full(&[]);
    let members = delta.as_object_mut().unwrap();
    for member in ["sensors", "alarms", "refused", "events"] {
        members.remove(member);
    }
    delta["kind"] = json!("delta");
    delta["alarms_in_all"] = json!(0);
    delta["changed"] = json!([[1, 44.0, "%", 3_600_500, [120, 43.0, 44.0, 44.0]], [9, 1.0, null, 1, null]]);
    delta["added_from"] = json!(1);
    delta["added"] = json!([
        { "name": "zigbee/attic/humidity", "value": 1, "unit": null, "seen_ms": null, "limits": [] },
        { "name": "zigbee/aaa/first", "value": true, "unit": null, "seen_ms": null, "limits": [] }]);
    assert!(state.apply(message(delta.clone())));
    assert_eq!(state.sensors.len(), 3, "one of the two was known already");
    assert_eq!(state.sensors[1].seen_ms, Some(3_600_500));
    assert_eq!(state.sensors[state.by_name[0]].name, "zigbee/aaa/first");
    assert_eq!((state.alarms.len(), state.events.len()), (1, 2), "what is not told stays");
    state.remember(
        serde_json::from_value(json!({ "epoch": 1, "rows": { "1": [[118, 1.0, 1.0, 1.0], [120, 0.0, 0.0, 0.0]] } }))
            .unwrap(),
    );
    let points: Vec<u32> = state.sensors[1].points.iter().map(|point| point.0).collect();
    assert_eq!(points, [118, 120]);
    assert_eq!(state.sensors[1].points[1].3, 44.0, "what was heard since is newer");
    delta["epoch"] = json!(2);
    assert!(!state.apply(message(delta)), "numbered anew");
    assert!(state.apply(message(full(&[]))), "the whole state always fits");
    assert!(state.sensors.is_empty());
}

#[test]
fn the_locale_decides_what_may_be_written() {
    let env = |pairs: &'static [(&str, &str)]| {
        move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    assert!(is_utf8(env(&[("LANG", "de_DE.UTF-8")])));
    assert!(!is_utf8(env(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")])));
    assert!(!is_utf8(env(&[])));
}

#[test]
fn a_sensor_that_was_never_heard_is_told_from_one_that_spoke_before_anybody_looked() {
    let mut shown = full(&["a/never", "a/earlier"]);
    for (sensor, value) in [(0, Json::Null), (1, json!(9.5))] {
        shown["sensors"][sensor]["seen_ms"] = Json::Null;
        shown["sensors"][sensor]["value"] = value;
    }
    let state = State::new(message(shown)).unwrap();
    let lines = drawn((100, 24), Some(&state), &mut View::default(), &manner());
    let age = |name: &str, word: &str| lines.iter().any(|line| line.contains(name) && line.contains(word));
    assert!(age("a/never", " never") && age("a/earlier", " before"), "{}", lines.join("\n"));
}
