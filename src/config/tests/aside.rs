//! `[home_assistant]` and `on_event`: what is taken, and what is said about the rest.

use super::*;
use crate::config::model::HookOn;

fn bad(text: &str) -> String {
    load_str(text).unwrap_err().to_string()
}

fn hass(keys: &str) -> String {
    format!("{GOOD}\n[home_assistant]\n{keys}\n")
}

fn hook(table: &str) -> String {
    format!("{GOOD}\n[[alarm]]\nname = \"loud\"\nsensors = [\"#\"]\nhigh = 1.0\non_event = {table}\n")
}

#[test]
fn home_assistant_is_off_until_it_is_enabled_with_a_broker() {
    assert_eq!(good(&hass("source = \"zigbee\"")).config.home_assistant, None);
    let wanted = good(&hass("enabled = true\nsource = \"zigbee\"")).config.home_assistant.unwrap();
    assert_eq!((&*wanted.source, &*wanted.discovery_prefix), ("zigbee", "homeassistant"));
    assert!(bad(&hass("enabled = true")).contains("needs `source`"));
    assert!(bad(&hass("enabled = true\nsource = \"nobody\"")).contains("there is no source `nobody`"));
    assert!(bad(&hass("enabled = true\nsource = \"zigbee\"\ndiscovery_prefix = \"a/#\"")).contains("no prefix"));
    assert!(bad(&hass("broker = \"x\"")).contains("did you mean `source`?"));
}

#[test]
fn a_program_has_a_whole_path_a_time_and_changes_it_runs_at() {
    let loaded = good(&hook("{ command = [\"/usr/local/bin/siren\", \"on\"] }"));
    let [found] = loaded.config.hooks.as_slice() else { panic!("{:?}", loaded.config.hooks) };
    assert_eq!((&*found.alarm, found.timeout.as_secs()), ("loud", 10));
    assert_eq!(found.on, [HookOn::Exceeded, HookOn::Cleared]);
    for (table, words) in [
        ("{ command = [] }", "`command` is empty"),
        ("{ command = [\"siren\"] }", "no whole path"),
        ("{ command = [\"/bin/true\"], on = [\"raised\"] }", "no kind of event"),
        ("{ command = [\"/bin/true\"], timeout = \"1h\" }", "timeout"),
        ("{ timeout = \"1s\" }", "command"),
        ("\"/bin/true\"", "a table such as"),
    ] {
        let report = bad(&hook(table));
        assert!(report.contains(words), "{table}: {report}");
    }
}
