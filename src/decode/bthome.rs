//! `format = "bthome"`: BTHome version 2, the service data of Bluetooth sensors: a byte of device information, then an
//! object id and its value, and so on.
//!
//! The document has a member for each object under its property's name; the second of one kind is `temperature_2`.
//! Numbers are little endian. Encrypted data is refused: there is no key. The service's number (D2 FC) may stand
//! before.

use super::tree::Tree;

/// What an object holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Unsigned(usize, f64),
    Signed(usize, f64),
    State,
    Button,
    Dimmer,
    Text,
    Raw,
}

use Kind::{Signed, State, Unsigned};

/// An object: its number, name, unit and what it holds.
type Object = (u8, &'static str, &'static str, Kind);

/// The objects of BTHome v2. Where a property has two units its smaller or foreign one is part of the name.
const OBJECTS: &[Object] = &[
    (0x00, "packet_id", "", Unsigned(1, 1.0)),
    (0x01, "battery", "%", Unsigned(1, 1.0)),
    (0x02, "temperature", "°C", Signed(2, 100.0)),
    (0x03, "humidity", "%", Unsigned(2, 100.0)),
    (0x04, "pressure", "hPa", Unsigned(3, 100.0)),
    (0x05, "illuminance", "lx", Unsigned(3, 100.0)),
    (0x06, "mass", "kg", Unsigned(2, 100.0)),
    (0x07, "mass_lb", "lb", Unsigned(2, 100.0)),
    (0x08, "dewpoint", "°C", Signed(2, 100.0)),
    (0x09, "count", "", Unsigned(1, 1.0)),
    (0x0A, "energy", "kWh", Unsigned(3, 1e3)),
    (0x0B, "power", "W", Unsigned(3, 100.0)),
    (0x0C, "voltage", "V", Unsigned(2, 1e3)),
    (0x0D, "pm2_5", "µg/m³", Unsigned(2, 1.0)),
    (0x0E, "pm10", "µg/m³", Unsigned(2, 1.0)),
    (0x0F, "generic", "", State),
    (0x10, "power_on", "", State),
    (0x11, "opening", "", State),
    (0x12, "co2", "ppm", Unsigned(2, 1.0)),
    (0x13, "tvoc", "µg/m³", Unsigned(2, 1.0)),
    (0x14, "moisture", "%", Unsigned(2, 100.0)),
    (0x15, "battery_low", "", State),
    (0x16, "battery_charging", "", State),
    (0x17, "carbon_monoxide", "", State),
    (0x18, "cold", "", State),
    (0x19, "connectivity", "", State),
    (0x1A, "door", "", State),
    (0x1B, "garage_door", "", State),
    (0x1C, "gas_detected", "", State),
    (0x1D, "heat", "", State),
    (0x1E, "light", "", State),
    (0x1F, "lock", "", State),
    (0x20, "moisture_detected", "", State),
    (0x21, "motion", "", State),
    (0x22, "moving", "", State),
    (0x23, "occupancy", "", State),
    (0x24, "plug", "", State),
    (0x25, "presence", "", State),
    (0x26, "problem", "", State),
    (0x27, "running", "", State),
    (0x28, "safety", "", State),
    (0x29, "smoke", "", State),
    (0x2A, "sound", "", State),
    (0x2B, "tamper", "", State),
    (0x2C, "vibration", "", State),
    (0x2D, "window", "", State),
    (0x2E, "humidity", "%", Unsigned(1, 1.0)),
    (0x2F, "moisture", "%", Unsigned(1, 1.0)),
    (0x3A, "button", "", Kind::Button),
    (0x3C, "dimmer", "", Kind::Dimmer),
    (0x3D, "count", "", Unsigned(2, 1.0)),
    (0x3E, "count", "", Unsigned(4, 1.0)),
    (0x3F, "rotation", "°", Signed(2, 10.0)),
    (0x40, "distance_mm", "mm", Unsigned(2, 1.0)),
    (0x41, "distance", "m", Unsigned(2, 10.0)),
    (0x42, "duration", "s", Unsigned(3, 1e3)),
    (0x43, "current", "A", Unsigned(2, 1e3)),
    (0x44, "speed", "m/s", Unsigned(2, 100.0)),
    (0x45, "temperature", "°C", Signed(2, 10.0)),
    (0x46, "uv_index", "", Unsigned(1, 10.0)),
    (0x47, "volume", "L", Unsigned(2, 10.0)),
    (0x48, "volume_ml", "mL", Unsigned(2, 1.0)),
    (0x49, "volume_flow_rate", "m³/h", Unsigned(2, 1e3)),
    (0x4A, "voltage", "V", Unsigned(2, 10.0)),
    (0x4B, "gas", "m³", Unsigned(3, 1e3)),
    (0x4C, "gas", "m³", Unsigned(4, 1e3)),
    (0x4D, "energy", "kWh", Unsigned(4, 1e3)),
    (0x4E, "volume", "L", Unsigned(4, 1e3)),
    (0x4F, "water", "L", Unsigned(4, 1e3)),
    (0x50, "timestamp", "s", Unsigned(4, 1.0)),
    (0x51, "acceleration", "m/s²", Unsigned(2, 1e3)),
    (0x52, "gyroscope", "°/s", Unsigned(2, 1e3)),
    (0x53, "text", "", Kind::Text),
    (0x54, "raw", "", Kind::Raw),
    (0x55, "volume_storage", "L", Unsigned(4, 1e3)),
    (0x56, "conductivity", "µS/cm", Unsigned(2, 1.0)),
    (0x57, "temperature", "°C", Signed(1, 1.0)),
    (0x58, "temperature", "°C", Signed(1, 1.0 / 0.35)),
    (0x59, "count", "", Signed(1, 1.0)),
    (0x5A, "count", "", Signed(2, 1.0)),
    (0x5B, "count", "", Signed(4, 1.0)),
    (0x5C, "power", "W", Signed(4, 100.0)),
    (0x5D, "current", "A", Signed(2, 1e3)),
    (0x5E, "direction", "°", Unsigned(2, 100.0)),
    (0x5F, "precipitation", "mm", Unsigned(2, 10.0)),
    (0x60, "channel", "", Unsigned(1, 1.0)),
    (0x61, "rotational_speed", "rpm", Unsigned(2, 1.0)),
    (0x62, "speed", "m/s", Signed(4, 1e6)),
    (0x63, "acceleration", "m/s²", Signed(4, 1e6)),
    (0x64, "light_level", "", Unsigned(1, 1.0)),
    (0xF0, "device_type", "", Unsigned(2, 1.0)),
    (0xF1, "firmware", "", Unsigned(4, 1.0)),
    (0xF2, "firmware", "", Unsigned(3, 1.0)),
];

