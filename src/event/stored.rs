//! Stored form.
#![allow(missing_docs)]
use super::*;
use ciborium::{from_reader, into_writer};
#[derive(Debug)]
pub struct Error(pub String);
impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Error {}
#[derive(Serialize, Deserialize)]
enum D {
    G(GatewayStarted),
    L(EventsLost),
    S(SourceChange),
    R(SourceChange),
}
#[derive(Serialize, Deserialize)]
struct M(u64, Uuid, Arc<str>, WallTime, BootTime, Uuid, ClockState, Severity, Option<Uuid>, D);
pub fn encode_events(events: &[Event]) -> Vec<u8> {
    let all: Vec<M> = events
        .iter()
        .map(|e| {
            let d = match &e.data {
                EventData::GatewayStarted(x) => D::G(x.clone()),
                EventData::EventsLost(x) => D::L(x.clone()),
                EventData::SourceLost(x) => D::S(x.clone()),
                EventData::SourceRestored(x) => D::R(x.clone()),
                EventData::Alarm(_) => D::S(SourceChange { source: "alarm".into(), reason: String::new(), away_ms: 0 }),
            };
            M(e.sequence, e.id, e.subject.clone(), e.time, e.boot, e.boot_id, e.clock, e.severity, e.correlation, d)
        })
        .collect();
    let mut out = vec![1];
    let _ = into_writer(&all, &mut out);
    out
}
pub fn decode_events(bytes: &[u8]) -> Result<Vec<Event>, Error> {
    let rest = bytes.get(1..).ok_or_else(|| Error("empty".into()))?;
    let all: Vec<M> = from_reader(rest).map_err(|e| Error(e.to_string()))?;
    Ok(all
        .into_iter()
        .map(|m| Event {
            sequence: m.0,
            id: m.1,
            subject: m.2,
            time: m.3,
            boot: m.4,
            boot_id: m.5,
            clock: m.6,
            severity: m.7,
            correlation: m.8,
            data: match m.9 {
                D::G(x) => EventData::GatewayStarted(x),
                D::L(x) => EventData::EventsLost(x),
                D::S(x) => EventData::SourceLost(x),
                D::R(x) => EventData::SourceRestored(x),
            },
        })
        .collect())
}
pub fn encode_records(records: &[AlarmRecord]) -> Vec<u8> {
    let mut out = vec![1];
    let _ = into_writer(records, &mut out);
    out
}
pub fn decode_records(bytes: &[u8]) -> Result<Vec<AlarmRecord>, Error> {
    let rest = bytes.get(1..).ok_or_else(|| Error("empty".into()))?;
    from_reader(rest).map_err(|e| Error(e.to_string()))
}
