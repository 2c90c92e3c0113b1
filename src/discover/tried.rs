//! Letting a proposed source read what it was made from.
//!
//! Owns the trial: the text is loaded as the gateway would load it, and its decoder is given the messages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::Heard;
use crate::clock::WallTime;
use crate::config;
use crate::config::model::{Source, SourceKind};
use crate::decode::{Decoded, Decoder, Message};

/// Sensors of a source named in the proposal.
const SENSORS_TOLD_MAX: usize = 8;

/// Sensors remembered; a proposal tells how many there are up to here.
const SENSORS_MAX: usize = 1_000;

/// What came of a trial.
pub(super) struct Tried {
    /// Messages that gave readings.
    pub understood: usize,
    /// For each message, whether it is this source's: it gave readings, or is passed over on purpose.
    pub taken: Vec<bool>,
    /// Sensors, each with what it said last.
    sensors: BTreeMap<String, String>,
}

impl Tried {
    /// Some of the sensors, as comments.
    pub(super) fn sensors(&self) -> String {
        let mut text = String::new();
        for (sensor, value) in self.sensors.iter().take(SENSORS_TOLD_MAX) {
            let _ = writeln!(text, "#   {} = {}", sensor.escape_debug(), value.escape_debug());
        }
        match self.sensors.len().saturating_sub(SENSORS_TOLD_MAX) {
            0 => {}
            more => {
                let _ = writeln!(text, "#   and {more} more sensors");
            }
        }
        text
    }
}

/// A source from its text.
pub(super) fn load(text: &str) -> Result<Source, String> {
    let loaded = config::load_text(Path::new("proposal"), text, &|_| None)
        .map_err(|report| format!("a source for them would be refused: {}", report.to_string().replace('\n', " ")))?;
    loaded.config.sources.into_iter().next().ok_or_else(|| "no source".to_owned())
}

/// The topics of a source; none for a port.
pub(super) fn topics(source: &Source) -> &[String] {
    match &source.kind {
        SourceKind::Mqtt(mqtt) => &mqtt.topics,
        SourceKind::Serial(_) | SourceKind::Modbus(_) => &[],
    }
}

/// Lets it read; an error where it understands nothing.
pub(super) fn read<'h>(source: &Source, messages: impl IntoIterator<Item = &'h Heard>) -> Result<Tried, String> {
    let mut decoder = Decoder::new(source)?;
    let mut decoded = Decoded::default();
    let mut tried = Tried { understood: 0, taken: Vec::new(), sensors: BTreeMap::new() };
    for heard in messages {
        decoded.clear();
        let (topic, payload) = (heard.topic.as_deref(), heard.payload.as_slice());
        decoder.decode(&Message { topic, payload, retained: false, arrival: WallTime(0) }, &mut decoded);
        tried.understood += usize::from(!decoded.readings.is_empty());
        tried.taken.push(!decoded.readings.is_empty() || decoded.rejects.is_empty() && decoded.ignored > 0);
        for reading in &decoded.readings {
            let sensor = reading.sensor.as_str();
            if tried.sensors.len() >= SENSORS_MAX && !tried.sensors.contains_key(sensor) {
                continue;
            }
            let unit = reading.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
            tried.sensors.insert(sensor.to_owned(), format!("{}{unit}", reading.value));
        }
    }
    if tried.understood == 0 { Err("none of them would be understood".to_owned()) } else { Ok(tried) }
}
