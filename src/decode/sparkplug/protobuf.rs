//! The protobuf messages of a Sparkplug B payload, as far as readings need them.
//!
//! Owns the wire format (varint, 32 and 64 bits, length-delimited; groups are refused) and the field numbers of
//! `sparkplug_b.proto`. Nothing is copied: texts point into the payload. Bounded by the payload and [`METRICS_MAX`].

/// Most metrics of one payload.
const METRICS_MAX: usize = 10_000;

/// A payload.
#[derive(Debug, Default)]
pub(super) struct Payload<'a> {
    /// Milliseconds since the epoch.
    pub(super) timestamp: Option<u64>,
    pub(super) seq: Option<u64>,
    pub(super) metrics: Vec<Metric<'a>>,
}

/// A value on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Bool(bool),
    Text(&'a str),
    /// Bytes, data sets, templates.
    Other,
}

/// A metric.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) alias: Option<u64>,
    pub(super) timestamp: Option<u64>,
    /// 0: not said.
    pub(super) datatype: u32,
    pub(super) is_historical: bool,
    pub(super) is_null: bool,
    /// The property `engUnit`.
    pub(super) unit: Option<&'a str>,
    pub(super) value: Option<Scalar<'a>>,
}

/// A field's content.
#[derive(Clone, Copy, Debug)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Wire<'a> {
    fn text(self) -> Result<&'a str, String> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".to_owned()),
            _ => Err("a number where a text belongs".to_owned()),
        }
    }

    fn number(self) -> Result<u64, String> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err("no varint where one belongs".to_owned()),
        }
    }

    fn message(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err("a number where a message belongs".to_owned()),
        }
    }
}

/// Reads fields one by one.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for (place, byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                self.0 = &self.0[place + 1..];
                return Ok(number);
            }
        }
        Err("a number that does not end".to_owned())
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.0.len());
        let (taken, rest) = self.0.split_at(count.ok_or("ends inside a field")?);
        self.0 = rest;
        Ok(taken)
    }

    fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let little = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(little(self.take(8)?)),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(little(self.take(4)?) as u32),
            other => return Err(format!("wire type {other}, which no Sparkplug field has")),
        };
        Ok(Some((key >> 3, wire)))
    }
}

/// Reads a payload.
pub(super) fn read(bytes: &[u8]) -> Result<Payload<'_>, String> {
    let mut payload = Payload::default();
    let mut fields = Fields(bytes);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => payload.timestamp = Some(wire.number()?),
            2 if payload.metrics.len() >= METRICS_MAX => return Err(format!("more than {METRICS_MAX} metrics")),
            2 => payload.metrics.push(metric(wire.message()?)?),
            3 => payload.seq = Some(wire.number()?),
            _ => {}
        }
    }
    Ok(payload)
}

fn metric(bytes: &[u8]) -> Result<Metric<'_>, String> {
    let mut metric = Metric::default();
    let mut fields = Fields(bytes);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => metric.name = Some(wire.text()?).filter(|name| !name.is_empty()),
            2 => metric.alias = Some(wire.number()?),
            3 => metric.timestamp = Some(wire.number()?),
            4 => metric.datatype = wire.number()? as u32,
            5 => metric.is_historical = wire.number()? != 0,
            7 => metric.is_null = wire.number()? != 0,
            9 => metric.unit = unit(wire.message()?)?,
            10..=18 => metric.value = Some(scalar(number - 10, wire)?),
            _ => {}
        }
    }
    Ok(metric)
}

/// The value of a `oneof`, by its place in it; metrics and properties have the same order.
fn scalar(place: u64, wire: Wire<'_>) -> Result<Scalar<'_>, String> {
    Ok(match (place, wire) {
        (0, wire) => Scalar::Int(wire.number()? as u32),
        (1, wire) => Scalar::Long(wire.number()?),
        (2, Wire::Fixed32(bits)) => Scalar::Float(f32::from_bits(bits)),
        (3, Wire::Fixed64(bits)) => Scalar::Double(f64::from_bits(bits)),
        (2 | 3, _) => return Err("a number of the wrong width".to_owned()),
        (4, wire) => Scalar::Bool(wire.number()? != 0),
        (5, wire) => Scalar::Text(wire.text()?),
        _ => Scalar::Other,
    })
}

/// `engUnit` of a property set: keys and values are two lists of the same order.
fn unit(bytes: &[u8]) -> Result<Option<&str>, String> {
    let mut fields = Fields(bytes);
    let (mut keys, mut place, mut values, mut unit) = (0_usize, None, 0_usize, None);
    let mut early = Vec::new();
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => {
                let key = wire.text()?;
                if key.eq_ignore_ascii_case("engUnit") || key.eq_ignore_ascii_case("engUnits") {
                    place = Some(keys);
                }
                keys += 1;
            }
            2 => {
                if Some(values) == place {
                    unit = text_property(wire.message()?)?;
                } else if early.len() < 64 {
                    early.push((values, wire.message()?));
                }
                values += 1;
            }
            _ => {}
        }
    }
    // The values may stand before the keys.
    if unit.is_none()
        && let Some(place) = place
        && let Some((_, value)) = early.into_iter().find(|(at, _)| *at == place)
    {
        unit = text_property(value)?;
    }
    Ok(unit)
}

fn text_property(bytes: &[u8]) -> Result<Option<&str>, String> {
    let mut fields = Fields(bytes);
    let mut text = None;
    while let Some((number, wire)) = fields.next()? {
        if number == 8 {
            text = Some(wire.text()?);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_of_any_kind_are_a_payload_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn a_metric_is_read_with_its_unit() {
        // metric { name "t", alias 7, datatype 10, properties { key "engUnit", value { string "°C" } }, double 21.5 }
        let unit = [&[0x0a, 7][..], b"engUnit", &[0x12, 5, 0x42, 3], "°C".as_bytes()].concat();
        let mut metric = vec![0x0a, 1, b't', 0x10, 7, 0x20, 10, 0x4a, unit.len() as u8];
        metric.extend(&unit);
        metric.push(0x69);
        metric.extend(21.5_f64.to_le_bytes());
        let payload = [&[0x08, 1, 0x12, metric.len() as u8][..], &metric, &[0x18, 5]].concat();
        let payload = read(&payload).unwrap();
        assert_eq!((payload.timestamp, payload.seq), (Some(1), Some(5)));
        let metric = &payload.metrics[0];
        assert_eq!((metric.name, metric.alias, metric.unit), (Some("t"), Some(7), Some("°C")));
        assert_eq!(metric.value, Some(Scalar::Double(21.5)));
    }

    #[test]
    fn what_ends_too_early_is_an_error() {
        for bytes in [&[0x12, 5, 1][..], &[0x08], &[0x08, 0x80], &[0x0b], &[0x69, 1, 2]] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
