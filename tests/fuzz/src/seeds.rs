//! Makes `tests/fuzz/corpus` of the cases' payloads, the shipped configurations and the stored bytes of all versions.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tidegate::event::stored::decode_events;
use tidegate::store::fuzzing;
use tidegate_fuzz::{AFTER_TOPIC, BETWEEN, sources};

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = here.parent().expect("the package is in tests");
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let dir = here.join("corpus").join(target);
        // Cases of a folder below are known by their own name.
        let name = name.rsplit('/').next().unwrap_or(name);
        fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join(name), bytes)).expect("the corpus can be written");
    };
    for (target, table) in [("json", sources::JSON), ("text", sources::TEXT), ("binary", sources::BINARY)] {
        for (index, name, steps) in cases(&tests.join("cases"), table) {
            let messages: Vec<Vec<u8>> = steps
                .iter()
                .map(|(topic, bytes)| [topic.as_bytes(), &AFTER_TOPIC, bytes].concat())
                .collect();
            put(target, name, &[&[index, 0], &*messages.join(&BETWEEN[..])].concat());
        }
    }
    for (index, name, steps) in cases(&tests.join("cases"), sources::PORTS) {
        let bytes: Vec<u8> = steps.into_iter().flat_map(|(_, bytes)| bytes).collect();
        put("framing", name, &[&[index, 3, 1, 7, 30], &*bytes].concat());
    }
    for entry in read_dir(&tests.join("cases")).into_iter().chain(read_dir(&tests.join("../src/config/presets"))) {
        if entry.extension().is_some_and(|extension| extension == "toml") {
            put("config", stem(&entry), &fs::read(&entry).expect("a case"));
        }
    }
    put("config", "modbus", sources::MODBUS.as_bytes());
    for entry in read_dir(&tests.join("fixtures")) {
        let bytes = fs::read(&entry).expect("a fixture");
        if let Ok(events) = decode_events(&bytes) {
            put("frame", stem(&entry), &[&[1], &*fuzzing::sample(&events)].concat());
        }
        put("stored", stem(&entry), &bytes);
    }
    let expression = br#".a as $x | [.. | numbers] | {v: (add / length), s: (tostring | ascii_downcase | split(",")), k: to_entries?} // empty"#;
    put("jq", "numbers", &[expression, &BETWEEN[..], br#"{"a":[1,2,{"b":"3.5"}],"t":"2026-01-01T00:00:00Z"}"#].concat());
    let request = [1, 3, 0, 0, 0, 2];
    put("modbus", "rtu", &[&[2][..], &request, &BETWEEN, &[9, 1, 3, 4, 65, 160, 0, 0, 0xef, 0xd1, 1, 0x83, 2, 0xc0, 0xf1]].concat());
    put("modbus", "tcp", &[&[5][..], &[0, 7, 0, 0, 0, 6], &request, &BETWEEN, &[0, 7, 0, 0, 0, 7, 1, 3, 4, 65, 160, 0, 0]].concat());
    let welcome = [0x20, 14, 0, 0, 11, 33, 0, 20, 34, 0, 9, 31, 0, 2, b'o', b'k'];
    let goodbye = [0xe0, 9, 0x8b, 7, 28, 0, 4, b'a', b':', b'1', b'8'];
    put("mqtt", "welcome", &[&[3][..], &welcome, &[0x40, 4, 0, 1, 0x10, 0], &[0xd0, 0], &goodbye].concat());
}

fn read_dir(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    all.sort();
    all.retain(|path| path.is_file());
    all
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name")
}

/// The cases in a table of sources: the place in the table, the name, and topics with payloads.
fn cases(dir: &Path, table: &[&'static str]) -> Vec<(u8, &'static str, Vec<(String, Vec<u8>)>)> {
    let mut all = Vec::new();
    for (index, text) in (0..).zip(table) {
        let Some(name) = text.strip_prefix("# ").and_then(|text| text.lines().next()) else { continue };
        let text = fs::read(dir.join(name).with_extension("json")).expect("a case");
        let case: Value = serde_json::from_slice(&text).expect("a case is JSON");
        let payloads = match &case["payload"] {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        let steps = payloads.iter().filter_map(|item| {
            let topic = item["topic"].as_str().or(case["topic"].as_str()).unwrap_or_default();
            Some((topic.to_owned(), bytes(item)?))
        });
        all.push((index, name, steps.collect()));
    }
    all
}

/// A payload; nothing for what is no payload, or only a long repetition.
fn bytes(item: &Value) -> Option<Vec<u8>> {
    if let Some(text) = item["utf8"].as_str() {
        return Some(text.into());
    }
    let digits: Vec<u32> = item["hex"].as_str()?.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}
