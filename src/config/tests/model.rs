//! What ends up in the model: values as written, and the defaults that the key lists promise.

use std::time::Duration;

use super::*;
use crate::config::keys::{self, Default};
use crate::config::model::{Condition, Config, Format, Framing, SetPoint, SourceKind, TemplatePart, WhenFull};
use crate::config::reference;
use crate::reading::Value;

#[test]
fn the_sample_is_read_as_written() {
    let Config { gateway, sources, alarms, store, upstream, http: _, record, home_assistant, hooks } =
        good(GOOD).config;
    assert_eq!(&*gateway.id, "g");
    assert!(home_assistant.is_none() && hooks.is_empty(), "both are off");
    assert_eq!(gateway.time_zone, "UTC");
    let SourceKind::Mqtt(mqtt) = &sources[0].kind else { panic!("not MQTT") };
    assert_eq!(mqtt.client_id, "tidegate-g-zigbee");
    assert_eq!(sources[0].decode.device.0, [TemplatePart::TopicLevel(1)]);
    let names: Vec<&str> = sources[0].decode.fields.iter().map(|field| &*field.quantity).collect();
    assert_eq!(names, ["temperature", "state"], "in the order of the file");
    assert_eq!(sources[0].decode.fields[0].unit.as_deref(), Some("°C"));
    assert!(sources[0].decode.fields[1].text);
    let SourceKind::Serial(serial) = &sources[1].kind else { panic!("not serial") };
    assert_eq!(serial.framing, Framing::Line { max_bytes: 12 << 10, keep_first: false });
    assert_eq!(alarms[0].condition, Condition::High(8.0));
    assert_eq!(store.when_full, WhenFull::DropOldest);
    assert_eq!(store.retain_delivered, 0, "delivered events are kept only when asked for");
    assert_eq!(record, None, "readings are kept only when asked for");
    let upstream = upstream.unwrap();
    assert_eq!((upstream.url.port, upstream.topic.0.len()), (8883, 6));
    assert_eq!(upstream.client_id, "tidegate-g");
}

#[test]
fn fields_maps_and_values_keep_their_types() {
    let fields = "a = { path = 'x.y[0]', scale = 2, offset = -1.5, valid_range = [0, 1], ignore_values = [85, -127.5], \
                  map = { ON = true, OFF = 0, open = 'offen', big = 9007199254740993 } }";
    let text = with("temperature = \"°C\"", fields);
    let text =
        text.replace("high = 8.0", "equals = [true, 1, \"open\", 9007199254740993]").replace("/temperature", "/a");
    let config = good(&text).config;
    let field = &config.sources[0].decode.fields[0];
    assert_eq!((field.path.as_str(), field.scale, field.offset), ("x.y[0]", 2.0, -1.5));
    assert_eq!(field.valid_range, Some((0.0, 1.0)));
    assert_eq!(field.ignore_values, [85.0, -127.5]);
    let big = Value::Integer(9_007_199_254_740_993);
    let expected = [
        ("ON".into(), Value::Bool(true)),
        ("OFF".into(), Value::Number(0.0)),
        ("open".into(), Value::Text("offen".into())),
        ("big".into(), big.clone()),
    ];
    assert_eq!(field.map, expected);
    let states = vec![Value::Bool(true), Value::Number(1.0), Value::Text("open".into()), big];
    assert_eq!(config.alarms[0].condition, Condition::Equals(states));
}

#[test]
fn conditions_are_read_in_their_units() {
    let condition = |text: &str| good(&with("high = 8.0", text)).config.alarms.remove(0);
    let Condition::RateAbove { per_second, window, .. } = condition("rate_above = \"6/min\"").condition else {
        panic!()
    };
    assert_eq!((per_second, window), (0.1, Duration::from_secs(300)));
    let alarm = condition("rate_above = \"6/min\"\ndeadband = \"3/min\"\nrate_direction = \"rising\"");
    assert_eq!(alarm.deadband, 0.05);
    let alarm = condition("deviation_from = \"boiler/t\"\ndeviation_above = 2");
    assert_eq!(alarm.condition, Condition::Deviation { from: SetPoint::Sensor("boiler/t".into()), above: 2.0 });
    let alarm = condition("stale_after = \"1h 30m\"\nschedule = [\"mon-fri 06:00-18:00\"]");
    assert_eq!(alarm.condition, Condition::Stale { after: Duration::from_secs(5400) });
    assert_eq!(alarm.schedule.len(), 1);
    assert_eq!(condition("outside = [-1, 2.5]").condition, Condition::Outside { low: -1.0, high: 2.5 });
}

