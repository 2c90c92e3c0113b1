//! Proposals of small scenes, and that whatever is proposed loads.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn heard(messages: &[(&str, &str)]) -> Vec<Heard> {
    let one = |(topic, payload): &(&str, &str)| Heard {
        topic: Some((*topic).to_owned()).filter(|topic| !topic.is_empty()),
        payload: payload.as_bytes().to_vec(),
    };
    messages.iter().map(one).collect()
}

fn mqtt() -> Place {
    Place { name: "local".into(), keys: "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\n".into() }
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
        "# 1 messages are neither JSON, a number, key=value nor CSV: other",
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
    let serial = Place { name: "boiler".into(), keys: "type = \"serial\"\nport = \"/dev/ttyUSB0\"\n".into() };
    for (lines, part) in [
        ([("", "t=20.5 h=48%"), ("", "t=21 h=47%")], "\"t\" = { path = \"t\", unit = \"°C\" }"),
        ([("", "1;2.5;ok"), ("", "2;3.5;ok")], "columns = [\"column1\", \"column2\", \"column3\"]"),
        ([("", "12.5"), ("", "13")], "format = \"number\""),
    ] {
        let (text, sources) = propose(&serial, &heard(&lines));
        assert!(sources == 1 && text.contains(part), "{text}");
        config::load_text(Path::new("t"), &text, &|_| None).unwrap_or_else(|report| panic!("{report}\n{text}"));
    }
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
