//! The keys of `[home_assistant]`.

use super::{KeyTable, optional, with_default};

/// `[home_assistant]`
pub static HOME_ASSISTANT: KeyTable = KeyTable {
    title: "[home_assistant]",
    noun: "[home_assistant]",
    selector: "",
    meaning: "Shows every alarm on every sensor as a binary sensor (class problem) in Home Assistant, by MQTT discovery at \
              a local broker: retained messages under `discovery_prefix`, states under `tidegate/<gateway>/ha/`. At most \
              1,000 entities. Only a view: what matters goes upstream, and nothing waits for this.",
    keys: &[
        with_default("enabled", "true or false", "false", "Whether it is done at all.")
            .near(&["enable", "on", "active"]),
        optional(
            "source",
            "name",
            "required when enabled",
            "The MQTT source whose broker is used, with its login. It must let us publish there.",
        )
        .near(&["broker", "mqtt", "url"]),
        with_default("discovery_prefix", "topic", "\"homeassistant\"", "As it is set in Home Assistant.")
            .near(&["prefix", "topic"]),
    ],
};
