//! One alarm on one sensor as Home Assistant sees it: topics, discovery, state, attributes.
//!
//! Owns the names and the JSON, after Home Assistant's documentation of MQTT discovery and of `binary_sensor`. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::json;

use crate::config::model::Severity;
use crate::engine::{AlarmView, SensorView};
use crate::event::{AlarmState, Limit};
use crate::reading::{Unit, Value};

/// Longest part of an entity's id that is taken from the names, bytes; a checksum of the whole names follows.
const SLUG_BYTES_MAX: usize = 48;

/// Which entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub alarm: Arc<str>,
    pub sensor: Arc<str>,
}

/// How it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entity {
    /// The alarm is active.
    pub on: bool,
    pub severity: Severity,
    pub limit: Limit,
    pub value: Option<Value>,
    pub unit: Option<Unit>,
    /// Since when it is active.
    pub since: Option<String>,
}

impl Entity {
    /// Whether the attributes must be told anew. The value of an alarm that is not active is not followed: that would
    /// be every reading.
    pub(super) fn is_other(&self, now: &Self) -> bool {
        let same = self.on == now.on
            && self.severity == now.severity
            && self.limit == now.limit
            && self.since == now.since
            && (!now.on || self.value == now.value);
        !same
    }

    /// As JSON.
    pub(super) fn attributes(&self, key: &Key) -> Vec<u8> {
        let attributes = json!({
            "alarm": &*key.alarm,
            "sensor": &*key.sensor,
            "value": self.value,
            "unit": self.unit.as_deref(),
            "limit": self.limit,
            "severity": self.severity,
            "since": self.since,
        });
        attributes.to_string().into_bytes()
    }
}

/// All entities there are, up to a number, and how many are left out.
pub(super) fn all(sensors: &[SensorView], alarms: &[AlarmView], count_max: usize) -> (BTreeMap<Key, Entity>, usize) {
    let told: HashMap<(&str, &str), &AlarmView> =
        alarms.iter().map(|view| ((&*view.alarm, &*view.sensor), view)).collect();
    let mut entities = BTreeMap::new();
    let mut left_out = 0;
    for sensor in sensors {
        for limit in &sensor.limits {
            if entities.len() >= count_max {
                left_out += 1;
                continue;
            }
            let told = told.get(&(&*limit.alarm, &*sensor.sensor));
            let on = told.is_some_and(|view| matches!(view.state, AlarmState::Active | AlarmState::Clearing));
            let entity = Entity {
                on,
                severity: limit.severity,
                limit: limit.limit.clone(),
                value: sensor.value.clone(),
                unit: sensor.unit.clone(),
                since: told.and_then(|view| view.since).filter(|_| on).map(|since| since.to_string()),
            };
            entities.insert(Key { alarm: Arc::clone(&limit.alarm), sensor: Arc::clone(&sensor.sensor) }, entity);
        }
    }
    (entities, left_out)
}

/// Topics and ids of one gateway.
pub(super) struct Names {
    gateway: String,
    prefix: String,
}

impl Names {
    pub(super) fn new(gateway: &str, prefix: &str) -> Self {
        Self { gateway: gateway.to_owned(), prefix: prefix.to_owned() }
    }

    pub(super) fn client_id(&self) -> String {
        format!("tidegate-{}-home-assistant", self.gateway)
    }

    pub(super) fn availability(&self) -> String {
        format!("tidegate/{}/ha/availability", self.gateway)
    }

    pub(super) fn config(&self, key: &Key) -> String {
        format!("{}/binary_sensor/tidegate_{}/{}/config", self.prefix, self.gateway, id(key))
    }

    pub(super) fn state(&self, key: &Key) -> String {
        format!("tidegate/{}/ha/{}/state", self.gateway, id(key))
    }

    pub(super) fn attributes(&self, key: &Key) -> String {
        format!("tidegate/{}/ha/{}/attributes", self.gateway, id(key))
    }

    /// The topics that are emptied to remove it.
    pub(super) fn removal(&self, key: &Key) -> [String; 3] {
        [self.config(key), self.state(key), self.attributes(key)]
    }

