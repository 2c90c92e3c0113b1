//! `format = "sparkplug-b"`: Sparkplug 3.0 payloads, named by `spBv1.0/group/TYPE/node[/device]`.
//!
//! Owns what births declared: the names, types and units of metrics by their aliases, for each node and device, bounded.
//! Sensors are `group/node[/device]/metric`. Data by an alias that no birth declared is refused and counted, as is a gap
//! in the sequence numbers; a death forgets what was declared. With `online` birth and death are readings, too.
//! `bdSeq` and `Node Control/*` are no sensors. Says whose birth is to be asked for (`rebirth`); asking is the source's.

mod protobuf;
pub(super) mod rebirth;
mod sequence;

use crate::reading::Unit;
use std::collections::HashMap;
use std::sync::Arc;

use self::protobuf::{Metric, Payload, Scalar};
use self::rebirth::Birth;
use self::sequence::{Sequence, Step};
use super::BinaryFormat;
use super::item::Item;
use super::name::Refusal;
use super::sink::Sink;
use super::time::Stamp;
use super::value::{Raw, quote};
use crate::counters::Reject;

/// Most nodes and devices remembered.
const NODES_MAX: usize = 4_096;

/// Most metrics remembered in all. At about 120 bytes each this is 2.4 MB.
const METRICS_MAX: usize = 20_000;

/// What a birth declares of a metric.
#[derive(Debug)]
struct Declared {
    name: Arc<str>,
    datatype: u32,
    unit: Option<Unit>,
}

/// A node or device that is alive.
#[derive(Debug, Default)]
struct Born {
    by_alias: HashMap<u64, Declared>,
    by_name: HashMap<Arc<str>, (u32, Option<Unit>)>,
}

impl Born {
    fn len(&self) -> usize {
        self.by_alias.len() + self.by_name.len()
    }
}

/// What births declared.
#[derive(Debug)]
pub(super) struct Sparkplug {
    online: bool,
    /// Births that are missing are told of.
    rebirth: bool,
    /// By `group/node[/device]`.
    born: HashMap<Box<str>, Born>,
    /// The sequence numbers of a node.
    sequences: HashMap<Box<str>, Sequence>,
    metrics: usize,
}

impl Sparkplug {
    pub(super) fn new(online: bool, rebirth: bool) -> Self {
        Self { online, rebirth, born: HashMap::new(), sequences: HashMap::new(), metrics: 0 }
    }

    /// Forgets a node or device; a node with all its devices.
    fn forget(&mut self, place: &str) {
        let below = format!("{place}/");
        let metrics = &mut self.metrics;
        self.born.retain(|known, born| {
            let stays = **known != *place && !known.starts_with(&below);
            if !stays {
                *metrics -= born.len();
            }
            stays
        });
    }

    fn birth(&mut self, place: &str, payload: &Payload<'_>, sink: &mut Sink<'_>) {
        self.forget(place);
        let mut born = Born::default();
        for metric in &payload.metrics {
            let Some(name) = metric.name else { continue };
            if self.born.len() >= NODES_MAX || self.metrics + born.len() + 1 >= METRICS_MAX {
                let what = format!("more than {METRICS_MAX} metrics or {NODES_MAX} nodes declared");
                sink.refuse(Reject::TooManySensors, what);
                break;
            }
            let name: Arc<str> = name.into();
            let unit: Option<Unit> = metric.unit.filter(|unit| !unit.is_empty() && unit.len() <= 32).map(Into::into);
            if let Some(alias) = metric.alias {
                let declared = Declared { name: Arc::clone(&name), datatype: metric.datatype, unit: unit.clone() };
                born.by_alias.insert(alias, declared);
            }
            born.by_name.insert(name, (metric.datatype, unit));
        }
        self.metrics += born.len();
        self.born.insert(place.into(), born);
    }

    /// Counts a gap in a node's sequence.
    fn sequence(&mut self, node: &str, kind: &str, payload: &Payload<'_>, sink: &mut Sink<'_>) {
        let Some(seq) = payload.seq.map(|seq| seq as u8) else { return };
        let has_room = self.sequences.len() < NODES_MAX;
        let Some(known) = self.sequences.get_mut(node) else {
            if has_room {
                self.sequences.insert(node.into(), Sequence::after(seq));
            }
            return;
        };
        if kind == "NBIRTH" {
            *known = Sequence::after(seq);
            return;
        }
        match known.next(seq) {
            Step::InOrder => {}
            Step::Late { complete } => {
                if complete && self.rebirth {
                    sink.out.births.push(Birth::Settled(node.into()));
                }
            }
            Step::Gap { due } => {
                let what = format!("{}: sequence {seq} where {due} was due: messages were lost", quote(node));
                sink.refuse(Reject::MissingField, what);
                if self.rebirth {
                    sink.out.births.push(Birth::Missing(node.into()));
                }
            }
        }
    }