/// What a button says, by its number.
const PRESSES: [&str; 7] =
    ["none", "press", "double_press", "triple_press", "long_press", "long_double_press", "long_triple_press"];

/// Units by name, as `units` takes them.
pub(super) fn units() -> impl Iterator<Item = (&'static str, &'static str)> {
    OBJECTS.iter().filter(|(.., unit, _)| !unit.is_empty()).map(|(_, name, unit, _)| (*name, *unit))
}

/// Reads a payload.
pub(super) fn read(payload: &[u8]) -> Result<Tree, String> {
    let payload = payload.strip_prefix(&[0xD2, 0xFC]).unwrap_or(payload);
    let Some((information, mut rest)) = payload.split_first() else {
        return Err("no device information".to_owned());
    };
    match (information >> 5, information & 1) {
        (2, 0) => {}
        (2, _) => return Err("it is encrypted, and there is no key: turn encryption off at the sensor".to_owned()),
        (version, _) => return Err(format!("version {version} of BTHome, and 2 is known")),
    }
    let mut members: Vec<(Box<str>, Tree)> = Vec::new();
    while let Some((number, data)) = rest.split_first() {
        let Some((_, name, _, kind)) = OBJECTS.iter().find(|(known, ..)| known == number) else {
            return Err(format!("object 0x{number:02X} is not known"));
        };
        let short = || format!("{name} is cut off");
        let (value, after) = object(*kind, data).ok_or_else(short)?;
        let before = members.iter().filter(|(other, _)| is_same(other, name)).count();
        let name = if before == 0 { (*name).to_owned() } else { format!("{name}_{}", before + 1) };
        members.push((name.into(), value));
        rest = after;
    }
    Ok(Tree::Object(members))
}