    /// The discovery message.
    pub(super) fn discovery(&self, key: &Key) -> Vec<u8> {
        let version = env!("CARGO_PKG_VERSION");
        let device = format!("tidegate_{}", self.gateway);
        let message = json!({
            "name": format!("{} {}", key.alarm, key.sensor),
            "unique_id": format!("{device}_{}", id(key)),
            "device_class": "problem",
            "state_topic": self.state(key),
            "payload_on": "ON",
            "payload_off": "OFF",
            "json_attributes_topic": self.attributes(key),
            "availability_topic": self.availability(),
            "payload_available": "online",
            "payload_not_available": "offline",
            "qos": 1,
            "device": {
                "identifiers": [device],
                "name": format!("tidegate {}", self.gateway),
                "manufacturer": "tidegate",
                "model": "edge event gateway",
                "sw_version": version,
            },
            "origin": { "name": "tidegate", "sw_version": version },
        });
        message.to_string().into_bytes()
    }
}

/// An id of letters, digits, `-` and `_` that no other alarm and sensor has.
fn id(key: &Key) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let slug: String =
        key.alarm.chars().chain(['_']).chain(key.sensor.chars()).map(plain).take(SLUG_BYTES_MAX).collect();
    let sum = crc32c::crc32c(format!("{}\0{}", key.alarm, key.sensor).as_bytes());
    format!("{slug}_{sum:08x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::engine::LimitView;
    use crate::event::ConditionKind;

    fn key(alarm: &str, sensor: &str) -> Key {
        Key { alarm: alarm.into(), sensor: sensor.into() }
    }

    fn sensor(name: &str, alarms: &[&str]) -> SensorView {
        let limits = alarms.iter().map(|alarm| LimitView {
            alarm: (*alarm).into(),
            severity: Severity::High,
            condition: ConditionKind::High,
            limit: Limit::Number(8.0),
        });
        SensorView { sensor: name.into(), value: Some(Value::Number(9.5)), unit: None, limits: limits.collect() }
    }

    #[test]
    fn ids_are_plain_and_differ_where_names_look_alike() {
        let (a, b) = (id(&key("warm", "a/b c/t")), id(&key("warm", "a/b_c/t")));
        assert_ne!(a, b);
        let long = id(&key(&"x".repeat(64), &"ä/".repeat(100)));
        for id in [a, b, long] {
            assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') && id.len() < 64, "{id}");
        }
    }

    #[test]
    fn discovery_is_json_that_names_topics_and_device() {
        let names = Names::new("g", "homeassistant");
        let key = key("warm", "a/b/\"t\"");
        let message: serde_json::Value = serde_json::from_slice(&names.discovery(&key)).unwrap();
        assert_eq!(message["device_class"], "problem");
        assert_eq!(message["state_topic"], names.state(&key));
        assert_eq!(message["availability_topic"], "tidegate/g/ha/availability");
        assert_eq!(message["device"]["identifiers"][0], "tidegate_g");
        assert!(message["unique_id"].as_str().unwrap().starts_with("tidegate_g_warm_"));
    }

    #[test]
    fn an_entity_for_each_alarm_of_each_sensor_and_no_more_than_allowed() {
        let sensors = [sensor("a/b/c", &["warm", "hot"]), sensor("d/e/f", &["warm"])];
        let (entities, left_out) = all(&sensors, &[], 10);
        assert_eq!((entities.len(), left_out), (3, 0));
        assert!(entities.values().all(|entity| !entity.on && entity.since.is_none()));
        let (entities, left_out) = all(&sensors, &[], 2);
        assert_eq!((entities.len(), left_out), (2, 1));
    }

    #[test]
    fn the_value_of_an_inactive_alarm_is_not_followed() {
        let (entities, _) = all(&[sensor("a/b/c", &["warm"])], &[], 1);
        let off = entities.into_values().next().unwrap();
        let other = Entity { value: Some(Value::Number(1.0)), ..off.clone() };
        assert!(!off.is_other(&other));
        let (on, hotter) = (Entity { on: true, ..off.clone() }, Entity { on: true, ..other });
        assert!(off.is_other(&on) && on.is_other(&hotter));
    }
}
