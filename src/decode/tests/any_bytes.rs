//! Whatever a device sends, a decoder neither panics nor grows.

use proptest::prelude::*;

use super::*;
use crate::config::load_text;

/// A source of every format that takes documents or keeps something between messages, and of every preset.
fn decoders() -> Vec<Decoder> {
    let source = |keys: String| format!("[[source]]\nname = \"s\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\n{keys}\n");
    let decode = |keys: &str| source(format!("topics = [\"#\"]\ndecode = {{ {keys} }}"));
    let presets = crate::config::preset::PRESETS.iter().map(|preset| source(format!("preset = {:?}", preset.name)));
    let formats = [
        "format = \"senml\"",
        "format = \"cbor\"",
        "format = \"cbor\", fields = { \"{match[0]}\" = { path = \"**\", text = true } }",
        "format = \"sparkplug-b\", online = true",
        "format = \"homie\", online = true",
        "format = \"query\", ts_field = \"a+b\", ts_format = \"%d.%m.%Y %H:%M\"",
        "format = \"influx\", device = \"{payload.measurement}\"",
        "format = \"pattern\", pattern = '(?<a>[a-c]+)(?<b>[-.0-9]*)', fields = { a = { hex = true, bits = \"0-3\", signed = true }, b = {} }",
        "format = \"cayenne-lpp\"",
        "format = \"bthome\", others = true",
        "format = \"sml\"",
        "format = \"json\", when = { a = 1 }, ts_field = \"b\", ts_format = \"%H:%M\", unpack = { c = \"hex-bthome\", d = \"base64-cayenne-lpp\" }",
        "format = \"json\", each = \"a[*]\", unpack = { \"a[*].b\" = \"base64-cbor\", c = \"json\" }, skip = [\"a.x\"]",
        "format = \"jq\", expression = \".. | objects | to_entries[] | {sensor: .key, value: .value, ts: .value}\"",
    ];
    let texts = formats.iter().map(|keys| decode(keys)).chain(presets);
    let load = |text: String| load_text("t.toml".as_ref(), &text, &|_| None).unwrap().config.sources.remove(0);
    texts.map(|text| Decoder::new(&load(text)).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_message_makes_any_format_panic(
        messages in prop::collection::vec(
            (
                prop_oneof![
                    "(spBv1.0/G/(NBIRTH|NDATA|DBIRTH|DDATA|NDEATH)/n(/d)?)|homie/d/n/p(/\\$unit)?|homie/5/d/\\$description",
                    "[a-z/+$]{0,20}",
                    Just("shellies/x/sensor/temperature".to_owned()),
                    Just("tele/x/SENSOR".to_owned()),
                ],
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..60),
                    "[\\[\\]{}\":,a-c0-9.eE-]{0,60}".prop_map(String::into_bytes),
                    Just(br#"{"a":[{"b":"oWFhAQ==","x":1},{"b":2}],"c":"{\"t\":[1,null]}","value":{}}"#.to_vec()),
                ],
            ),
            1..6,
        ),
    ) {
        for mut decoder in decoders() {
            let mut out = Decoded::default();
            for (topic, payload) in &messages {
                out.clear();
                let topic = Some(topic.as_str());
                decoder.decode(&Message { topic, payload, retained: false, arrival: ARRIVAL }, &mut out);
                prop_assert!(out.readings.len() <= READINGS_PER_MESSAGE_MAX);
                for reading in &out.readings {
                    prop_assert!(reading.value.as_f64().is_none_or(f64::is_finite), "{reading:?}");
                }
            }
        }
    }
}
