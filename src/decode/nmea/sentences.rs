//! The values of the usual sentences, by name. Numbers and units as in the published field lists of NMEA 0183.

/// A sentence.
#[derive(Debug)]
pub(in crate::decode) struct Known {
    pub(super) sentence: &'static str,
    pub(super) status: Option<Status>,
    pub(super) values: &'static [Value],
}

/// The field that says whether the rest is valid.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) field: usize,
    invalid: &'static [&'static str],
}

impl Status {
    pub(super) fn is_valid(&self, found: &str) -> bool {
        !self.invalid.contains(&found)
    }
}

/// One value.
#[derive(Debug)]
pub(super) struct Value {
    /// Empty where a sentence has only one.
    pub(super) name: &'static str,
    pub(super) field: usize,
    pub(super) unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Always the same.
    Is(&'static str),
    /// Named by a letter in this field.
    At(usize),
    /// Degrees and minutes, the side in the next field.
    Degrees,
    /// Time of day, with the date in field 9.
    Time,
}

use Unit::{At, Degrees, Is, Time};

const fn value(name: &'static str, field: usize, unit: Unit) -> Value {
    Value { name, field, unit }
}

const fn sentence(sentence: &'static str, values: &'static [Value]) -> Known {
    Known { sentence, status: None, values }
}

const fn with_status(
    sentence: &'static str,
    field: usize,
    invalid: &'static [&'static str],
    values: &'static [Value],
) -> Known {
    Known { sentence, status: Some(Status { field, invalid }), values }
}

/// Of a status field: the receiver warns.
const VOID: &[&str] = &["V", ""];

/// The sentence of these three letters.
pub(in crate::decode) fn find(letters: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.sentence == letters)
}

static KNOWN: [Known; 27] = [
    // Weather.
    sentence("MTW", &[value("", 1, At(2))]),
    sentence("MTA", &[value("", 1, At(2))]),
    sentence("MHU", &[value("relative", 1, Is("%")), value("absolute", 2, Is("%")), value("dew-point", 3, At(4))]),
    sentence("MMB", &[value("", 3, Is("bar"))]),
    sentence(
        "MDA",
        &[
            value("pressure", 3, Is("bar")),
            value("air-temperature", 5, At(6)),
            value("water-temperature", 7, At(8)),
            value("humidity", 9, Is("%")),
            value("dew-point", 11, At(12)),
            value("wind-direction", 13, Is("deg")),
            value("wind-speed", 19, Is("m/s")),
        ],
    ),
    with_status("MWV", 5, VOID, &[value("angle", 1, Is("deg")), value("speed", 3, At(4))]),
    sentence("MWD", &[value("direction", 1, Is("deg")), value("speed", 7, Is("m/s"))]),
    sentence("VWR", &[value("angle", 1, Is("deg")), value("speed", 5, Is("m/s"))]),
    // Water.
    sentence("DBT", &[value("", 3, Is("m"))]),
    sentence("DBK", &[value("", 3, Is("m"))]),
    sentence("DBS", &[value("", 3, Is("m"))]),
    sentence("DPT", &[value("depth", 1, Is("m")), value("offset", 2, Is("m"))]),
    sentence("VHW", &[value("heading", 1, Is("deg")), value("speed", 5, Is("kn"))]),
    sentence("VLW", &[value("total", 1, Is("nmi")), value("trip", 3, Is("nmi"))]),
    // Heading and machine.
    sentence("HDT", &[value("", 1, Is("deg"))]),
    sentence("HDM", &[value("", 1, Is("deg"))]),
    sentence("HDG", &[value("", 1, Is("deg"))]),
    with_status("ROT", 2, VOID, &[value("", 1, Is("deg/min"))]),
    with_status("RSA", 2, VOID, &[value("", 1, Is("deg"))]),
    with_status("RPM", 5, VOID, &[value("speed", 3, Is("rpm")), value("pitch", 4, Is("%"))]),
    // Transducers: by their own names.
    sentence("XDR", &[]),
    // Position.
    with_status(
        "RMC",
        2,
        VOID,
        &[
            value("latitude", 3, Degrees),
            value("longitude", 5, Degrees),
            value("speed", 7, Is("kn")),
            value("course", 8, Is("deg")),
            value("time", 1, Time),
        ],
    ),
    with_status(
        "GGA",
        6,
        &["0", ""],
        &[
            value("latitude", 2, Degrees),
            value("longitude", 4, Degrees),
            value("satellites", 7, Is("")),
            value("hdop", 8, Is("")),
            value("altitude", 9, Is("m")),
        ],
    ),
    with_status("GLL", 6, VOID, &[value("latitude", 1, Degrees), value("longitude", 3, Degrees)]),
    sentence("VTG", &[value("course", 1, Is("deg")), value("speed", 5, Is("kn"))]),
    sentence("GSA", &[value("pdop", 15, Is("")), value("hdop", 16, Is("")), value("vdop", 17, Is(""))]),
    sentence("GSV", &[value("satellites", 3, Is(""))]),
];
