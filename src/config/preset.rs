//! Presets: what is known about a kind of device, as the TOML text of a source.
//!
//! Owns the list and the merging. A preset stands under the source's own keys: what the source sets itself wins. A
//! `decode` table of the source goes into every `decode` of the preset, key by key as far as its format has a use for
//! them, its `fields`, `units` and `unpack` entry by entry, in front; a `decode` list replaces the preset's. In the
//! texts `{base}` is the first levels of the topics, and `base+N` the number of the level N behind them, `base-1` that
//! of the last of them.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::keys::DECODE;
use super::report::SourceFile;
use super::suggest::{nearest, one_of};
use super::text::{text, wrong_type};
use super::tree::{Context, Data, Entry, Node};
use super::{pattern, syntax};

/// Highest N of `base+N`.
const LEVELS_MAX: usize = 9;

/// Longest `base`, bytes.
const BASE_BYTES_MAX: usize = 128;

/// What is known about a kind of device.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// As written in `preset`.
    pub name: &'static str,
    /// First levels of its topics unless `base` says otherwise; empty where there are none to choose.
    pub base: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    text: &'static str,
}

impl Preset {
    /// The keys of a source, as TOML, for a base of topics.
    pub fn toml(&self, base: &str) -> String {
        let levels = if base.is_empty() { 0 } else { base.split('/').count() };
        let mut text = self.text.replace("{base}", base);
        text = text.replace("base-1", &levels.saturating_sub(1).to_string());
        for level in 0..=LEVELS_MAX {
            text = text.replace(&format!("base+{level}"), &(levels + level).to_string());
        }
        text
    }
}

macro_rules! preset {
    ($name:literal, $base:literal, $about:literal) => {
        Preset { name: $name, base: $base, about: $about, text: include_str!(concat!("presets/", $name, ".toml")) }
    };
}

/// All presets.
pub static PRESETS: &[Preset] = &[
    preset!("chirpstack-v4", "application", "LoRaWAN network server ChirpStack 4: decoded uplinks"),
    preset!("esphome", "+", "ESPHome nodes with the mqtt component: sensors, binary sensors, text sensors"),
    preset!("homie", "homie", "Homie convention 3 to 5: units and types from the devices' own attributes"),
    preset!("openmqttgateway", "home", "OpenMQTTGateway: Bluetooth, 433 MHz, infrared and LoRa to MQTT"),
    preset!("rtl_433", "rtl_433", "rtl_433: 433/868 MHz weather stations, thermometers and meters"),
    preset!("shelly", "shellies", "Shelly, first generation topics and RPC notifications of the later ones"),
    preset!("sparkplug-b", "spBv1.0", "Sparkplug B edge nodes: PLCs, gateways, Ignition"),
    preset!("tasmota", "tele", "Tasmota plugs and sensors: SENSOR, STATE and STATUS messages"),
    preset!("the-things-stack", "v3", "LoRaWAN network server The Things Stack 3: decoded uplinks"),
    preset!("victron", "N", "Victron GX devices (dbus-mqtt, flashmq)"),
    preset!("wmbusmeters", "wmbusmeters", "wmbusmeters: wireless M-Bus water, heat and electricity meters"),
    preset!("zigbee2mqtt", "zigbee2mqtt", "Zigbee2MQTT: sensors, plugs, contacts, buttons"),
];

/// The preset of a name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// The entries of a source with those of its preset under them.
pub(super) fn apply<'t>(ctx: &mut Context<'_>, own: &'t [Entry]) -> Cow<'t, [Entry]> {
    let Some(entry) = own.iter().find(|entry| entry.name == "preset") else {
        if let Some(base) = own.iter().find(|entry| entry.name == "base") {
            ctx.warning(base.key, "`base` has no effect without `preset`");
        }
        return Cow::Borrowed(own);
    };
    let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    if !matches!(entry.value.data, Data::Text(_)) {
        wrong_type(ctx, &entry.value, "`preset`", &one_of(&known, "\""));
        return Cow::Borrowed(own);
    }
    let Some(name) = text(ctx, &entry.value, "`preset`") else {
        return Cow::Borrowed(own);
    };
    let Some(preset) = find(&name.value) else {
        let near = nearest(&name.value.to_ascii_lowercase(), known.iter().copied());
        let label = near.map_or_else(|| "unknown".to_owned(), |near| format!("did you mean \"{near}\"?"));
        ctx.error(name.spot, "there is no such preset").label(label).help(format!("expected {}", one_of(&known, "\"")));
        // What the preset would have brought is not missing as well.
        ctx.damaged.push(name.spot);
        return Cow::Borrowed(own);
    };
    let base = base(ctx, own).unwrap_or_else(|| preset.base.to_owned());
    let file = ctx.files.len();
    let place = format!("preset {}", preset.name);
    ctx.files.push(Arc::new(SourceFile::new(Path::new(&place), preset.toml(&base))));
    let below = syntax::parse(ctx, file);
    Cow::Owned(source(own, below))
}

