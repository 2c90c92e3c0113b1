//! Presets by the shape of topics: what is known by its address need not be guessed from its payloads.
//!
//! Owns the shapes. Pure. A shape is only a reason to try: what the preset's own decoder does not read is left to the rest.

/// The preset that a message is likely meant for, and the first levels of its topics.
pub(super) fn of(topic: &str, payload: &[u8]) -> Option<(&'static str, String)> {
    let levels: Vec<&str> = topic.split('/').collect();
    let count = levels.len();
    let base = |levels_of: usize| levels[..levels_of].join("/");
    let says = |word: &str| payload.windows(word.len()).any(|part| part == word.as_bytes());
    Some(match levels[..] {
        ["spBv1.0", _, "NBIRTH" | "DBIRTH" | "NDATA" | "DDATA" | "NDEATH" | "DDEATH", ..] => ("sparkplug-b", base(1)),
        [_, .., "bridge", "state" | "info" | "devices" | "groups" | "health" | "logging" | "event" | "definitions"] => {
            ("zigbee2mqtt", base(count - 2))
        }
        ["zigbee2mqtt", _, ..] => ("zigbee2mqtt", base(1)),
        [_, .., "device", _, "event", "up"] if count >= 6 => ("chirpstack-v4", base(count - 5)),
        [_, .., "devices", _, "up"] if count >= 5 && says("uplink_message") => ("the-things-stack", base(count - 4)),
        [.., "tele", _, "SENSOR" | "STATE" | "LWT"] => ("tasmota", base(count - 2)),
        ["shellies", _, ..] => ("shelly", base(1)),
        [_, "events", "rpc"] if says("\"method\"") => ("shelly", "shellies".to_owned()),
        [_, "status", component] if component.contains(':') => ("shelly", "shellies".to_owned()),
        [_, "sensor" | "binary_sensor" | "text_sensor", _, "state"] => ("esphome", "+".to_owned()),
        ["homie", _, ..] => ("homie", base(1)),
        [_, .., _, "$homie"] => ("homie", base(count - 2)),
        ["rtl_433", _, "events"] => ("rtl_433", base(1)),
        ["N", _, _, _, _, ..] if says("\"value\"") => ("victron", base(1)),
        ["wmbusmeters", _] => ("wmbusmeters", base(1)),
        [_, .., _] if says("\"media\"") && says("\"meter\"") && says("\"id\"") => ("wmbusmeters", base(count - 1)),
        _ => {
            let at = levels.iter().position(|level| level.ends_with("toMQTT")).filter(|at| *at >= 2)?;
            ("openmqttgateway", base(at - 1))
        }
    })
}

/// Whether a message tells Home Assistant of a device: no reading.
pub(super) fn is_home_assistant(topic: &str) -> bool {
    topic.starts_with("homeassistant/") && (topic.ends_with("/config") || topic == "homeassistant/status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_told_with_the_levels_before_them() {
        for (topic, payload, expected) in [
            ("spBv1.0/g/DDATA/n/d", "", Some(("sparkplug-b", "spBv1.0"))),
            ("home/zigbee/bridge/state", "online", Some(("zigbee2mqtt", "home/zigbee"))),
            ("zigbee2mqtt/floor1/kitchen", "{}", Some(("zigbee2mqtt", "zigbee2mqtt"))),
            ("application/7/device/0102/event/up", "{}", Some(("chirpstack-v4", "application"))),
            ("eu/application/7/device/0102/event/up", "{}", Some(("chirpstack-v4", "eu/application"))),
            ("v3/app@ttn/devices/tank/up", r#"{"uplink_message":{}}"#, Some(("the-things-stack", "v3"))),
            ("tele/plug/SENSOR", "{}", Some(("tasmota", "tele"))),
            ("house/tele/plug/LWT", "Online", Some(("tasmota", "house/tele"))),
            ("shellies/ht-1/sensor/temperature", "20", Some(("shelly", "shellies"))),
            ("plug-3/events/rpc", r#"{"method":"NotifyStatus"}"#, Some(("shelly", "shellies"))),
            ("plug-3/status/switch:0", "{}", Some(("shelly", "shellies"))),
            ("node/sensor/tank/state", "5", Some(("esphome", "+"))),
            ("my/homie/lamp/$homie", "4.0", Some(("homie", "my/homie"))),
            ("home/omg/BTtoMQTT/AA", "{}", Some(("openmqttgateway", "home"))),
            ("rtl_433/pi/events", "{}", Some(("rtl_433", "rtl_433"))),
            ("N/c0ff/battery/0/Soc", r#"{"value":5}"#, Some(("victron", "N"))),
            ("water/cellar", r#"{"media":"water","meter":"x","id":"1"}"#, Some(("wmbusmeters", "water"))),
            ("plant/a/temperature", "5", None),
            ("a", "", None),
            ("", "", None),
            ("bridge/state", "x", None),
            ("x/devices/y/up", "1", None),
        ] {
            let found = of(topic, payload.as_bytes());
            assert_eq!(found.as_ref().map(|(preset, base)| (*preset, &**base)), expected, "{topic}");
        }
        assert!(is_home_assistant("homeassistant/sensor/x/config") && !is_home_assistant("homeassistant/x"));
    }
}
