//! `[home_assistant]` as the rest of the program sees it.

use std::sync::Arc;

/// Where Home Assistant looks for devices unless told otherwise.
pub const DISCOVERY_PREFIX: &str = "homeassistant";

/// `[home_assistant]` with `enabled = true`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeAssistant {
    /// `source`: the name of an MQTT source; its broker is used, with its login.
    pub source: Arc<str>,
    /// `discovery_prefix`. Default [`DISCOVERY_PREFIX`].
    pub discovery_prefix: String,
}
