//! The CBOR form: one borrowed structure, written by ciborium.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{Marks, SCHEMA_PREFIX, SOURCE_PREFIX, padded, schema_name};
use crate::clock::{ClockState, WallTime};
use crate::config::model::Severity;
use crate::event::rfc3339;
use crate::event::{
    AlarmData, AlarmState, Change, ConditionKind, Episode, Event, EventData, EventsLost, GatewayStarted, Limit, Sample,
    SourceChange,
};
use crate::reading::{Attributes, TimeSource, Value};

/// Appends the event.
pub(super) fn write(event: &Event, gateway: &str, marks: Marks, out: &mut Vec<u8>) {
    let event_type = event.data.event_type();
    let envelope = Envelope {
        specversion: "1.0",
        id: Id(event.id),
        source: Joined(SOURCE_PREFIX, gateway),
        r#type: event_type,
        subject: &event.subject,
        time: Stamp(event.time),
        datacontenttype: "application/cbor",
        dataschema: Joined(SCHEMA_PREFIX, schema_name(event_type)),
        sequence: Padded(event.sequence),
        partitionkey: &event.subject,
        correlationid: event.correlation.map(Id),
        severity: event.severity,
        clock: event.clock,
        backlog: marks.backlog,
        replayed: marks.replayed,
        data: Data::from(&event.data),
    };
    ciborium::into_writer(&envelope, out).expect("a Vec takes every byte, and every key of an event is a text");
}

/// Appends the data alone.
pub(super) fn data(event: &Event, out: &mut Vec<u8>) {
    ciborium::into_writer(&Data::from(&event.data), out).expect("a Vec takes every byte, and every key is a text");
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: Id,
    source: Joined<'a>,
    r#type: &'static str,
    subject: &'a str,
    time: Stamp,
    datacontenttype: &'static str,
    dataschema: Joined<'a>,
    sequence: Padded,
    partitionkey: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<Id>,
    severity: Severity,
    clock: ClockState,
    backlog: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Alarm(AlarmBody<'a>),
    GatewayStarted(&'a GatewayStarted),
    EventsLost(&'a EventsLost),
    Source(&'a SourceChange),
}

impl<'a> From<&'a EventData> for Data<'a> {
    fn from(data: &'a EventData) -> Self {
        match data {
            EventData::Alarm(alarm) => Self::Alarm(AlarmBody::from(&**alarm)),
            EventData::GatewayStarted(started) => Self::GatewayStarted(started),
            EventData::EventsLost(lost) => Self::EventsLost(lost),
            EventData::SourceLost(change) | EventData::SourceRestored(change) => Self::Source(change),
        }
    }
}

#[derive(Serialize)]
struct AlarmBody<'a> {
    alarm: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    condition: ConditionKind,
    change: Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    limit: &'a Limit,
    deadband: f64,
    on_delay_ms: u64,
    off_delay_ms: u64,
    state: StateBody,
    episode: EpisodeBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<ReadingBody>,
    #[serde(skip_serializing_if = "Samples::is_empty")]
    context: Samples<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<AttributesBody<'a>>,
}

impl<'a> From<&'a AlarmData> for AlarmBody<'a> {
    fn from(alarm: &'a AlarmData) -> Self {
        Self {
            alarm: &alarm.alarm,
            description: alarm.description.as_deref(),
            condition: alarm.condition,
            change: alarm.change,
            value: alarm.value.as_ref(),
            measured: alarm.measured,
            unit: alarm.unit.as_deref(),
            limit: &alarm.limit,
            deadband: alarm.deadband,
            on_delay_ms: alarm.on_delay_ms,
            off_delay_ms: alarm.off_delay_ms,
            state: StateBody { before: alarm.before, after: alarm.after },
            episode: EpisodeBody::from(&alarm.episode),
            reading: alarm.value_time.map(|time| ReadingBody { time: Stamp(time), time_source: alarm.time_source }),
            context: Samples(&alarm.context),
            attributes: alarm.attributes.as_ref().map(AttributesBody),
        }
    }
}

#[derive(Serialize)]
struct StateBody {
    before: AlarmState,
    after: AlarmState,
}

#[derive(Serialize)]
struct EpisodeBody<'a> {
    start: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<&'a Value>,
    duration_ms: u64,
    count: u64,
}

impl<'a> From<&'a Episode> for EpisodeBody<'a> {
    fn from(episode: &'a Episode) -> Self {
        Self {
            start: Stamp(episode.start),
            peak: episode.peak.as_ref(),
            duration_ms: episode.duration_ms,
            count: episode.count,
        }
    }
}

#[derive(Serialize)]
struct ReadingBody {
    time: Stamp,
    time_source: TimeSource,
}

#[derive(Serialize)]
struct SampleBody<'a> {
    time: Stamp,
    value: &'a Value,
}

struct Samples<'a>(&'a [Sample]);

impl Samples<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(self.0.iter().map(|sample| SampleBody { time: Stamp(sample.time), value: &sample.value }))
    }
}

/// The carried fields as one object, in the order in which they were carried.
struct AttributesBody<'a>(&'a Attributes);

impl Serialize for AttributesBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0.iter() {
            map.serialize_entry(&**key, value)?;
        }
        map.end()
    }
}

/// A UUID as its hyphenated text, in both encodings.
struct Id(Uuid);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

/// A time as RFC 3339 text.
struct Stamp(WallTime);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(rfc3339::format(self.0, &mut [0; rfc3339::TEXT_BYTES_MAX]))
    }
}

/// A number as 20 digits, which any `u64` fits.
struct Padded(u64);

impl Serialize for Padded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(padded(self.0, &mut [0; 20]))
    }
}

/// Two texts as one.
struct Joined<'a>(&'static str, &'a str);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len() + self.1.len());
        text.push_str(self.0);
        text.push_str(self.1);
        serializer.serialize_str(&text)
    }
}
