//! Proposals of small scenes, and that whatever is proposed loads.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use super::*;
use crate::config;

fn heard(messages: &[(&str, &str)]) -> Vec<Heard> {
    let one = |(topic, payload): &(&str, &str)| Heard {
        topic: Some((*topic).to_owned()).filter(|topic| !topic.is_empty()),
        payload: payload.as_bytes().to_vec(),
    };
    messages.iter().map(one).collect()
}

fn mqtt() -> Place {
    Place { name: "local".into(), keys: "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\n".into(), is_port: false }
}

fn port() -> Place {
    Place { name: "boiler".into(), keys: "type = \"serial\"\nport = \"/dev/ttyUSB0\"\n".into(), is_port: true }
}

#[test]
fn devices_that_send_alike_become_one_source_and_what_was_seen_is_said() {
    let (text, sources) = propose(
        &mqtt(),
        &heard(&[
            ("zigbee/oven", r#"{"temperature": 20.5, "state": "ON", "ts": 1767225600}"#),
            ("zigbee/door", r#"{"temperature": 4, "contact": true, "note": "x", "ts": 1767225601}"#),
            ("sensors/a/humidity", "48.5"),
            ("sensors/b/humidity", "50"),
            ("other", "hello"),
        ]),
    );
    assert_eq!(sources, 2, "{text}");
    let loaded = config::load_text(Path::new("t"), &text, &|_| None).unwrap();
    let [zigbee, sensors] = &loaded.config.sources[..] else { panic!("{text}") };
    assert_eq!((&*zigbee.name, &*sensors.name), ("local", "local-2"));
    for part in [
        "topics = [\"zigbee/+\"]",
        "device = \"{topic[1]}\"",
        "unit = \"°C\" }  # seen 2 of 2, 4 to 20.5; the unit is guessed from the name",
        "text = true }  # seen 1 of 2: {\"ON\"}",
        "ts_unit = \"s\"",
        "# 2 messages on zigbee/door, zigbee/oven; 2 of them understood",
        "topics = [\"sensors/+/humidity\"]",
        "# sensors = [\"local-2/+/humidity\"]",
        "# 1 messages are of no format that is recognised",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_suggested_alarms_load_when_their_comments_are_taken_away() {
    let (text, _) = propose(&mqtt(), &heard(&[("a/b/t", "5"), ("a/c/t", "7")]));
    let uncommented: Vec<&str> =
        text.lines().map(|line| if line.starts_with("# 2 ") { line } else { line.trim_start_matches("# ") }).collect();
    let loaded = config::load_text(Path::new("t"), &uncommented.join("\n"), &|_| None)
        .unwrap_or_else(|report| panic!("{report}\n{text}"));
    assert_eq!(loaded.config.alarms.len(), 1, "{text}");
    assert_eq!(loaded.config.alarms[0].sensors, ["local/+/t"]);
}

#[test]
fn lines_of_a_port_become_key_value_or_csv() {
    let serial = port();
    for (lines, part) in [
        ([("", "t=20.5 h=48%"), ("", "t=21 h=47%")], "\"t\" = { path = \"t\", unit = \"°C\" }"),
        ([("", "1;2.5;ok"), ("", "2;3.5;ok")], "columns = [\"column1\", \"column2\", \"column3\"]"),
        ([("", "12.5"), ("", "13")], "format = \"number\""),
        ([("", "Temp: 21.5 C; Hum: 48%"), ("", "Temp: 22 C; Hum: 47%")], "# 2 messages (lines); 2 of them understood"),
        ([("", "t=61,5 p=1,8"), ("", "t=62 p=2")], "decimal_comma = true"),
        ([("", "21,5"), ("", "22,0")], "# If each line is one number with a decimal comma"),
    ] {
        let (text, sources) = propose(&serial, &heard(&lines));
        assert!(sources == 1 && text.contains(part), "{text}");
        config::load_text(Path::new("t"), &text, &|_| None).unwrap_or_else(|report| panic!("{report}\n{text}"));
    }
}

#[test]
fn decimal_commas_of_pairs_are_read_as_such_by_what_is_proposed() {
    let (text, _) = propose(&port(), &heard(&[("", "t=61,5 p=1,8"), ("", "t=62 p=2")]));
    for part in ["# 2 messages (lines); 2 of them understood", "seen 2 of 2, 61.5 to 62", "seen 2 of 2, 1.8 to 2"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn what_is_not_recognised_is_shown() {
    let long = format!("level \u{1b}[2J{}", "x".repeat(100));
    let (text, sources) = propose(&port(), &heard(&[("", &long), ("", "level two")]));
    assert_eq!(sources, 0, "{text}");
    for part in
        ["\"level \\u{1b}[2Jxx", "x\" ..\n", "6c 65 76 65 6c 20 1b 5b 32 4a 78", "78 ..\n", "format = \"pattern\""]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')) && text.len() < 800, "{text}");
    config::load_text(Path::new("t"), &text, &|_| None).unwrap();
}

#[test]
fn odd_names_never_make_a_proposal_that_does_not_load() {
    let odd = heard(&[
        ("a\"b/c\\d", r#"{"x.y": 1, "é": 2, "": 3, "ok-1": {"ok-1": 4, "_": 5}}"#),
        ("/", "5"),
        ("x", r#"{"value": 1e400, "a": 1}"#),
        ("lonely", "1"),
    ]);
    let (text, _) = propose(&mqtt(), &odd);
    config::load_text(Path::new("t"), &text, &|_| None).unwrap_or_else(|report| panic!("{report}\n{text}"));
}

#[test]
fn known_kinds_of_devices_get_their_presets_and_the_rest_is_guessed_at() {
    let (text, sources) = propose(
        &mqtt(),
        &heard(&[
            ("zigbee2mqtt/hall/lamp", r#"{"temperature": 20.5, "linkquality": 90}"#),
            ("zigbee2mqtt/hall/lamp/set", r#"{"state": "ON"}"#),
            ("zigbee2mqtt/bridge/state", r#"{"state": "online"}"#),
            ("house/tele/plug/SENSOR", r#"{"Time": "2026-01-01T00:00:00", "ENERGY": {"Power": 12}}"#),
            ("node/sensor/tank/state", "55.5"),
            ("homeassistant/sensor/x/config", r#"{"device_class": "x", "expire_after": 60}"#),
            ("bench/a", r#"{"temperature": 5}"#),
            ("packed/x", r#"[{"bn": "dev1/", "n": "t", "u": "Cel", "v": 21.5}]"#),
        ]),
    );
    let loaded =
        config::load_text(Path::new("t"), &text, &|_| None).unwrap_or_else(|report| panic!("{report}\n{text}"));
    assert_eq!((sources, loaded.config.sources.len()), (5, 5), "{text}");
    for part in [
        "preset = \"zigbee2mqtt\"\n\n",
        "# 3 messages on zigbee2mqtt/bridge/state, zigbee2mqtt/hall/lamp, zigbee2mqtt/hall/lamp/set: ",
        "# 1 of them are readings, the others are passed over",
        "#   local/hall/lamp/temperature = 20.5 °C\n",
        "preset = \"tasmota\"\nbase = \"house/tele\"\n",
        "preset = \"esphome\"\n",
        "topics = [\"bench/a\"]",
        "format = \"senml\"\n",
        "/dev1/t = 21.5 Cel\n",
        "# 1 messages tell Home Assistant of devices",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("of no format"), "{text}");
}

#[test]
fn a_preset_that_understands_nothing_is_not_proposed() {
    let (text, sources) = propose(&mqtt(), &heard(&[("zigbee2mqtt/a/b", "t=20.5"), ("zigbee2mqtt/c/b", "t=21.5")]));
    assert_eq!(sources, 1, "{text}");
    assert!(text.contains("format = \"key-value\"") && !text.contains("preset"), "{text}");
}

#[test]
fn telegrams_blocks_and_sentences_of_a_port_are_known() {
    let meter = ["/KFM5KAIFA", "1-0:1.8.1(000123.400*kWh)", "1-0:1.7.0(00.210*kW)", "0-0:96.13.0()", "!1F2E"];
    let charger = ["PID\t0xA053", "V\t12800", "I\t-15", "Checksum\tx"];
    let wind = ["$WIMWV,214.8,R,10.2,N,A*1F", "$WIMWV,215.8,R,11.2,N,A*1F"];
    for (lines, format, framing, sensor) in [
        (&[&meter[2..], &meter, &meter].concat()[..], "p1", "p1", "boiler/1-0:1.7.0 = 0.21 kW"),
        (&[&charger[1..], &charger, &charger].concat(), "vedirect", "vedirect", "boiler/V = 12800"),
        (&wind[..], "nmea", "line", "boiler/MWV.speed"),
    ] {
        let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("", *line)).collect();
        let (text, sources) = propose(&port(), &heard(&lines));
        assert_eq!(sources, 1, "{text}");
        config::load_text(Path::new("t"), &text, &|_| None).unwrap_or_else(|report| panic!("{report}\n{text}"));
        for part in [&format!("format = \"{format}\""), &format!("by = \"{framing}\""), sensor, "# 2 messages"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