fn is_same(member: &str, name: &str) -> bool {
    let rest = member.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('_').is_some_and(|n| n.parse::<usize>().is_ok()))
}

/// An object's value, and what follows it.
fn object(kind: Kind, data: &[u8]) -> Option<(Tree, &[u8])> {
    let length = match kind {
        Unsigned(bytes, _) | Signed(bytes, _) => bytes,
        State | Kind::Button => 1,
        Kind::Dimmer => 2,
        Kind::Text | Kind::Raw => {
            let (length, data) = data.split_first()?;
            let (bytes, after) = data.split_at_checked(usize::from(*length))?;
            return Some(match kind {
                Kind::Text => (Tree::Text(String::from_utf8_lossy(bytes).into()), after),
                _ => (Tree::Bytes(bytes.into()), after),
            });
        }
    };
    let (bytes, after) = data.split_at_checked(length)?;
    let whole = bytes.iter().rev().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
    let number = |whole: i64, divisor: f64| match divisor {
        1.0 => Tree::Integer(whole),
        divisor => Tree::Real(whole as f64 / divisor),
    };
    let value = match kind {
        Unsigned(_, divisor) => number(whole, divisor),
        Signed(bytes, divisor) => {
            let half = 1_i64 << (bytes * 8 - 1);
            number(if whole >= half { whole - 2 * half } else { whole }, divisor)
        }
        State => Tree::Bool(whole != 0),
        Kind::Button => match PRESSES.get(usize::from(bytes[0])) {
            Some(&"none") => Tree::Null,
            Some(press) => Tree::Text((*press).into()),
            None => Tree::Text(if bytes[0] == 0x80 { "hold_press" } else { "unknown" }.into()),
        },
        // 1: to the left, 2: to the right; then the steps.
        _ => Tree::Integer(i64::from(bytes[1]) * if bytes[0] == 1 { -1 } else { 1 }),
    };
    Some((value, after))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn objects_are_read_and_numbered_by_kind() {
        let tree = read(&[0x40, 0x00, 0x2E, 0x01, 0x64, 0x2E, 0x34, 0x45, 0x16, 0x01, 0x45, 0xF6, 0xFF]).unwrap();
        assert_eq!(tree.get("battery"), Some(&Tree::Integer(100)));
        assert_eq!(tree.get("humidity"), Some(&Tree::Integer(52)));
        assert_eq!(tree.get("temperature"), Some(&Tree::Real(27.8)));
        assert_eq!(tree.get("temperature_2"), Some(&Tree::Real(-1.0)));
        let tree = read(&[0xD2, 0xFC, 0x44, 0x04, 0x13, 0x8A, 0x01, 0x2D, 0x01, 0x3A, 0x02]).unwrap();
        assert_eq!(tree.get("pressure"), Some(&Tree::Real(1008.83)));
        assert_eq!(tree.get("window"), Some(&Tree::Bool(true)));
        assert_eq!(tree.get("button"), Some(&Tree::Text("double_press".into())));
    }

    #[test]
    fn encrypted_foreign_and_broken_data_is_told() {
        assert!(read(&[0x41, 0xA4]).unwrap_err().contains("encrypted"));
        assert!(read(&[0xE1]).unwrap_err().contains("version 7"));
        assert!(read(&[0x40, 0x02, 0x01]).unwrap_err().contains("temperature is cut off"));
        assert!(read(&[0x40, 0xFE]).unwrap_err().contains("0xFE"));
        assert!(read(&[]).is_err());
    }

    proptest! {
        #[test]
        fn no_payload_panics(payload: Vec<u8>) {
            let _ = read(&payload);
            let _ = read(&[&[0x40], &payload[..]].concat());
        }
    }
}
