//! The recorder's files: blocks of readings, each readable by itself.
//!
//! Owns the layout. Never touches a disk.
//!
//! ```text
//! file  := MAGIC frame*
//! frame := length:u32le crc32c:u32le zstd(block)      the checksum is that of the compressed bytes
//! block := record*
//! record:= flags:u8 (sensor:varint | name:text unit:varint+1 bytes) arrival:zigzag time:zigzag value
//!          flags: bits 0-1 kind of value (bool, integer, number, text), bits 2-3 time source (payload, arrival,
//!          doubtful), bit 4 fresh, bit 5 the bool, bit 6 a new sensor (numbered from 0 in a block)
//!          arrival is relative to the record before, time to arrival; both nanoseconds
//!          integer: zigzag; number: f64le; text: varint length, bytes
//! ```

use std::collections::HashMap;
use std::io::{self, Read};

use crate::clock::WallTime;
use crate::reading::{Reading, Recorded, SENSOR_BYTES_MAX, SensorId, TEXT_BYTES_MAX, TimeSource, Unit, Value};

/// A file begins with it; the 1 is the layout's version.
pub const MAGIC: &[u8] = b"TGREC\x001\n";

/// A block is full when it has this many bytes: about 4,000 readings, compressed to a fifth or so.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Longest compressed block believed: the last record may go over [`BLOCK_BYTES`], and what does not compress grows.
const FRAME_BYTES_MAX: usize = 2 * BLOCK_BYTES;

/// How hard blocks are compressed: the fastest; more saves little on numbers and costs a small machine much.
const LEVEL: i32 = 1;

/// Longest unit believed, bytes.
const UNIT_BYTES_MAX: usize = 64;

/// Collects a block.
#[derive(Debug, Default)]
pub struct Encoder {
    raw: Vec<u8>,
    sensors: HashMap<SensorId, (u64, Option<Unit>)>,
    known: u64,
    arrival: i64,
    /// Readings in it.
    pub readings: u64,
}

impl Encoder {
    /// Adds a reading. Attributes are left out.
    pub fn push(&mut self, arrival: WallTime, reading: &Reading) {
        let (kind, state) = match &reading.value {
            Value::Bool(state) => (0, *state),
            Value::Integer(_) => (1, false),
            Value::Number(_) => (2, false),
            Value::Text(_) => (3, false),
        };
        let source: u8 = match reading.time_source {
            TimeSource::Payload => 0,
            TimeSource::Arrival => 1,
            TimeSource::Doubtful => 2,
        };
        let known = self.sensors.get(&reading.sensor).filter(|(_, unit)| *unit == reading.unit).map(|known| known.0);
        let new = u8::from(known.is_none());
        self.raw.push(kind | source << 2 | u8::from(reading.fresh) << 4 | u8::from(state) << 5 | new << 6);
        match known {
            Some(index) => varint(&mut self.raw, index),
            None => {
                self.sensors.insert(reading.sensor.clone(), (self.known, reading.unit.clone()));
                self.known += 1;
                text(&mut self.raw, reading.sensor.as_str());
                match &reading.unit {
                    Some(unit) => {
                        varint(&mut self.raw, unit.len() as u64 + 1);
                        self.raw.extend_from_slice(unit.as_bytes());
                    }
                    None => varint(&mut self.raw, 0),
                }
            }
        }
        varint(&mut self.raw, zigzag(arrival.0.wrapping_sub(self.arrival)));
        varint(&mut self.raw, zigzag(reading.time.0.wrapping_sub(arrival.0)));
        self.arrival = arrival.0;
        match &reading.value {
            Value::Bool(_) => {}
            Value::Integer(whole) => varint(&mut self.raw, zigzag(*whole)),
            Value::Number(number) => self.raw.extend_from_slice(&number.to_le_bytes()),
            Value::Text(value) => text(&mut self.raw, value),
        }
        self.readings += 1;
    }

