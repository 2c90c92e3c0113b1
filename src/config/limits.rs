//! Alarms that can do nothing, or only the wrong thing, with the values their sensors can have.
//!
//! Owns what is known of those values from the configuration alone: `valid_range` of the fields, and how often a Modbus
//! unit is asked. Warns only where that is known of all that a pattern can match.

use super::alarm;
use super::model::{Alarm, Condition, Field, ModbusUnit, Source, SourceKind};
use super::pattern::{self, Shape};
use super::tree::Context;

/// Warns about alarms that can never be raised or never clear, and about silence that is no silence.
pub fn check(ctx: &mut Context<'_>, alarms: &[alarm::Read], sources: &[Source]) {
    let shapes: Vec<(&Source, Shape<'_>)> = sources.iter().map(|source| (source, Shape::of(source))).collect();
    let own = Shape::own();
    for read in alarms {
        let fault = match &read.alarm.condition {
            Condition::High(_) | Condition::Low(_) | Condition::Outside { .. } => {
                unreachable(&read.alarm, &shapes, &own)
            }
            Condition::Stale { .. } => impatient(&read.alarm, sources),
            _ => None,
        };
        if let Some((what, help)) = fault {
            ctx.warning(read.name, what).help(help);
        }
    }
}

type Fault = (String, String);

fn unreachable(alarm: &Alarm, shapes: &[(&Source, Shape<'_>)], own: &Shape<'_>) -> Option<Fault> {
    let mut ranges: Vec<(f64, f64)> = Vec::new();
    for pattern in &alarm.sensors {
        let levels: Vec<&str> = pattern.split('/').collect();
        if own.can_match(&levels) {
            return None;
        }
        for (source, _) in shapes.iter().filter(|(_, shape)| shape.can_match(&levels)) {
            ranges.extend(ranges_of(source, levels.last().copied().unwrap_or_default())?);
        }
    }
    let low = ranges.iter().map(|(low, _)| *low).reduce(f64::min)?;
    let high = ranges.iter().map(|(_, high)| *high).reduce(f64::max)?;
    let deadband = alarm.deadband;
    // By the rules of the engine: beyond the limit is a violation, at the limit and the deadband inside it is back.
    let (never_raises, never_clears) = match alarm.condition {
        Condition::High(limit) => (high <= limit, low > limit - deadband),
        Condition::Low(limit) => (low >= limit, high < limit + deadband),
        Condition::Outside { low: lower, high: upper } => {
            (high <= upper && low >= lower, low > upper - deadband || high < lower + deadband)
        }
        _ => (false, false),
    };
    let help = format!("`valid_range` of what it watches lets through {low} to {high} only; the rest is refused");
    match (never_raises, never_clears) {
        (true, _) => Some((format!("`{}` can never be raised", alarm.name), help)),
        (_, true) => Some((format!("once raised, `{}` can never clear", alarm.name), help)),
        _ => None,
    }
}

/// The ranges of a source's fields that a last level can mean; `None` where one of them has none, or not all are known.
fn ranges_of(source: &Source, last: &str) -> Option<Vec<(f64, f64)>> {
    if pattern::quantities(source).is_empty() || !source.further.is_empty() {
        return None;
    }
    let registers = match &source.kind {
        SourceKind::Modbus(modbus) => {
            modbus.units.iter().flat_map(|unit| &unit.registers).map(|one| &one.field).collect()
        }
        _ => Vec::new(),
    };
    let fields = source.decode.fields.iter().chain(registers.iter().copied());
    let meant = fields.filter(|field| matches!(last, "#" | "+") || *last == *field.quantity);
    // What a map gives is a value whatever the range is.
    let range = |field: &Field| field.valid_range.filter(|_| field.map.is_empty());
    meant.map(range).collect()
}

/// A Modbus unit says nothing unless asked.
fn impatient(alarm: &Alarm, sources: &[Source]) -> Option<Fault> {
    let Condition::Stale { after } = alarm.condition else { return None };
    let is_watched = |source: &Source, unit: &ModbusUnit| {
        unit.registers.iter().any(|register| {
            let name = format!("{}/{}/{}", source.name, unit.name, register.field.quantity);
            alarm.sensors.iter().any(|wanted| pattern::matches(wanted, &name))
        })
    };
    for source in sources {
        let SourceKind::Modbus(modbus) = &source.kind else { continue };
        let slow = modbus.units.iter().find(|unit| unit.poll_interval > after && is_watched(source, unit));
        if let Some(unit) = slow {
            let shown = super::units::show_duration;
            let what = format!("`{}` takes `{}/{}` for silent between two polls", alarm.name, source.name, unit.name);
            let (after, every) = (shown(after), shown(unit.poll_interval));
            return Some((what, format!("it is asked every {every} (`poll_interval`), and `stale_after` is {after}")));
        }
    }
    None
}