#[test]
fn a_number_source_takes_its_quantity_from_either_place() {
    let decode = |rest: &str| {
        let text = with("decode = { format = \"key-value\" }", &format!("decode = {{ format = \"number\"{rest} }}"));
        let Format::Number { quantity } = good(&text).config.sources.remove(1).decode.format else { panic!() };
        quantity.0
    };
    assert_eq!(decode(""), [TemplatePart::Text("value".into())]);
    assert_eq!(decode(", quantity = \"level\""), [TemplatePart::Text("level".into())]);
}

/// A serial source, to which keys can be added.
const PORT: &str = "[[source]]\nname = \"s\"\ntype = \"serial\"\nport = \"/p\"\ndecode = { format = \"json\" }\n";

/// A file in which a key of a table can be set; `{}` is the place. Variants by `type` and `format`.
fn carrier(table: &'static keys::KeyTable, key: &keys::Key) -> String {
    let source = |decode: &str| {
        format!(
            "[[source]]\nname = \"s\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\ntopics = [\"a\"]\n[source.decode]\n{decode}\n"
        )
    };
    match table.title {
        "[gateway]" => "[gateway]\nid = \"g\"\n{}".into(),
        "[http]" => "[gateway]\nid = \"g\"\n[http]\n{}".into(),
        "[store]" => "[gateway]\nid = \"g\"\n[store]\n{}".into(),
        "[record]" => "[gateway]\nid = \"g\"\n[record]\npath = \"/readings\"\n{}".into(),
        "[upstream]" if key.name.starts_with("connect_") && key.name != "connect_timeout" => {
            "[gateway]\nid = \"g\"\n[upstream]\nurl = \"mqtts://h\"\nconnect_when = \"*/15 * * * *\"\n{}".into()
        }
        "[upstream]" => "[gateway]\nid = \"g\"\n[upstream]\nurl = \"mqtts://h\"\n{}".into(),
        "[[source]]" if key.name == "send_every" => format!("{PORT}send = \"S\"\n{{}}"),
        "[[source]]" if key.only.contains(&"modbus") && !key.only.contains(&"serial") => {
            "[[source]]\nname = \"s\"\ntype = \"modbus\"\nport = \"/p\"\n{}[[source.unit]]\nid = 1\nname = \"u\"\n\
             registers = { t = { address = 1 } }\n"
                .into()
        }
        "[[source.unit]]" => "[[source]]\nname = \"s\"\ntype = \"modbus\"\nport = \"/p\"\n[[source.unit]]\nid = 1\n\
             name = \"u\"\nregisters = { t = { address = 1, type = \"u32\" } }\n{}"
            .into(),
        "registers" => "[[source]]\nname = \"s\"\ntype = \"modbus\"\nport = \"/p\"\n[[source.unit]]\nid = 1\nname = \"u\"\n\
             [source.unit.registers.t]\naddress = 1\n{}"
            .into(),
        "[[source]]" if key.only.contains(&"serial") && !key.only.contains(&"mqtt") => {
            "[[source]]\nname = \"s\"\ntype = \"serial\"\nport = \"/p\"\ndecode = { format = \"json\" }\n{}".into()
        }
        "[[source]]" => {
            "[[source]]\nname = \"s\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\ntopics = [\"a\"]\ndecode = { format = \"json\" }\n{}"
                .into()
        }
        "framing" => {
            let way = match key.name {
                "first_frame" => "by = \"slip\"",
                "after_end" => "by = \"start\"\nstart = \"a\"\nend = \"b\"",
                "length_as" | "length_add" => "by = \"start\"\nstart = \"a\"\nlength_at = 1",
                "unchecked" => "by = \"p1\"",
                _ => "by = \"line\"",
            };
            format!("{PORT}[source.framing]\n{way}\n{{}}")
        }
        "checksum" => format!("{PORT}[source.framing]\nby = \"slip\"\n[source.framing.checksum]\nkind = \"sum8\"\n{{}}"),
        "decode" if key.only.len() == 1 && matches!(key.only[0], "nmea" | "scale" | "sparkplug-b") => {
            source(&format!("format = \"{}\"\n{{}}", key.only[0]))
        }
        "decode" if key.name == "online" => source("format = \"homie\"\n{}"),
        "decode" if key.only.contains(&"csv") && key.only.len() == 1 && key.name == "header" => {
            source("format = \"csv\"\ncolumns = [\"a\"]\n{}")
        }
        "decode" if key.only == ["csv"] => source("format = \"csv\"\nheader = true\n{}"),
        "decode" if key.only == ["key-value"] => source("format = \"key-value\"\n{}"),
        "decode" => source("format = \"json\"\n{}"),
        "fields" => source("format = \"json\"\n[source.decode.fields.q]\npath = \"q\"\n{}"),
        "[[alarm]]" if key.name.starts_with("rate_") => {
            "[[alarm]]\nname = \"a\"\nsensors = [\"#\"]\nrate_above = \"5/min\"\n{}".into()
        }
        "[[alarm]]" => "[[alarm]]\nname = \"a\"\nsensors = [\"#\"]\nhigh = 1\n{}".into(),
        "on_event" => {
            "[[alarm]]\nname = \"a\"\nsensors = [\"#\"]\nhigh = 1\n[alarm.on_event]\ncommand = [\"/p\"]\n{}".into()
        }
        "[home_assistant]" => {
            let enabled = if key.name == "enabled" { "" } else { "enabled = true\n" };
            source("format = \"json\"") + "[home_assistant]\nsource = \"s\"\n" + enabled + "{}"
        }
        other => panic!("no carrier for {other}"),
    }
}

