//! `tidegate presets`: what is known about kinds of devices, to look at and to copy from.

use crate::cli::client;
use crate::config::preset::{PRESETS, Preset, find};
use crate::error::Failure;

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate presets
  tidegate presets zigbee2mqtt
  tidegate presets zigbee2mqtt --base home/zigbee
  tidegate presets --json | jq -r '.[].name'

A preset is used by its name: preset = \"zigbee2mqtt\" in a [[source]] with type = \"mqtt\". The source's own keys come
first. To change more than keys can, copy what is printed into the source and leave `preset` out.

Exit codes: 0 printed, 1 there is no such preset, 2 usage.";

/// Lists the presets, or prints one.
///
/// # Errors
/// There is no such preset, or `base` is no beginning of a topic.
pub fn presets(name: Option<&str>, base: Option<&str>, json: bool) -> Result<(), Failure> {
    let Some(name) = name else {
        if json {
            let all: Vec<_> = PRESETS.iter().map(told).collect();
            let text = client::to_json(&all)?;
            return client::print(|out| writeln!(out, "{text}"));
        }
        let width = PRESETS.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
        return client::print(|out| {
            PRESETS.iter().try_for_each(|preset| writeln!(out, "{:width$}  {}", preset.name, preset.about))
        });
    };
    let Some(preset) = find(name) else {
        let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        return Err(Failure::Failed(format!("error: there is no preset `{name}`; there are {}", known.join(", "))));
    };
    if base.is_some_and(|base| base.is_empty() || base.contains(['"', '\\', '#', '\n'])) {
        return Err(Failure::Usage("error: --base takes the first levels of topics, as in home/zigbee".to_owned()));
    }
    let toml = preset.toml(base.unwrap_or(preset.base));
    if json {
        let mut one = told(preset);
        one["toml"] = toml.into();
        let text = client::to_json(&one)?;
        return client::print(|out| writeln!(out, "{text}"));
    }
    client::print(|out| write!(out, "{toml}"))
}

fn told(preset: &Preset) -> serde_json::Value {
    serde_json::json!({ "name": preset.name, "base": preset.base, "about": preset.about })
}