    /// Whether it is time to write it.
    pub fn is_full(&self) -> bool {
        self.raw.len() >= BLOCK_BYTES
    }

    /// The frame, and an empty block again.
    ///
    /// # Errors
    /// When it cannot be compressed, which takes memory only.
    pub fn finish(&mut self) -> io::Result<Vec<u8>> {
        let packed = zstd::bulk::compress(&self.raw, LEVEL);
        self.raw.clear();
        self.sensors.clear();
        (self.known, self.arrival, self.readings) = (0, 0, 0);
        let packed = packed?;
        let mut frame = Vec::with_capacity(packed.len() + 8);
        frame.extend_from_slice(&u32::try_from(packed.len()).map_err(io::Error::other)?.to_le_bytes());
        frame.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
        frame.extend_from_slice(&packed);
        Ok(frame)
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)) as u64
}

fn text(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// What a file goes on with.
#[derive(Debug)]
pub enum Next {
    /// A block, decompressed.
    Block(Vec<u8>),
    /// One that is not what was written; what follows may be good.
    Damaged(&'static str),
    /// The file ends in the middle of one.
    Torn,
    /// The file ends.
    End,
}

/// Reads the frames of a file behind its [`MAGIC`].
#[derive(Debug)]
pub struct Reader<R> {
    file: R,
}

impl<R: Read> Reader<R> {
    /// A reader.
    pub fn new(file: R) -> Self {
        Self { file }
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the file cannot be read.
    #[allow(clippy::should_implement_trait, reason = "an iterator's next cannot fail and go on")]
    pub fn next(&mut self) -> io::Result<Next> {
        let mut head = [0; 8];
        match fill(&mut self.file, &mut head)? {
            0 => return Ok(Next::End),
            8 => {}
            _ => return Ok(Next::Torn),
        }
        let [a, b, c, d, checksum @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > FRAME_BYTES_MAX {
            // Nobody knows where the next one begins.
            return Ok(Next::Torn);
        }
        let mut packed = vec![0; length];
        if fill(&mut self.file, &mut packed)? < length {
            return Ok(Next::Torn);
        }
        if crc32c::crc32c(&packed) != u32::from_le_bytes(checksum) {
            return Ok(Next::Damaged("a block whose checksum is wrong"));
        }
        match zstd::bulk::decompress(&packed, FRAME_BYTES_MAX) {
            Ok(raw) => Ok(Next::Block(raw)),
            Err(_) => Ok(Next::Damaged("a block that cannot be decompressed")),
        }
    }
}

fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A block that follows no layout of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Adds the readings of a block, up to where it cannot be understood.
///
/// # Errors
/// When it cannot be understood to its end.
pub fn decode(raw: &[u8], readings: &mut Vec<Recorded>) -> Result<(), Unreadable> {
    let mut rest = Rest(raw);
    let mut sensors: Vec<(SensorId, Option<Unit>)> = Vec::new();
    let mut arrival = 0_i64;
    while !rest.0.is_empty() {
        let flags = rest.bytes(1)?[0];
        let (sensor, unit) = if flags & 1 << 6 != 0 {
            let sensor = SensorId::new(rest.text(SENSOR_BYTES_MAX)?);
            let unit = match rest.varint()? {
                0 => None,
                length => Some(Unit::from(rest.string(length - 1, UNIT_BYTES_MAX)?)),
            };
            sensors.push((sensor.clone(), unit.clone()));
            (sensor, unit)
        } else {
            let index = usize::try_from(rest.varint()?).map_err(|_| Unreadable)?;
            sensors.get(index).cloned().ok_or(Unreadable)?
        };
        arrival = arrival.wrapping_add(rest.signed()?);
        let time = arrival.wrapping_add(rest.signed()?);
        let value = match flags & 3 {
            0 => Value::Bool(flags & 1 << 5 != 0),
            1 => Value::Integer(rest.signed()?),
            2 => {
                let number = f64::from_le_bytes(rest.bytes(8)?.try_into().map_err(|_| Unreadable)?);
                Value::Number(Some(number).filter(|number| number.is_finite()).ok_or(Unreadable)?)
            }
            _ => Value::Text(rest.text(TEXT_BYTES_MAX)?.into()),
        };
        let time_source = match flags >> 2 & 3 {
            0 => TimeSource::Payload,
            1 => TimeSource::Arrival,
            2 => TimeSource::Doubtful,
            _ => return Err(Unreadable),
        };
        let fresh = flags & 1 << 4 != 0;
        let reading = Reading { sensor, value, unit, time: WallTime(time), time_source, fresh, attributes: None };
        readings.push(Recorded { arrival: WallTime(arrival), reading });
    }
    Ok(())
}

/// What is left of a block.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unreadable)
    }

    fn signed(&mut self) -> Result<i64, Unreadable> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn text(&mut self, bytes_max: usize) -> Result<&'a str, Unreadable> {
        let length = self.varint()?;
        self.string(length, bytes_max)
    }

    fn string(&mut self, length: u64, bytes_max: usize) -> Result<&'a str, Unreadable> {
        let length = usize::try_from(length).ok().filter(|length| *length <= bytes_max).ok_or(Unreadable)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Unreadable)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn recorded() -> impl Strategy<Value = Recorded> {
        let value = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Integer),
            (-1e300..1e300_f64).prop_map(Value::Number),
            "[a-zé]{0,20}".prop_map(|text| Value::Text(text.into())),
        ];
        let source = prop_oneof![Just(TimeSource::Payload), Just(TimeSource::Arrival), Just(TimeSource::Doubtful)];
        let unit = prop_oneof![Just(None), Just(Some("°C")), Just(Some(""))];
        (0..5_u8, value, source, unit, any::<i64>(), any::<i64>(), any::<bool>()).prop_map(
            |(sensor, value, time_source, unit, time, arrival, fresh)| Recorded {
                arrival: WallTime(arrival),
                reading: Reading {
                    sensor: SensorId::new(format!("plant/{sensor}/t")),
                    value,
                    unit: unit.map(Unit::from),
                    time: WallTime(time),
                    time_source,
                    fresh,
                    attributes: None,
                },
            },
        )
    }

    fn frame(readings: &[Recorded]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        readings.iter().for_each(|recorded| encoder.push(recorded.arrival, &recorded.reading));
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> (Vec<Recorded>, &'static str) {
        let mut reader = Reader::new(bytes);
        let mut readings = Vec::new();
        loop {
            match reader.next().unwrap() {
                Next::Block(raw) => decode(&raw, &mut readings).unwrap(),
                Next::Damaged(what) => return (readings, what),
                Next::Torn => return (readings, "torn"),
                Next::End => return (readings, "end"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(first in prop::collection::vec(recorded(), 0..60),
                                   second in prop::collection::vec(recorded(), 0..9)) {
            let bytes = [frame(&first), frame(&second)].concat();
            prop_assert_eq!(read(&bytes), ([first, second].concat(), "end"));
        }

        #[test]
        fn a_torn_file_gives_its_whole_blocks_and_no_bytes_panic(
            first in prop::collection::vec(recorded(), 1..20), cut in 1..40_usize, noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let whole = frame(&first);
            let torn = [whole.clone(), whole[..whole.len().saturating_sub(cut).max(1)].to_vec()].concat();
            prop_assert_eq!(read(&torn), (first, "torn"));
            let _ = decode(&noise, &mut Vec::new());
        }
    }

    #[test]
    fn a_damaged_block_is_noticed() {
        let reading = Reading {
            sensor: SensorId::new("a"),
            value: Value::Number(1.0),
            unit: None,
            time: WallTime(5),
            time_source: TimeSource::Payload,
            fresh: true,
            attributes: None,
        };
        let mut bytes = frame(&[Recorded { arrival: WallTime(5), reading }]);
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(read(&bytes), (Vec::new(), "a block whose checksum is wrong"));
    }
}
