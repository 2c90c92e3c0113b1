//! `[[source]]` with `type = "modbus"`: its line and its units.

mod register;

use std::path::PathBuf;
use std::time::Duration;

use super::keys::UNIT;
use super::model::{ModbusLine, ModbusSource, ModbusUnit, Parity};
use super::section::Section;
use super::text::{unreadable, wrong_type};
use super::tree::{Context, Data, Entry, Spot};
use super::url::{self, ModbusUrl};
use crate::reading::SENSOR_BYTES_MAX;

/// Units of a line; there are no more addresses.
const UNITS_MAX: usize = 247;

const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(86_400);

const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Reads a Modbus source; `port` and the settings of the line have been read as those of any port.
pub fn source(
    ctx: &mut Context<'_>,
    section: &Section<'_>,
    name: &str,
    port: Option<PathBuf>,
    (baud, parity, stop_bits): (u32, Parity, u8),
) -> Option<ModbusSource> {
    let line = match (section.has("port"), section.has("url")) {
        (true, true) => {
            let other = ctx.place(section.spot("port"));
            ctx.error(section.spot("url"), "`port` and `url` both say how the units are reached")
                .note(other, "here, too")
                .help("remove one of them: `port` is a serial line (RTU), `url` is over the network");
            None
        }
        (true, false) => port.map(|port| ModbusLine::Serial { port, baud, parity, stop_bits }),
        (false, true) => tcp(ctx, section, baud),
        (false, false) => {
            if section.lacks(ctx, "port") && section.lacks(ctx, "url") {
                ctx.error(section.head, "a Modbus source needs `port` or `url`").label(
                    "give `port = \"/dev/serial/by-id/..\"` (RTU) or `url = \"modbus-tcp://192.168.1.20\"` (TCP)",
                );
            }
            None
        }
    };
    let poll_interval = section.duration(ctx, "poll_interval", POLL_MIN..=POLL_MAX).unwrap_or(Duration::from_secs(5));
    let timeout = section.duration(ctx, "timeout", TIMEOUT_MIN..=TIMEOUT_MAX).unwrap_or(Duration::from_secs(1));
    let retries = section.integer(ctx, "retries", 0..=10).unwrap_or(1);
    let serial = matches!(line, Some(ModbusLine::Serial { .. } | ModbusLine::RtuOverTcp { .. })) || section.has("port");
    let units = units(ctx, section, &Source { name, poll_interval, timeout, serial });
    Some(ModbusSource { line: line?, retries, units: units? })
}

/// What its units go by.
struct Source<'s> {
    name: &'s str,
    poll_interval: Duration,
    timeout: Duration,
    serial: bool,
}

fn tcp(ctx: &mut Context<'_>, section: &Section<'_>, baud: u32) -> Option<ModbusLine> {
    let text = section.text(ctx, "url")?;
    let url = match url::modbus(&text.value) {
        Ok(url) => Some(url),
        Err(why) => {
            unreadable(ctx, &text, "url").label(why);
            None
        }
    };
    // Of the line behind a device server only the speed matters here; the rest is set there.
    let without: &[&'static str] = match &url {
        Some(url) if url.is_rtu => &["parity", "stop_bits"],
        _ => &["baud", "parity", "stop_bits"],
    };
    for name in without {
        if let Some(entry) = section.entry(name) {
            ctx.error(entry.key, format!("`{name}` has no meaning with `url`")).label("only with `port`");
        }
    }
    let ModbusUrl { host, port, is_rtu } = url?;
    Some(match is_rtu {
        true => ModbusLine::RtuOverTcp { host, port, baud },
        false => ModbusLine::Tcp { host, port },
    })
}

fn units(ctx: &mut Context<'_>, section: &Section<'_>, source: &Source<'_>) -> Option<Vec<ModbusUnit>> {
    let entry = section.entry("unit")?;
    let Data::List(items) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`unit`", "tables that start with [[source.unit]]")
            .help("a unit is a table in double brackets below its [[source]]");
        return None;
    };
    if items.is_empty() || items.len() > UNITS_MAX {
        ctx.error(entry.value.spot, format!("{} units", items.len())).label(format!("expected 1 to {UNITS_MAX}"));
        return None;
    }
    let mut units: Vec<(ModbusUnit, Spot, Spot)> = Vec::new();
    let mut whole = true;
    for item in items {
        let Data::Table(entries) = &item.data else {
            wrong_type(ctx, item, "an entry of `unit`", "a table that starts with [[source.unit]]");
            whole = false;
            continue;
        };
        let Some(read) = unit(ctx, item.spot, entries, source) else {
            whole = false;
            continue;
        };
        for (same, spot, first, what) in units.iter().flat_map(|(unit, id, name)| {
            [
                (unit.id == read.0.id, read.1, *id, format!("two units have the address {}", read.0.id)),
                (unit.name == read.0.name, read.2, *name, format!("two units are named `{}`", read.0.name)),
            ]
        }) {
            if same {
                let first = ctx.place(first);
                ctx.error(spot, what).label("the second").note(first, "the first");
            }
        }
        units.push(read);
    }
    whole.then(|| units.into_iter().map(|(unit, ..)| unit).collect())
}

/// A unit, and where its address and name stand.
fn unit(ctx: &mut Context<'_>, head: Spot, entries: &[Entry], source: &Source<'_>) -> Option<(ModbusUnit, Spot, Spot)> {
    let section = Section::new(ctx, &UNIT, head, &[entries]);
    for name in ["id", "name", "registers"] {
        section.require(ctx, name);
    }
    let id: Option<u8> = section.integer(ctx, "id", 0..=255);
    if let Some(id) = id
        && source.serial
        && !(1..=247).contains(&id)
    {
        ctx.error(section.spot("id"), format!("no unit on a serial line has the address {id}"))
            .label("expected 1 to 247");
    }
    let name = section.name(ctx, "name");
    let poll_interval = section.duration(ctx, "poll_interval", POLL_MIN..=POLL_MAX).unwrap_or(source.poll_interval);
    let timeout = section.duration(ctx, "timeout", TIMEOUT_MIN..=TIMEOUT_MAX).unwrap_or(source.timeout);
    let max_registers = section.integer(ctx, "max_registers", 1..=125).unwrap_or(125);
    let max_gap = section.integer(ctx, "max_gap", 0..=120).unwrap_or(8);
    let registers = register::all(ctx, &section)?;
    let name = name?;
    let longest = registers.iter().map(|register| register.field.quantity.len()).max().unwrap_or(0);
    if source.name.len() + name.value.len() + longest + 2 > SENSOR_BYTES_MAX {
        ctx.error(name.spot, format!("a sensor's name would be longer than {SENSOR_BYTES_MAX} bytes"))
            .help("it is made of the source's name, the unit's name and the quantity: make one of them shorter");
        return None;
    }
    let spots = (section.spot("id"), name.spot);
    let unit =
        ModbusUnit { id: id?, name: name.value.into(), poll_interval, timeout, max_registers, max_gap, registers };
    Some((unit, spots.0, spots.1))
}