/// `base` of a source: levels of a topic.
fn base(ctx: &mut Context<'_>, own: &[Entry]) -> Option<String> {
    let entry = own.iter().find(|entry| entry.name == "base")?;
    let base = text(ctx, &entry.value, "`base`")?;
    let fits = |c: char| !c.is_control() && !matches!(c, '"' | '\\' | '#' | '{' | '}' | '$');
    let value = &base.value;
    let levels = pattern::check(value).is_ok() && value.split('/').all(|level| !level.is_empty());
    if value.len() > BASE_BYTES_MAX || !value.chars().all(fits) || !levels {
        ctx.error(base.spot, "`base` is not the beginning of a topic")
            .label("expected one or more levels, as in \"home/zigbee\"");
        return None;
    }
    Some(base.value)
}

/// A source's own entries, then what its preset adds.
fn source(own: &[Entry], below: Vec<Entry>) -> Vec<Entry> {
    let mut merged: Vec<Entry> = own.to_vec();
    for entry in below {
        match merged.iter_mut().find(|known| known.name == entry.name) {
            None => merged.push(entry),
            Some(known) if known.name == "decode" => decode(known, entry),
            Some(_) => {}
        }
    }
    merged
}

/// Puts the keys of a source's `decode` table over those of each of the preset's.
fn decode(own: &mut Entry, below: Entry) {
    let Data::Table(entries) = &own.value.data else {
        return;
    };
    let entries = entries.clone();
    let mut branches = match below.value.data {
        Data::List(branches) => branches,
        data => vec![Node { spot: below.value.spot, data }],
    };
    if entries.iter().any(|entry| entry.name == "format") {
        // Another format is another `decode`: nothing of the preset's would fit.
        return;
    }
    let mut used = vec![false; entries.len()];
    let last = branches.len();
    for (number, branch) in branches.iter_mut().enumerate() {
        let Data::Table(keys) = &mut branch.data else { continue };
        let format = keys.iter().find_map(|entry| match (&*entry.name, &entry.value.data) {
            ("format", Data::Text(format)) => Some(format.clone()),
            _ => None,
        });
        let format = format.unwrap_or_default();
        for (entry, used) in entries.iter().zip(&mut used) {
            let takes = DECODE.key(&entry.name).is_some_and(|key| {
                format != "skip" && (key.only.is_empty() || key.only.contains(&format.as_str())) && fits(entry, &format)
            });
            // What no branch has a use for is left to the last one, to be told as the mistake it is.
            if takes || (!*used && number + 1 == last) {
                *used = true;
                set(keys, entry);
            }
        }
    }
    own.value = Node { spot: own.value.spot, data: Data::List(branches) };
}

/// Whether an entry makes sense for a format that declares its key: a number has one field.
fn fits(entry: &Entry, format: &str) -> bool {
    !(format == "number" && matches!(&*entry.name, "fields" | "device"))
}

fn set(keys: &mut Vec<Entry>, entry: &Entry) {
    let Some(known) = keys.iter_mut().find(|known| known.name == entry.name) else {
        keys.push(entry.clone());
        return;
    };
    match (&entry.value.data, &known.value.data) {
        (Data::Table(own), Data::Table(below)) if matches!(&*entry.name, "fields" | "units" | "unpack") => {
            let rest = below.iter().filter(|below| own.iter().all(|own| own.name != below.name)).cloned();
            let data = Data::Table(own.iter().cloned().chain(rest).collect());
            known.value = Node { spot: entry.value.spot, data };
        }
        _ => *known = entry.clone(),
    }
}
