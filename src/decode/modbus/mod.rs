//! Modbus: from registers to readings, and which registers to ask for. Pure.
//!
//! Owns the order of bytes and registers, the types, SunSpec's marks and powers of ten ([`number`]), the requests
//! ([`plan`]) and what of a line's bytes answers a request ([`frame`]). The rules of a quantity (scale, sentinels,
//! range, map) are those of every other format. Whatever a unit answers, nothing here panics.

pub mod frame;
mod number;
pub mod plan;
#[cfg(test)]
mod tests;

use self::number::Found;
use super::Decoded;
use super::value::{Converted, Rule};
use crate::clock::WallTime;
use crate::config::model::{ModbusUnit, Register, Table};
use crate::counters::Reject;
use crate::reading::{Reading, SensorId, TimeSource};

/// What a unit's registers held at one poll. Reused: the caller clears it.
#[derive(Debug, Default)]
pub struct Image {
    blocks: Vec<(Table, u16, Vec<u16>)>,
}

impl Image {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.blocks.clear();
    }

    /// Registers from an address on; coils and discrete inputs are 0 or 1.
    pub fn put(&mut self, table: Table, first: u16, values: Vec<u16>) {
        self.blocks.push((table, first, values));
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// So many registers in a row, if one request has brought them all: then they belong together.
    fn get(&self, table: Table, first: u16, count: u16) -> Option<&[u16]> {
        self.blocks.iter().find_map(|(of, start, values)| {
            let from = usize::from(first.checked_sub(*start)?);
            (*of == table).then(|| values.get(from..from + usize::from(count))).flatten()
        })
    }
}

#[derive(Debug)]
struct Entry {
    register: Register,
    rule: Rule,
    sensor: SensorId,
}

/// Turns what one unit's registers held into readings.
#[derive(Debug)]
pub struct UnitDecoder {
    entries: Vec<Entry>,
}

impl UnitDecoder {
    /// For a unit of a source; sensors are named `source/unit/quantity`.
    pub fn new(source: &str, unit: &ModbusUnit) -> Self {
        let entry = |register: &Register| Entry {
            register: register.clone(),
            rule: Rule::new(&register.field),
            sensor: SensorId::new(format!("{source}/{}/{}", unit.name, register.field.quantity)),
        };
        Self { entries: unit.registers.iter().map(entry).collect() }
    }

    /// Adds the readings of one poll to `out`. A quantity whose registers were not read yields nothing.
    pub fn decode(&self, image: &Image, arrival: WallTime, out: &mut Decoded) {
        for entry in &self.entries {
            let register = &entry.register;
            let Some(words) = image.get(register.table, register.address, register.kind.registers()) else { continue };
            let raw = match number::raw(register, words, image) {
                Found::Raw(raw) => raw,
                Found::Unread => continue,
                Found::NotImplemented => {
                    out.ignored += 1;
                    continue;
                }
                Found::Refused(what) => {
                    out.rejects.push((Reject::NotANumber, format!("{}: {what}", entry.sensor)));
                    continue;
                }
            };
            match entry.rule.convert(&raw, false) {
                Converted::Value(value, _) => out.readings.push(Reading {
                    sensor: entry.sensor.clone(),
                    value,
                    unit: entry.rule.unit.clone(),
                    time: arrival,
                    time_source: TimeSource::Arrival,
                    fresh: true,
                    attributes: None,
                }),
                Converted::Nothing => {}
                Converted::Ignored => out.ignored += 1,
                Converted::Refused(reject, what) => out.rejects.push((reject, format!("{}: {what}", entry.sensor))),
            }
        }
    }
}
