//! What `[upstream]` says on the version of MQTT and on what goes with a message besides its payload.
//!
//! Owns `protocol`, `mode`, `message_expiry`, `user_properties` and `alpn`, and which of them need MQTT 5.

use std::time::Duration;

use super::model::{BrokerUrl, Mode, Protocol};
use super::section::Section;
use super::text::{Text, text, wrong_type};
use super::tree::{Context, Data};
use crate::event::wire;

/// User properties; each goes with every event.
const USER_PROPERTIES_MAX: usize = 16;

/// Longest name or value of a user property, bytes.
const USER_PROPERTY_BYTES_MAX: usize = 256;

/// Protocol names offered in the TLS handshake.
const ALPN_MAX: usize = 8;

/// Longest of them, bytes: what TLS can express.
const ALPN_BYTES_MAX: usize = 255;

/// Shortest and longest `message_expiry`: MQTT counts it in seconds.
const EXPIRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3660 * 86_400));

/// How events are put into messages.
#[derive(Debug)]
pub struct Form {
    /// `protocol`
    pub protocol: Protocol,
    /// `mode`
    pub mode: Mode,
    /// `message_expiry`
    pub message_expiry: Option<Duration>,
    /// `user_properties`
    pub user_properties: Vec<(String, String)>,
}

/// `protocol`, `mode`, `message_expiry` and `user_properties`.
pub fn form(ctx: &mut Context<'_>, section: &Section<'_>) -> Form {
    let protocols = [("3.1.1", Protocol::V311), ("5", Protocol::V5)];
    let protocol = section.choice(ctx, "protocol", &protocols).unwrap_or(Protocol::V311);
    let modes = [("structured", Mode::Structured), ("binary", Mode::Binary)];
    let mode = section.choice(ctx, "mode", &modes).unwrap_or(Mode::Structured);
    let message_expiry = section.duration(ctx, "message_expiry", EXPIRY.0..=EXPIRY.1);
    let user_properties = user_properties(ctx, section);
    if protocol == Protocol::V311 {
        needs_mqtt_5(ctx, section, mode);
    }
    Form { protocol, mode, message_expiry, user_properties }
}

/// Refuses what MQTT 3.1.1 cannot express.
fn needs_mqtt_5(ctx: &mut Context<'_>, section: &Section<'_>, mode: Mode) {
    for name in ["mode", "message_expiry", "user_properties"] {
        if let Some(entry) = section.entry(name)
            && (name != "mode" || mode == Mode::Binary)
        {
            ctx.error(entry.key, format!("`{name}` needs MQTT 5"))
                .label("MQTT 3.1.1 has no properties to carry it")
                .help("set protocol = \"5\" if the broker speaks it, or remove this key");
        }
    }
}

/// `user_properties`
fn user_properties(ctx: &mut Context<'_>, section: &Section<'_>) -> Vec<(String, String)> {
    let Some(entry) = section.entry("user_properties") else { return Vec::new() };
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "user_properties", "a table, as in { site = \"north\" }");
        return Vec::new();
    };
    if entries.len() > USER_PROPERTIES_MAX {
        ctx.error(entry.key, format!("{} user properties", entries.len()))
            .label(format!("at most {USER_PROPERTIES_MAX}: they go with every event"));
        return Vec::new();
    }
    let mut properties = Vec::new();
    for entry in entries {
        let name = Text::of_key(entry);
        let Some(value) = text(ctx, &entry.value, "a user property") else { continue };
        for text in [&name, &value] {
            if text.value.len() > USER_PROPERTY_BYTES_MAX || text.value.contains(char::is_control) {
                ctx.error(text.spot, "this cannot be a user property")
                    .label(format!("at most {USER_PROPERTY_BYTES_MAX} bytes, no control characters"));
            }
        }
        if wire::ATTRIBUTES.contains(&name.value.as_str()) {
            ctx.error(name.spot, format!("`{}` is an attribute of every event", name.value))
                .label("in binary mode the two would be mixed up")
                .help("choose another name");
        }
        properties.push((name.value, value.value));
    }
    properties
}

/// `alpn`
pub fn alpn(ctx: &mut Context<'_>, section: &Section<'_>, urls: &[BrokerUrl]) -> Vec<String> {
    if let Some(entry) = section.entry("alpn")
        && urls.iter().any(|url| !url.tls)
    {
        ctx.error(entry.key, "`alpn` has no effect without TLS").help("write mqtts:// in `url`, or remove it");
    }
    let names = section.texts(ctx, "alpn", ALPN_MAX).unwrap_or_default();
    for name in &names {
        if name.value.is_empty() || name.value.len() > ALPN_BYTES_MAX {
            ctx.error(name.spot, "this is no protocol name").label(format!("1 to {ALPN_BYTES_MAX} bytes, as \"mqtt\""));
        }
    }
    names.into_iter().map(|name| name.value).collect()
}
