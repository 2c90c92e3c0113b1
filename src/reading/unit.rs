//! Units of measurement, as they go with values.
//!
//! Owns the list of the common ones. A unit is cloned with every reading and every event; one that is on the list costs no
//! reference count then, which was a tenth of what decoding a reading took.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units that sensors have, sorted by their bytes. A unit that is not here works as well.
const COMMON: [&str; 55] = [
    "%", "%RH", "1/min", "A", "Ah", "Cel", "Hz", "K", "L", "L/min", "MWh", "Pa", "V", "VA", "W", "W/m²", "Wh", "bar",
    "cm", "dB", "dBm", "g", "h", "hPa", "kPa", "kW", "kWh", "kg", "km/h", "l", "l/min", "lx", "m", "m/s", "mA",
    "mS/cm", "mV", "mbar", "min", "mm", "mm/h", "ms", "m³", "m³/h", "pH", "ppb", "ppm", "rpm", "s", "var", "°", "°C",
    "°F", "µS/cm", "µg/m³",
];

/// A unit such as "°C" or "bar", cheap to clone. Compared by its text.
#[derive(Clone)]
pub struct Unit(Text);

#[derive(Clone)]
enum Text {
    Common(&'static str),
    Other(Arc<str>),
}

impl Deref for Unit {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Common(text) => text,
            Text::Other(text) => text,
        }
    }
}

impl From<&str> for Unit {
    fn from(text: &str) -> Self {
        Self(match COMMON.binary_search(&text) {
            Ok(at) => Text::Common(COMMON[at]),
            Err(_) => Text::Other(text.into()),
        })
    }
}

impl From<Arc<str>> for Unit {
    /// Without a copy of a text that is not common.
    fn from(text: Arc<str>) -> Self {
        Self(match COMMON.binary_search(&&*text) {
            Ok(at) => Text::Common(COMMON[at]),
            Err(_) => Text::Other(text),
        })
    }
}

impl PartialEq for Unit {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Unit {}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::from(&*text))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn every_common_unit_is_found_and_any_other_is_kept() {
        for text in COMMON {
            let unit = Unit::from(text);
            assert!(matches!(unit.0, Text::Common(_)), "{text} is out of order");
            assert_eq!(&*unit, text);
        }
        for text in ["", "furlong", "°c", "%%"] {
            assert!(matches!(&Unit::from(text).0, Text::Other(kept) if **kept == *text));
        }
    }

    #[test]
    fn a_unit_is_a_text_to_whoever_writes_and_reads_it() {
        for text in ["°C", "furlong"] {
            let written = serde_json::to_string(&Unit::from(text)).unwrap();
            assert_eq!(written, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Unit>(&written).unwrap(), Unit::from(text));
        }
    }
}
