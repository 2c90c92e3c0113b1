//! Presets under the keys of a source.

use super::*;
use crate::config::model::TemplatePart;

#[test]
fn a_preset_stands_under_the_keys_of_its_source() {
    let source = |keys: &str| {
        let text = format!("[[source]]\nname = \"z\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\n{keys}");
        good(&text).config.sources.remove(0)
    };
    let topics = |source: &crate::config::model::Source| match &source.kind {
        crate::config::model::SourceKind::Mqtt(mqtt) => mqtt.topics.clone(),
        _ => unreachable!("an MQTT source"),
    };
    let plain = source("preset = \"zigbee2mqtt\"");
    assert_eq!(topics(&plain), ["zigbee2mqtt/#"]);
    let json = plain.further.last().unwrap();
    let moved =
        source("preset = \"zigbee2mqtt\"\nbase = \"a/b\"\ndecode = { max_age = \"1d\", fields = { x = \"V\" } }");
    assert_eq!(topics(&moved), ["a/b/#"]);
    let decode = moved.further.last().unwrap();
    assert_eq!(&*decode.fields[0].quantity, "x", "own fields come first");
    assert_eq!(decode.fields.len(), json.fields.len() + 1);
    assert_eq!((decode.max_age.as_secs(), json.max_age.as_secs()), (86_400, 30 * 86_400));
    assert_eq!(decode.device.0, [TemplatePart::TopicFrom(2)]);
    let own = source("preset = \"zigbee2mqtt\"\ntopics = [\"t\"]\ndecode = { format = \"number\" }");
    assert_eq!((topics(&own), own.further.len()), (vec!["t".to_owned()], 0));
}

#[test]
fn every_preset_can_be_used_as_it_is_and_with_another_base() {
    for preset in crate::config::preset::PRESETS {
        for base in ["", "base = \"home/x\"\n"] {
            let name = preset.name;
            let text = format!(
                "[[source]]\nname = \"z\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\npreset = \"{name}\"\n{base}"
            );
            let source = good(&text).config.sources.remove(0);
            assert!(crate::decode::Decoder::new(&source).is_ok(), "{name}");
        }
    }
}

#[test]
fn an_unknown_preset_and_a_wrong_base_are_told() {
    let start = "[[source]]\nname = \"z\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\n";
    let report = load_str(&format!("{start}preset = \"zigbee2mqt\"\n")).unwrap_err().to_string();
    assert!(report.contains("did you mean \"zigbee2mqtt\""), "{report}");
    let report = load_str(&format!("{start}preset = \"tasmota\"\nbase = \"a/#\"\n")).unwrap_err().to_string();
    assert!(report.contains("beginning of a topic"), "{report}");
}

#[test]
fn a_misspelt_preset_is_the_only_mistake_told_of_its_source() {
    let told = errors("[[source]]\nname = \"z\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\npreset = \"zigbee2mqt\"\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].1.contains("no such preset"), "{told:?}");
}