    fn data(&self, node: &str, place: &str, payload: &Payload<'_>, sink: &mut Sink<'_>) {
        let mut is_missing = false;
        let born = self.born.get(place);
        for metric in &payload.metrics {
            let by_alias = || born?.by_alias.get(&metric.alias?);
            let (name, datatype, unit) = match metric.name {
                Some(name) => {
                    let known = born.and_then(|born| born.by_name.get(name));
                    let datatype =
                        if metric.datatype == 0 { known.map_or(0, |known| known.0) } else { metric.datatype };
                    let unit = metric.unit.map(Unit::from).or_else(|| known.and_then(|known| known.1.clone()));
                    (name, datatype, unit)
                }
                None => match by_alias() {
                    Some(declared) => {
                        let datatype = if metric.datatype == 0 { declared.datatype } else { metric.datatype };
                        (&*declared.name, datatype, declared.unit.clone())
                    }
                    None => {
                        let alias = metric.alias.unwrap_or_default();
                        let what = format!("{}: alias {alias} was declared by no birth seen so far", quote(place));
                        sink.refuse(Reject::MissingField, what);
                        is_missing = true;
                        continue;
                    }
                },
            };
            if name == "bdSeq" || name.starts_with("Node Control/") || name.starts_with("Device Control/") {
                continue;
            }
            reading(place, name, datatype, unit, metric, payload, sink);
        }
        // A device's birth comes with its node's.
        if is_missing && self.rebirth {
            sink.out.births.push(Birth::Missing(node.into()));
        }
    }
}

fn reading(
    place: &str,
    name: &str,
    datatype: u32,
    unit: Option<Unit>,
    metric: &Metric<'_>,
    payload: &Payload<'_>,
    sink: &mut Sink<'_>,
) {
    let raw = match &metric.value {
        _ if metric.is_null => return,
        Some(value) => raw(value, datatype),
        None => return,
    };
    let millis = metric.timestamp.or(payload.timestamp);
    let stamp = millis.map(|millis| {
        i64::try_from(millis).ok().and_then(|millis| millis.checked_mul(1_000_000)).map_or(Stamp::Unreadable, Stamp::At)
    });
    match raw {
        Some(raw) => sink.item(Item {
            device: Some(place),
            unit,
            stamp,
            historical: metric.is_historical,
            ..Item::new(name, raw)
        }),
        None => {
            let what = format!("{}: a data set, template or bytes (datatype {datatype})", quote(name));
            sink.refuse(Reject::NotANumber, what);
        }
    }
}

/// A value by its declared type: negative numbers travel as their two's complement.
fn raw<'a>(value: &Scalar<'a>, datatype: u32) -> Option<Raw<'a>> {
    Some(match (*value, datatype) {
        (Scalar::Int(bits), 1) => Raw::Integer(i64::from(bits as u8 as i8)),
        (Scalar::Int(bits), 2) => Raw::Integer(i64::from(bits as u16 as i16)),
        (Scalar::Int(bits), 3) => Raw::Integer(i64::from(bits as i32)),
        (Scalar::Int(bits), _) => Raw::Integer(i64::from(bits)),
        (Scalar::Long(bits), 1) => Raw::Integer(i64::from(bits as u8 as i8)),
        (Scalar::Long(bits), 2) => Raw::Integer(i64::from(bits as u16 as i16)),
        (Scalar::Long(bits), 3) => Raw::Integer(i64::from(bits as i32)),
        (Scalar::Long(bits), 4) => Raw::Integer(bits as i64),
        (Scalar::Long(bits), _) => i64::try_from(bits).map_or(Raw::Unsigned(bits), Raw::Integer),
        (Scalar::Float(number), _) => Raw::Number(short(number)),
        (Scalar::Double(number), _) => Raw::Number(number),
        (Scalar::Bool(state), _) => Raw::Bool(state),
        (Scalar::Text(text), _) => Raw::Text(text),
        (Scalar::Other, _) => return None,
    })
}

/// The shortest decimal number that is this `f32`: 21.7 and not 21.700000762939453.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

impl BinaryFormat for Sparkplug {
    fn read(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let topic = sink.message.topic.unwrap_or_default();
        let levels: Vec<&str> = topic.split('/').collect();
        let (group, kind, node, device) = match levels[..] {
            ["spBv1.0", group, kind, node] => (group, kind, node, None),
            ["spBv1.0", group, kind, node, device] => (group, kind, node, Some(device)),
            // The state of a host application: text or JSON, no reading.
            ["spBv1.0", "STATE", ..] | ["STATE", ..] => {
                sink.out.ignored += 1;
                return Ok(());
            }
            _ => {
                let what = format!("topic {} is not spBv1.0/group/TYPE/node[/device]", quote(topic));
                return Err((Reject::BadName, what));
            }
        };
        let node = format!("{group}/{node}");
        let place = device.map_or_else(|| node.clone(), |device| format!("{node}/{device}"));
        if !matches!(kind, "NBIRTH" | "DBIRTH" | "NDATA" | "DDATA" | "NDEATH" | "DDEATH") {
            // Commands are for others.
            sink.out.ignored += 1;
            return Ok(());
        }
        let payload = protobuf::read(payload).map_err(|why| (Reject::Malformed, why))?;
        if kind != "NDEATH" {
            self.sequence(&node, kind, &payload, sink);
        }
        let mut online = None;
        match kind {
            "NBIRTH" | "DBIRTH" => {
                self.birth(&place, &payload, sink);
                online = Some(true);
            }
            "NDEATH" | "DDEATH" => {
                self.forget(&place);
                if kind == "NDEATH" {
                    self.sequences.remove(&*node);
                }
                online = Some(false);
            }
            _ => {}
        }
        if online != Some(false) {
            self.data(&node, &place, &payload, sink);
        }
        // One that is gone cannot answer, and will begin with its birth.
        if self.rebirth && matches!(kind, "NBIRTH" | "NDEATH") {
            sink.out.births.push(Birth::Settled((*node).into()));
        }
        match online {
            Some(state) if self.online => {
                sink.item(Item { device: Some(&place), ..Item::new("online", Raw::Bool(state)) });
            }
            Some(false) => sink.out.ignored += 1,
            _ => {}
        }
        Ok(())
    }
}
