//! Units by name: `units = { temperature = "°C" }`.
//!
//! Owns the comparison. It goes by the last part of a name (behind the last `/`, `.` or `:`), without regard to case and
//! to a number at its end: `ENERGY.Power[0]`, `temperature_1` and `temperature:0` are a power and two temperatures. A
//! name that begins with `*` is the end of one: `"*_kWh"`.

use crate::reading::Unit;
use std::sync::Arc;

/// The units of a `decode`.
#[derive(Debug)]
pub(super) struct Units(Vec<(Box<str>, Unit)>);

impl Units {
    /// The configured ones, and behind them those that go without saying.
    pub(super) fn new(units: &[(Arc<str>, Arc<str>)], usual: Vec<(&str, &str)>) -> Self {
        let configured = units.iter().map(|(name, unit)| (name.to_lowercase().into(), Arc::clone(unit).into()));
        Self(configured.chain(usual.into_iter().map(|(name, unit)| (name.into(), unit.into()))).collect())
    }

    /// The unit that goes with a name.
    pub(super) fn of(&self, name: &str) -> Option<Unit> {
        if self.0.is_empty() {
            return None;
        }
        let name = name.to_lowercase();
        let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '_' | '-' | ':'));
        let last = |name: &'_ str| name.rfind(['/', '.', ':']).map_or(0, |at| at + 1);
        let candidates = [&name[..], &name[last(&name)..], &bare[last(bare)..]];
        let find = |fits: &dyn Fn(&str, &str) -> bool| {
            let known = candidates.iter().find_map(|name| self.0.iter().find(|(known, _)| fits(known, name)));
            known.map(|(_, unit)| unit.clone())
        };
        find(&|known, name| known == name)
            .or_else(|| find(&|known, name| known.strip_prefix('*').is_some_and(|end| name.ends_with(end))))
    }
}

/// A unit as payloads write it in the way the gateway does: a bare C is no coulomb where devices name units.
pub(super) fn spelled(unit: &str) -> &str {
    match unit {
        "C" | "ºC" | "degC" | "celsius" | "Celsius" | "\u{2103}" => "°C",
        "F" | "ºF" | "degF" | "fahrenheit" | "Fahrenheit" | "\u{2109}" => "°F",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_decides_without_case_and_number() {
        let units = Units::new(&[("temperature".into(), "°C".into()), ("power".into(), "W".into())], vec![]);
        for name in ["temperature", "BME280.Temperature", "a/temperature_1", "temperature:0", "temperature2"] {
            assert_eq!(units.of(name).as_deref(), Some("°C"), "{name}");
        }
        assert_eq!(units.of("ENERGY.Power[0]").as_deref(), Some("W"));
        let ends = Units::new(&[("*_kWh".into(), "kWh".into()), ("*temperature".into(), "°C".into())], vec![]);
        assert_eq!(ends.of("total_kwh").as_deref(), Some("kWh"));
        assert_eq!(ends.of("room_temperature_2").as_deref(), Some("°C"));
        assert_eq!(units.of("temperature.offset"), None);
        assert_eq!(units.of(""), None);
    }
}