#[test]
fn readings_and_events_do_not_share_a_folder() {
    let record = |path: &str| {
        let text = format!("[gateway]\nid = \"g\"\n[store]\npath = \"/data/events\"\n[record]\npath = \"{path}\"\n");
        crate::config::load_text(Path::new("tidegate.toml"), &text, &|_| None)
    };
    let kept = record("/data/readings").unwrap().config.record.unwrap();
    assert_eq!((kept.path.as_path(), kept.max_bytes), (Path::new("/data/readings"), 64 << 20));
    for (path, what) in [
        ("/data/events", "in one folder"),
        ("/data/events/readings", "in one folder"),
        ("/data", "in one folder"),
        ("readings", "relative path"),
    ] {
        let report = record(path).unwrap_err().to_string();
        assert!(report.contains(what), "{path}: {report}");
    }
}

#[test]
fn every_default_in_the_key_lists_is_the_one_the_loader_uses() {
    let mut checked = 0;
    for table in keys::TABLES {
        for key in table.keys {
            let Default::Toml(toml) = key.default else { continue };
            let carrier = carrier(table, key);
            let without = good(&carrier.replace("{}", "")).config;
            let with = good(&carrier.replace("{}", &format!("{} = {toml}\n", key.name))).config;
            assert_eq!(without, with, "{} {}", table.title, key.name);
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

/// A value unlike the default, for every key that has a default.
fn other_value(table: &keys::KeyTable, key: &keys::Key, default: &str) -> String {
    match (table.title, key.name) {
        ("[gateway]", "time_zone") | ("decode", "time_zone") => "\"Europe/Berlin\"".into(),
        (_, "discovery_prefix") => "\"home\"".into(),
        ("on_event", "on") => "[\"repeated\"]".into(),
        (_, "listen") => "\"127.0.0.1:8080\"".into(),
        (_, "log_level") => "\"debug\"".into(),
        (_, "log_format") => "\"json\"".into(),
        (_, "parity") => "\"even\"".into(),
        (_, "flow_control") => "\"hardware\"".into(),
        (_, "framing") => "{ by = \"line\", first_line = \"keep\" }".into(),
        (_, "first_line" | "first_frame" | "unchecked" | "unstable") => "\"keep\"".into(),
        (_, "after_end" | "from") => "3".into(),
        (_, "length_as") => "\"u16le\"".into(),
        (_, "written") => "\"hex\"".into(),
        ("decode", "checksum") => "\"optional\"".into(),
        (_, "ts_unit") => "\"ms\"".into(),
        (_, "device") => "\"d\"".into(),
        (_, "carry" | "skip") => "[\"x\"]".into(),
        (_, "units") => "{ x = \"V\" }".into(),
        (_, "unpack") => "{ x = \"hex\" }".into(),
        (_, "addressing") => "\"one-based\"".into(),
        ("[[source.unit]]", "order") => "\"CDAB\"".into(),
        (_, "table") => "\"input\"".into(),
        (_, "retries") => "3".into(),
        (_, "delimiter") => "\";\"".into(),
        (_, "ignore_values") => "[85]".into(),
        (_, "rate_direction") => "\"rising\"".into(),
        (_, "severity") => "\"info\"".into(),
        (_, "schedule") => "[\"mon 06:00-07:00\"]".into(),
        (_, "path") => "\"/data\"".into(),
        (_, "when_full") => "\"reject\"".into(),
        (_, "retain_delivered") => "\"16MiB\"".into(),
        (_, "encoding") => "\"cbor\"".into(),
        (_, "order") => "\"live-first\"".into(),
        (_, "compress") => "\"zstd\"".into(),
        (_, "connect_for") => "\"1m\"".into(),
        (_, "connect_at_once") => "\"never\"".into(),
        (_, "protocol") => "\"5\"".into(),
        (_, "mode") => "\"binary\"".into(),
        (_, "topic") => "\"t/{sensor}\"".into(),
        (_, "profile") => "\"mosquitto\"".into(),
        ("[upstream]", "payload_bytes_max") => "\"64KiB\"".into(),
        (_, "stop_bits") => "2".into(),
        (_, "data_bits") => "7".into(),
        (_, "qos") => "2".into(),
        (_, "over") => "\"hex\"".into(),
        (_, "charset") => "\"latin-1\"".into(),
        (_, "max_bytes") if table.title == "framing" => "\"1KiB\"".into(),
        _ if default == "true" => "false".into(),
        _ if default == "false" => "true".into(),
        _ if default.ends_with("iB\"") => {
            "\"64MiB\"".replace("64MiB", if table.title == "[store]" { "64MiB" } else { "1MiB" })
        }
        _ if default.starts_with("\"/") => "\"/other\"".into(),
        _ if default.starts_with('"') => "\"7s\"".into(),
        _ => "77".into(),
    }
}

#[test]
fn every_key_with_a_default_changes_the_configuration_when_set() {
    for table in keys::TABLES {
        for key in table.keys {
            let Default::Toml(toml) = key.default else { continue };
            let mut carrier = carrier(table, key);
            let value = other_value(table, key, toml);
            if key.name == "mode" {
                // Binary mode needs MQTT 5.
                carrier = carrier.replace("{}", "protocol = \"5\"\n{}");
            }
            if key.name == "signed" {
                carrier = carrier.replace("{}", "bits = \"0-7\"\n{}");
            }
            if key.name == "header" {
                // The two ways of naming columns exclude each other.
                carrier = carrier.replace("columns = [\"a\"]\n", "");
                assert!(
                    good(&carrier.replace("{}", "header = true\n")).config.sources[0].decode.format != Format::Json
                );
                continue;
            }
            let without = good(&carrier.replace("{}", "")).config;
            let with = good(&carrier.replace("{}", &format!("{} = {value}\n", key.name))).config;
            assert_ne!(without, with, "{} {} = {value}", table.title, key.name);
        }
    }
}

#[test]
fn the_reference_page_in_the_repository_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/reference.md");
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, reference(), "run the tests with TIDEGATE_BLESS=1 to write config/reference.md anew");
}
