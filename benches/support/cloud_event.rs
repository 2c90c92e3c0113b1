//! An alarm event as a plain struct: what serde_json is measured with.

use serde::{Deserialize, Serialize};

/// An alarm event as a consumer who knows its fields would declare it.
#[derive(Serialize, Deserialize)]
pub struct CloudEvent {
    specversion: String,
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: String,
    datacontenttype: String,
    dataschema: String,
    sequence: String,
    partitionkey: String,
    correlationid: String,
    severity: String,
    clock: String,
    backlog: bool,
    data: AlarmData,
}

#[derive(Serialize, Deserialize)]
struct AlarmData {
    alarm: String,
    description: String,
    condition: String,
    change: String,
    value: f64,
    unit: String,
    limit: f64,
    deadband: f64,
    on_delay_ms: u64,
    off_delay_ms: u64,
    state: State,
    episode: Episode,
    reading: ReadingTime,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<Sample>,
    attributes: Attributes,
}

#[derive(Serialize, Deserialize)]
struct State {
    before: String,
    after: String,
}

#[derive(Serialize, Deserialize)]
struct Episode {
    start: String,
    peak: f64,
    duration_ms: u64,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct ReadingTime {
    time: String,
    time_source: String,
}

#[derive(Serialize, Deserialize)]
struct Sample {
    time: String,
    value: f64,
}

#[derive(Serialize, Deserialize)]
struct Attributes {
    seq: u64,
    ts: u64,
}
