//! The sources that inputs choose from. New ones go to the end of their table: the corpora count on the order.
//!
//! What is there as a case (`tests/cases`) is taken from there, and its payloads make the first corpus.

use std::path::Path;

use tidegate::config::{load_text, model::Source};

macro_rules! case {
    ($name:literal) => {
        concat!("# ", $name, "\n", include_str!(concat!("../../cases/", $name, ".toml")))
    };
}

/// JSON and what is made of it: documents, presets, jq, Homie, SenML as JSON.
pub const JSON: &[&str] = &[
    case!("z2m-device-json-iso-local"),
    case!("z2m-binary-null-and-enum"),
    case!("json-nested-arrays"),
    case!("json-each-own-names"),
    case!("json-in-a-text-with-units"),
    case!("json-objects-by-device"),
    case!("jq-three-phases"),
    case!("homie-v4"),
    case!("preset-homie-5"),
    case!("senml-json-base-fields"),
    case!("tasmota-multi-ds18b20-fahrenheit-null"),
    case!("tasmota-sensor-bme280-local-time"),
    case!("shelly-gen1-ht-and-sentinels"),
    case!("preset-shelly-relay-and-rpc"),
    case!("chirpstack-v4-up"),
    case!("tts-v3-up"),
    case!("preset-the-things-stack-raw"),
    case!("preset-rtl433-weather"),
    case!("preset-openmqttgateway-ble"),
    case!("preset-victron-gx"),
    case!("preset-wmbusmeters-water"),
    case!("timestamps-all-units"),
    r#"decode = { format = "jq", expression = ".. | objects | to_entries[] | {sensor: .key, value: .value, ts: .value}" }"#,
    r#"decode = { format = "json", each = "a[*]", unpack = { "a[*].b" = "base64-cbor", c = "json" }, skip = ["a.x"] }"#,
    r#"decode = { format = "json" }"#,
    r#"decode = { format = "json", ts_field = "t", carry = ["a", "b.c"], fields = { v = { valid_range = [-40, 85], ignore_values = [-127], scale = 0.1 } } }"#,
    case!("preset-chirpstack-fixed-layout"),
    case!("preset-zigbee2mqtt-names-with-slashes"),
    case!("more/milesight-entries-in-chirpstack"),
    case!("more/domoticz-svalue"),
    r#"decode = { format = "json", unpack = { a = "hex-entries", b = "," }, entries = { "0?" = 2, 10 = "u8", 11 = "u16le", ff = "rest" }, entries_at = 1, fields = { a = { path = "a.*", bytes = "0:i16le" }, b = { path = "b[*]" } } }"#,
];

/// Lines of text.
pub const TEXT: &[&str] = &[
    case!("plain-numbers"),
    case!("plain-numbers-decimal-comma"),
    case!("serial-key-value"),
    case!("serial-csv-plain"),
    case!("serial-csv-german"),
    case!("serial-nmea0183"),
    case!("p1-dsmr5"),
    case!("victron-vedirect-text"),
    case!("scale-a-and-d"),
    case!("scale-mt-sics"),
    case!("esphome-sensor-state"),
    r#"decode = { format = "nmea" }"#,
    r#"decode = { format = "nmea", checksum = "optional" }"#,
    r#"decode = { format = "p1" }"#,
    r#"decode = { format = "vedirect" }"#,
    r#"decode = { format = "scale", unstable = "keep" }"#,
    r#"decode = { format = "csv", header = true }"#,
    r#"decode = { format = "csv", columns = ["a", "b", "t"], ts_field = "t", delimiter = ";", decimal_comma = true }"#,
    r#"decode = { format = "key-value", strip_unit = true }"#,
    r#"decode = { format = "key-value", separator = ";", assign = ":", carry = ["a"], ts_field = "t" }"#,
    r#"decode = { format = "key-value", charset = "latin-1" }"#,
    case!("more/opentherm-gateway-lines"),
    case!("more/peet-ultimeter-hex-record"),
];

/// Bytes.
pub const BINARY: &[&str] = &[
    case!("cbor-nested-map"),
    case!("senml-cbor-relative-times"),
    case!("sparkplug-b-nbirth-ndata"),
    case!("sparkplug-devices-and-gaps"),
    case!("pms5003-frame"),
    case!("sds011-frame"),
    case!("mh-z19-co2"),
    r#"decode = { format = "cbor" }"#,
    r#"decode = { format = "cbor", fields = { "{match[0]}" = { path = "**", text = true } } }"#,
    r#"decode = { format = "senml" }"#,
    r#"decode = { format = "sparkplug-b", online = true }"#,
    r#"decode = { format = "binary", entries = { 0175 = 1, "??67" = 2, ff = "u8", fe = "u16be" }, fields = { a = { path = "0175", bytes = "0:u8" }, b = { path = "*", bytes = "0:i16le" } } }"#,
    r#"decode = { format = "binary", record_bytes = 3, records_at = 2, ts_field = "0:u8", ts_unit = "s", fields = { a = { path = "1:u16le" } } }"#,
];

