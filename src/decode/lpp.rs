//! `format = "cayenne-lpp"`: the Cayenne Low Power Payload of LoRa nodes: channel, type, value, and so on to the end.
//!
//! The document has a member `TYPE_CHANNEL` for each value, under the names that network servers use: `temperature_1`,
//! `analog_in_3`, `gps_1.latitude`. Numbers are big endian. A type that is not known ends the payload with an error:
//! nobody could say how long it is.

use super::tree::Tree;

/// A part of a value: bytes, whether signed, and how many of it make one.
type Part = (&'static str, usize, bool, f64);

/// A type: its number, name, unit, and parts.
type Type = (u8, &'static str, &'static str, &'static [Part]);

const fn one(bytes: usize, signed: bool, divisor: f64) -> Part {
    ("", bytes, signed, divisor)
}

/// The types of the published table and of the libraries that have added to it.
const TYPES: &[Type] = &[
    (0, "digital_in", "", &[one(1, false, 1.0)]),
    (1, "digital_out", "", &[one(1, false, 1.0)]),
    (2, "analog_in", "", &[one(2, true, 100.0)]),
    (3, "analog_out", "", &[one(2, true, 100.0)]),
    (100, "generic_sensor", "", &[one(4, false, 1.0)]),
    (101, "luminosity", "lx", &[one(2, false, 1.0)]),
    (102, "presence", "", &[one(1, false, 1.0)]),
    (103, "temperature", "°C", &[one(2, true, 10.0)]),
    (104, "relative_humidity", "%", &[one(1, false, 2.0)]),
    (113, "accelerometer", "g", &[("x", 2, true, 1e3), ("y", 2, true, 1e3), ("z", 2, true, 1e3)]),
    (115, "barometric_pressure", "hPa", &[one(2, false, 10.0)]),
    (116, "voltage", "V", &[one(2, false, 100.0)]),
    (117, "current", "A", &[one(2, false, 1e3)]),
    (118, "frequency", "Hz", &[one(4, false, 1.0)]),
    (120, "percentage", "%", &[one(1, false, 1.0)]),
    (121, "altitude", "m", &[one(2, true, 1.0)]),
    (125, "concentration", "ppm", &[one(2, false, 1.0)]),
    (128, "power", "W", &[one(2, false, 1.0)]),
    (130, "distance", "m", &[one(4, false, 1e3)]),
    (131, "energy", "kWh", &[one(4, false, 1e3)]),
    (132, "direction", "°", &[one(2, false, 1.0)]),
    (133, "unix_time", "s", &[one(4, false, 1.0)]),
    (134, "gyrometer", "°/s", &[("x", 2, true, 100.0), ("y", 2, true, 100.0), ("z", 2, true, 100.0)]),
    (135, "colour", "", &[("r", 1, false, 1.0), ("g", 1, false, 1.0), ("b", 1, false, 1.0)]),
    (136, "gps", "", &[("latitude", 3, true, 1e4), ("longitude", 3, true, 1e4), ("altitude", 3, true, 100.0)]),
    (142, "switch", "", &[one(1, false, 1.0)]),
];

/// Units by name, as `units` takes them.
pub(super) fn units() -> impl Iterator<Item = (&'static str, &'static str)> {
    let position = [("latitude", "°"), ("longitude", "°")];
    TYPES.iter().filter(|(.., unit, _)| !unit.is_empty()).map(|(_, name, unit, _)| (*name, *unit)).chain(position)
}

/// Reads a payload.
pub(super) fn read(payload: &[u8]) -> Result<Tree, String> {
    let mut members: Vec<(Box<str>, Tree)> = Vec::new();
    let mut rest = payload;
    while let [channel, number, data @ ..] = rest {
        let at = payload.len() - rest.len();
        let Some((_, name, _, parts)) = TYPES.iter().find(|(known, ..)| known == number) else {
            return Err(format!("type {number} (0x{number:02X}) at byte {} is not known", at + 1));
        };
        let length: usize = parts.iter().map(|(_, bytes, ..)| bytes).sum();
        let Some((mut data, after)) = data.split_at_checked(length) else {
            return Err(format!("{name} at byte {at} needs {length} bytes, {} are left", data.len()));
        };
        let mut values: Vec<(Box<str>, Tree)> = Vec::new();
        for (part, bytes, signed, divisor) in *parts {
            let (digits, others) = data.split_at(*bytes);
            data = others;
            values.push((Box::from(*part), scaled(digits, *signed, *divisor)));
        }
        let value = match values.pop() {
            Some((part, value)) if part.is_empty() => value,
            Some(last) => {
                values.push(last);
                Tree::Object(values)
            }
            None => Tree::Null,
        };
        members.push((format!("{name}_{channel}").into(), value));
        rest = after;
    }
    match (rest, members.is_empty()) {
        ([], false) => Ok(Tree::Object(members)),
        _ => Err(format!("{} bytes at the end that are no value", rest.len())),
    }
}

fn scaled(digits: &[u8], signed: bool, divisor: f64) -> Tree {
    let raw = digits.iter().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
    let half = 1_i64 << (digits.len() * 8 - 1);
    let raw = if signed && raw >= half { raw - 2 * half } else { raw };
    if divisor == 1.0 { Tree::Integer(raw) } else { Tree::Real(raw as f64 / divisor) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_of_several_channels_and_parts_are_read() {
        let tree = read(&[3, 0x67, 0x01, 0x10, 5, 0x67, 0xFF, 0xD7, 1, 0x68, 0x5B]).unwrap();
        assert_eq!(tree.get("temperature_3"), Some(&Tree::Real(27.2)));
        assert_eq!(tree.get("temperature_5"), Some(&Tree::Real(-4.1)));
        assert_eq!(tree.get("relative_humidity_1"), Some(&Tree::Real(45.5)));
        let tree = read(&[1, 0x88, 0x06, 0x76, 0x5F, 0xF2, 0x96, 0x0A, 0x00, 0x03, 0xE8]).unwrap();
        let gps = tree.get("gps_1").unwrap();
        assert_eq!(gps.get("latitude"), Some(&Tree::Real(42.3519)));
        assert_eq!(gps.get("longitude"), Some(&Tree::Real(-87.9094)));
        assert_eq!(gps.get("altitude"), Some(&Tree::Real(10.0)));
    }

    #[test]
    fn what_is_cut_off_or_not_known_is_told() {
        assert!(read(&[3, 0x67, 0x01]).unwrap_err().contains("temperature at byte 0 needs 2 bytes"));
        assert!(read(&[3, 0xF0, 0x01]).unwrap_err().contains("0xF0"));
        assert!(read(&[3]).is_err() && read(&[]).is_err());
    }

    proptest! {
        #[test]
        fn no_payload_panics(payload: Vec<u8>) {
            let _ = read(&payload);
        }
    }
}
