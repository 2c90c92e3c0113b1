//! `tidegate presets`: what is known about kinds of devices, to look at and to copy from.

use crate::config::preset::{PRESETS, find};
use crate::error::Failure;

/// What `--help` ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate presets
  tidegate presets zigbee2mqtt
  tidegate presets zigbee2mqtt --base home/zigbee

A preset is used by its name: preset = \"zigbee2mqtt\" in a [[source]] with type = \"mqtt\". The source's own keys come
first. To change more than keys can, copy what is printed into the source and leave `preset` out.

Exit codes: 0 printed, 1 there is no such preset, 2 usage.";

/// Lists the presets, or prints one.
///
/// # Errors
/// There is no such preset, or `base` is no beginning of a topic.
pub fn presets(name: Option<&str>, base: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else {
        let width = PRESETS.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
        for preset in PRESETS {
            println!("{:width$}  {}", preset.name, preset.about);
        }
        return Ok(());
    };
    let Some(preset) = find(name) else {
        let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        return Err(Failure::Failed(format!("there is no preset `{name}`; there are {}", known.join(", "))));
    };
    if base.is_some_and(|base| base.is_empty() || base.contains(['"', '\\', '#', '\n'])) {
        return Err(Failure::Failed("--base takes the first levels of topics, as in home/zigbee".to_owned()));
    }
    print!("{}", preset.toml(base.unwrap_or(preset.base)));
    Ok(())
}