/// Ports: a framing, and the format behind it.
pub const PORTS: &[&str] = &[
    case!("serial-csv-plain"),
    case!("serial-json-lines-partial-first"),
    case!("delimiter-semicolon"),
    case!("delimiter-etx-bcc"),
    case!("gap-ascii-no-end"),
    case!("slip-binary-crc"),
    case!("cobs-cbor-crc"),
    case!("p1-dsmr5"),
    case!("victron-vedirect-text"),
    case!("pms5003-frame"),
    case!("sds011-frame"),
    case!("mh-z19-co2"),
    case!("serial-nmea0183"),
    r#"framing = { by = "line", first_line = "keep", max_bytes = "16B" }
       decode = { format = "number" }"#,
    r#"framing = { by = "length", bytes = 9, end = "z", gap = "50ms", max_bytes = "64B", checksum = "crc16-modbus" }
       decode = { format = "number" }"#,
    r#"framing = { by = "start", start = "A", length_at = 1, length_as = "u32be", max_bytes = "64B" }
       decode = { format = "number" }"#,
    r#"framing = { by = "start", start = "aab", end = "ba", checksum = { kind = "sum8", written = "hex" }, max_bytes = "32B" }
       decode = { format = "number" }"#,
    r#"framing = { by = "delimiter", delimiter = "aab", first_frame = "keep", max_bytes = "32B" }
       decode = { format = "number" }"#,
    r#"framing = { by = "slip", max_bytes = "16B" }
       decode = { format = "number" }"#,
    r#"framing = { by = "cobs", max_bytes = "16B" }
       decode = { format = "number" }"#,
    r#"framing = { by = "p1", unchecked = "keep", max_bytes = "256B" }
       decode = { format = "p1" }"#,
    r#"framing = { by = "vedirect", max_bytes = "256B" }
       decode = { format = "vedirect" }"#,
    r#"framing = { by = "gap", gap = "20ms", max_bytes = "16B", checksum = { kind = "crc8", from = 1, at = -2 } }
       decode = { format = "number" }"#,
    case!("more/linky-teleinfo-historique"),
    case!("more/gill-windsonic-polar"),
];

/// What a source needs besides what its text says.
fn complete(text: &str, serial: bool) -> String {
    let (before, keys) = match text.split_once("[[source]]") {
        Some((before, keys)) => (before, keys),
        None => ("", text),
    };
    let mut whole = format!("{before}\n[[source]]\n");
    let mut add = |key: &str, value: &str| {
        let has = keys.lines().any(|line| line.trim_start().split('=').next().map(str::trim) == Some(key));
        if !has {
            whole.push_str(&format!("{key} = {value}\n"));
        }
    };
    add("name", "\"s\"");
    if serial {
        add("type", "\"serial\"");
        add("port", "\"/dev/ttyS0\"");
    } else {
        add("type", "\"mqtt\"");
        add("url", "\"mqtt://127.0.0.1\"");
        if !keys.lines().any(|line| line.starts_with("preset")) {
            add("topics", "[\"#\"]");
        }
    }
    let ports_only = ["baud", "framing", "parity", "data_bits", "stop_bits", "flow_control", "send", "send_every"];
    for line in keys.lines() {
        let key = line.trim_start().split('=').next().map(str::trim).unwrap_or_default();
        if serial || !ports_only.contains(&key) {
            whole.push_str(line);
            whole.push('\n');
        }
    }
    whole
}

/// One of [`JSON`], [`TEXT`] or [`BINARY`].
pub fn load(text: &str) -> Source {
    parse(&complete(text, false))
}

/// One of [`PORTS`].
pub fn load_port(text: &str) -> Source {
    parse(&complete(text, true))
}

/// Units with registers of every kind.
pub fn modbus() -> Source {
    parse(MODBUS)
}

/// Its text.
pub const MODBUS: &str = r#"
    [[source]]
    name = "s"
    type = "modbus"
    port = "/dev/ttyS0"
    baud = 9600

    [[source.unit]]
    id = 1
    name = "u"

    [source.unit.registers]
    a = { address = 0, type = "f32" }
    b = { address = 2, type = "f32", order = "CDAB", scale = 0.1 }
    c = { address = 4, type = "i16", table = "input" }
    d = { address = 5, type = "u64" }
    e = { address = 9, type = "f64", order = "CDAB" }
    f = { address = 1, type = "i32", valid_range = [-5, 5] }
    g = { address = 3, table = "coil" }
"#;

fn parse(text: &str) -> Source {
    match load_text(Path::new("fuzz.toml"), text, &|_| None) {
        Ok(mut loaded) => loaded.config.sources.remove(0),
        Err(report) => panic!("{text}\n{}", report.render(false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate::decode::Decoder;

    #[test]
    fn every_source_of_the_tables_is_valid() {
        for text in JSON.iter().chain(TEXT).chain(BINARY) {
            Decoder::new(&load(text)).unwrap();
        }
        assert_eq!(&*modbus().name, "s");
        for text in PORTS {
            Decoder::new(&load_port(text)).unwrap();
        }
    }
}
