//! The keys of `decode` and of its `fields`.

use super::{KeyTable, optional, required, with_default};

const WITH_FIELDS: &[&str] = &[
    "json",
    "key-value",
    "csv",
    "cbor",
    "binary",
    "nmea",
    "p1",
    "vedirect",
    "scale",
    "query",
    "influx",
    "pattern",
    "cayenne-lpp",
    "bthome",
    "sml",
];
/// Those whose messages can be told apart by what they hold.
const CHOSEN: &[&str] = &["json", "cbor", "binary", "jq"];
const PATHS: &[&str] = &["json", "cbor", "query", "influx", "pattern"];
/// Those that hold bytes, or unpack them.
const ENTRIES: &[&str] = &["binary", "json", "cbor", "query", "influx", "pattern"];
/// Those that are text.
const TEXTS: &[&str] =
    &["json", "number", "key-value", "csv", "jq", "nmea", "p1", "scale", "query", "influx", "pattern"];
const NAMED: &[&str] = &[
    "json",
    "number",
    "key-value",
    "cbor",
    "senml",
    "sparkplug-b",
    "homie",
    "jq",
    "csv",
    "query",
    "influx",
    "pattern",
    "cayenne-lpp",
    "bthome",
];
const OTHERS: &[&str] = &[
    "json",
    "key-value",
    "cbor",
    "senml",
    "sparkplug-b",
    "homie",
    "jq",
    "query",
    "influx",
    "pattern",
    "cayenne-lpp",
    "bthome",
    "sml",
];
const TIMED: &[&str] = &[
    "json",
    "key-value",
    "csv",
    "cbor",
    "jq",
    "binary",
    "nmea",
    "vedirect",
    "query",
    "influx",
    "pattern",
    "bthome",
    "cayenne-lpp",
];
const ZONED: &[&str] = &[
    "json",
    "key-value",
    "csv",
    "cbor",
    "jq",
    "binary",
    "nmea",
    "vedirect",
    "p1",
    "query",
    "influx",
    "pattern",
    "bthome",
    "cayenne-lpp",
];
const AGED: &[&str] = &[
    "json",
    "key-value",
    "csv",
    "cbor",
    "jq",
    "senml",
    "sparkplug-b",
    "binary",
    "nmea",
    "vedirect",
    "p1",
    "query",
    "influx",
    "pattern",
    "bthome",
    "cayenne-lpp",
    "sml",
];

/// `decode`
pub static DECODE: KeyTable = KeyTable {
    title: "decode",
    noun: "`decode`",
    selector: "format",
    meaning: "From bytes to readings, as in `decode = { format = \"json\" }` or `[source.decode]` under its source.",
    keys: &[
        required(
            "format",
            "\"json\", \"number\", \"key-value\", \"csv\", \"cbor\", \"senml\", \"sparkplug-b\", \"homie\", \"jq\", \"binary\", \"nmea\", \
             \"p1\", \"sml\", \"vedirect\", \"scale\", \"query\", \"influx\", \"pattern\", \"cayenne-lpp\", \"bthome\" or \"skip\"",
            "What the payload looks like. `json`: a document, or one a line; slips of home-made firmwares with one meaning only are read (`+5`, `.5`, a comma too \
             many, names without quotes), and a bare `NaN` costs its own field. `number`: one value (`21.5`, `21.5 °C`, `ON`). `key-value`: `t=21.5 h=48%`. `csv`: columns. \
             `pattern`: any other text, by a regular expression. `query`: `tempf=70.1&humidity=45`. `influx`: line protocol. \
             `binary`: values at fixed places. `senml`, `cbor`, `sparkplug-b`, `homie`, `cayenne-lpp`, `bthome`, `nmea`: those standards. `p1`: a \
             smart meter's text (DSMR, IEC 62056-21). `sml`: a German meter's binary file. `vedirect`: Victron. `scale`: balances \
             and scales. `jq`: JSON through an expression. `skip`: messages that are no readings.",
        ).near(&["type", "codec", "kind"]),
        with_default(
            "device",
            "template",
            "\"\"",
            "Middle of the sensors' names. `{topic}`, `{topic[N]}` and `{topic[N..]}` are the MQTT topic's levels, counted \
             from 0; `{payload.PATH}` is a field of the payload (`{payload.A|B}`: B where A is not there; JSON and CBOR), `{match[N]}` what the N-th wildcard of the field's path \
             stands for. Empty: the name is `source/quantity`.",
        )
        .near(&["name", "device_name", "sensor"]),
        optional(
            "fields",
            "table",
            "every top-level number and boolean (JSON and the like), every number (key-value), every column (CSV)",
            "What to take, as in `fields = { temperature = \"°C\" }`, see `fields`. At most 512.",
        )
        .near(&["field", "values", "measurements", "mapping", "keys"]),
        optional("quantity", "template", "\"value\", or the one entry of `fields`", "Last part of the sensor's name.")
            .near(&["value", "measurement"])
            .only(&["number"]),
        optional("ts_field", "path", "time of arrival", "The payload's own time: path (JSON), key, column or group; with influx the line's own when left out.")
            .near(&["timestamp", "time", "ts", "time_field", "timestamp_field"])
            .only(TIMED),
        with_default(
            "ts_unit",
            "\"s\", \"ms\", \"us\", \"ns\", \"iso8601\" or \"auto\"",
            "\"iso8601\"",
            "How that time is written; \"auto\": ISO 8601, or a number whose unit follows from its size. With influx \"ns\" when left out.",
        )
            .near(&["time_unit", "timestamp_unit", "time_format", "ts_format"])
            .only(TIMED),
        optional(
            "ts_format",
            "text",
            "as `ts_unit` says",
            "How that time is written where it is not ISO 8601, in the letters of strftime: \"%d.%m.%Y %H:%M:%S\". A time in several \
             places is `ts_field = \"date+time\"`, joined by a blank. A time of the day alone (\"%H:%M:%S\") is on the last day that it fits.",
        )
            .near(&["format", "date_format", "strptime"])
            .only(TIMED),
        with_default("time_zone", "IANA name", "\"UTC\"", "Zone of a time that names none, and of a meter's telegram (p1: \"Europe/Amsterdam\" when left out).")
            .near(&["timezone", "tz"])
            .only(ZONED),
        with_default(
            "max_future_skew",
            "duration, up to 10 y",
            "\"1h\"",
            "A time further ahead of arrival is doubtful: arrival counts instead.",
        )
            .near(&["max_skew", "future_skew"])
            .only(AGED),
        with_default(
            "max_age",
            "duration, up to 100 y",
            "\"30d\"",
            "A time older than this is doubtful: arrival counts instead.",
        )
            .only(AGED),
        with_default("carry", "list of paths", "[]", "Payload fields copied into the event, in this order. At most 32.")
            .near(&["attributes", "extra", "include", "tags"])
            .only(WITH_FIELDS),
        with_default(
            "decimal_comma",
            "true or false",
            "false",
            "\"21,5\" is 21.5 and \"1.234,5\" is 1234.5. Never guessed.",
        )
            .near(&["comma", "decimal"]),
        optional(
            "separator",
            "one character",
            "any blanks, `,` or `;`",
            "Stands between pairs. Where it is left out, a number such as `61,5` is refused: its comma may be the decimal one.",
        )
            .near(&["delimiter", "sep"])
            .only(&["key-value"]),
        optional(
            "assign",
            "one character",
            "`=` or `:`",
            "Stands between key and value.",
        ).near(&["equals"]).only(&["key-value"]),
        optional(
            "strip_unit",
            "true or false",
            "true with key-value, else false",
            "A unit behind the number (`48%`, `21.5 °C`) is cut off and kept as its unit.",
        )
            .only(&["key-value", "json", "number", "cbor", "jq", "csv", "query", "pattern"]),
        with_default(
            "delimiter",
            "one ASCII character",
            "\",\"",
            "Stands between columns. With a blank, several in a row are one.",
        ).near(&["separator", "sep"]).only(&["csv"]),
        optional(
            "columns",
            "list of names",
            "needs `header = true`",
            "The columns, in order. At most 512.",
        ).near(&["names"]).only(&["csv"]),
        with_default(
            "header",
            "true or false",
            "false",
            "The first line names the columns.",
        ).near(&["has_header"]).only(&["csv"]),
        optional("topics", "list of MQTT filters", "all messages of the source", "Which messages this is for, where `decode` is a list: the first that matches decides; a message that none matches is passed over.")
            .near(&["topic", "filter", "match"]),
        optional("when", "table", "any content", "Which messages this is for by what they hold, where `decode` is a list: `when = { model = \"WH65B\" }`, `when = { \"0:u8\" = [1, 2] }` \
            (paths as in `fields`; several values: any of them). A message that it does not fit goes on to the next.")
            .near(&["if", "where", "match_field", "condition", "filter"])
            .only(CHOSEN),
        optional("each", "path", "the document", "The elements that paths start from, as in `each = \"readings[*]\"`; `$.` starts a path at the document.")
            .near(&["foreach", "items", "elements", "array"])
            .only(&["json", "cbor"]),
        with_default("others", "true or false", "false", "Beside `fields`, take every number and boolean that would be taken without.")
            .near(&["rest", "all", "take_all", "unlisted"])
            .only(OTHERS),
        with_default("units", "table", "{}", "Units of values whose field has none, by the last part of their name, without case and number: `units = { temperature = \"°C\" }`. At most 256.")
            .near(&["unit", "default_units"])
            .only(NAMED),
        with_default("skip", "list of paths", "[]", "What wildcards pass over. At most 64.").near(&["exclude", "except", "ignore"]).only(PATHS),
        with_default("unpack", "table", "{}", "Texts that hold a document or bytes, by their paths, unpacked before all else: \"json\", \"base64\", \"hex\", \"base64-cbor\", \"base64-cayenne-lpp\", \"hex-cayenne-lpp\", \"base64-bthome\", \"hex-bthome\", \"base64-entries\" or \"hex-entries\" (see `entries`), or the character between several values (`\";\"`: \"21.5;45\" is a list, \
            `svalue[0]`). Bytes are a list of numbers, `data[2]`; `bytes` of a field reads a layout in them. At most 64.")
            .near(&["parse", "embedded", "nested"])
            .only(PATHS),
        optional("entries", "table", "values at fixed places", "Types and sizes where bytes are a list of values, each behind bytes that say what it is, without a length \
            (Milesight, Elsys and the like) or with one: `entries = { 0175 = 1, 0367 = 2, ff0b = \"rest\", 10 = \"u8\" }`. The key is the type in hexadecimal digits, `?` \
            for any digit; the value says how many bytes belong to it: a number, \"rest\" (all that is left), or \"u8\", \"u16be\", \"u16le\" where a length written so stands \
            before it. A field's `path` is then the type, and its `bytes` the place in the value: `temperature = { path = \"0367\", bytes = \"0:i16le\", scale = 0.1 }`; the \
            second one of a type is `0367_2`. A type that is not there ends the message: what came before it counts, the rest is refused. In JSON and the like: what \
            `unpack` opens as \"base64-entries\" or \"hex-entries\", with paths such as `data.0367`. At most 256.")
            .near(&["types", "channels", "tlv", "tags"])
            .only(ENTRIES),
        optional("entries_at", "0 to 1024", "0: at the first byte", "Bytes before the first entry; `head` is the path to them.")
            .near(&["header", "skip_bytes", "from"])
            .only(ENTRIES),
        optional("record_bytes", "1 to 1024", "a message is one record", "A message is records of this length, one after the other, each with its own time (`ts_field`) and fields; \
            places count from the record's first byte.")
            .near(&["record_size", "repeat", "stride"])
            .only(&["binary"]),
        optional("records_at", "0 to 1024", "0: at the first byte", "Bytes before the first record.").near(&["header", "skip_bytes"]).only(&["binary"]),
        required("pattern", "regular expression", "With a named group for each value: `pattern = 'T(?<temperature>[-.0-9]+)C H(?<humidity>[0-9]+)'`. The groups are what paths, \
            `ts_field` and `{payload.NAME}` mean; every place of the message where it fits is a record, and a message where it fits nowhere is \
            refused, or goes on to the next `decode` of a list. In single quotes a backslash stands for itself. At most 1 KiB.")
            .near(&["regex", "regexp", "expression", "match"])
            .only(&["pattern"]),
        required("expression", "text", "A jq expression that makes objects of `sensor` (or `device` and `quantity`), `value`, `unit` and `ts`; at most 4 KiB.")
            .near(&["jq", "filter", "query", "program"])
            .only(&["jq"]),
        with_default("charset", "\"utf-8\" or \"latin-1\"", "\"utf-8\"", "How a text's bytes are written: older devices send `°` and `µ` as one byte each (ISO 8859-1).")
            .near(&["encoding", "codepage", "character_set"])
            .only(TEXTS),
        with_default("online", "true or false", "false", "A device's birth and death are readings of a quantity `online`.")
            .near(&["lifecycle", "availability", "alive"])
            .only(&["sparkplug-b", "homie"]),
        with_default("rebirth", "true or false", "true", "Asks a node for its birth (`Node Control/Rebirth`) when data came by an alias that no birth declared or when messages are missing: two seconds later, once a minute at most, and less and less often when nothing comes of it.")
            .near(&["ask_rebirth", "request_rebirth", "rebirth_request"])
            .only(&["sparkplug-b"]),
        optional("comment", "one ASCII character", "none", "Lines that begin with it are passed over.").only(&["csv"]),
        with_default(
            "checksum",
            "\"required\" or \"optional\"",
            "\"required\"",
            "Whether sentences without a checksum are refused.",
        ).only(&["nmea"]),
        with_default(
            "unstable",
            "\"drop\" or \"keep\"",
            "\"drop\"",
            "Weights that are not stable yet.",
        ).near(&["dynamic", "motion"]).only(&["scale"]),
    ],
};

/// `unit` of a field, as a table
pub static UNIT_PATH: KeyTable = KeyTable {
    title: "unit",
    noun: "`unit`",
    selector: "",
    meaning: "The unit as the payload names it, as in `unit = { path = \"TempUnit\" }`.",
    keys: &[required("path", "path", "Where it is; wildcards stand for the same as in the field's path.")
        .near(&["field", "key"])],
};

/// An entry of `fields`
pub static FIELD: KeyTable = KeyTable {
    title: "fields",
    noun: "a field",
    selector: "",
    meaning: "One quantity to take from the payload. The entry's key is the quantity, the last part of the sensor's name. \
              Short form: `temperature = \"°C\"`, long form: `power = { path = \"ENERGY.Power\", unit = \"W\" }`.",
    keys: &[
        optional(
            "path",
            "path",
            "the quantity",
            "Where it is: `ENERGY.Power`, `channels[0].value`; the key (key-value, vedirect) or column (CSV). `*` and `[*]` stand for every member or item, a last `**` for every value below; the field's key may then hold `{match[N]}` and `{payload.PATH}`, where a wildcard of PATH stands for the same. `2:u16le` (binary: \
             byte 2, type and order; `u8` to `u64`, `i8` to `i64`, `s8` (sign bit), `f32`, `f64`, `bcd8`, `text4`; `be`, `le`, \
             `cdab`, `badc`; bits as in `6:u8[0-3]`; below zero from the end); `MWV.speed`, `MWV.3`, `XDR.NAME` (nmea); \
             `1-0:1.8.1` or `1.8.1` (p1, sml); a group (pattern); \
             a tag or field (influx); `temperature_1` (cayenne-lpp: kind and channel); `temperature`, the second one `temperature_2` (bthome); `weight`, `stable`, `kind` (scale).",
        )
            .near(&["field", "key", "column", "from", "json_path", "jsonpath"]),
        optional(
            "bytes",
            "place",
            "the value at `path` itself",
            "JSON and CBOR, and \"binary\" with `entries`: `path` leads to bytes (see `unpack`; a CBOR byte string and a list of numbers are bytes, too), and this is the value's place in them, written as in \"binary\": `2:i16be`.",
        )
            .near(&["layout", "place", "at", "bits", "binary"]),
        optional(
            "unit",
            "text, at most 32 bytes, or table",
            "none, or what the payload says",
            "Unit of the value, or where the payload names it: `{ path = \"TempUnit\" }`.",
        ).near(&["unit_name", "units"]),
        with_default(
            "scale",
            "number, not 0",
            "1",
            "value = raw * scale + offset.",
        ).near(&["factor", "multiplier", "multiply", "gain"]),
        with_default("offset", "number", "0", "value = raw * scale + offset.").near(&["add", "bias"]),
        optional("valid_range", "[low, high]", "any", "A value outside, after scaling, is refused and counted.")
            .near(&["range", "valid", "min_max"]),
        with_default(
            "ignore_values",
            "list of numbers and texts",
            "[]",
            "Raw values that mean \"no value\", as -127, 85 or \"---\". At most 32.",
        )
            .near(&["ignore", "invalid", "sentinels", "ignore_value"]),
        with_default("hex", "true or false", "false", "The number is a text of hexadecimal digits, with or without `0x`.")
            .near(&["base", "radix", "hexadecimal", "base16"]),
        optional("bits", "bit, or range of bits", "the whole number", "Which bits of a whole number are the value, as in `bits = 3` or `bits = \"4-7\"`; 0 is the least significant. \
            `map = { 1 = true, 0 = false }` makes a state of one bit.")
            .near(&["bit", "mask"]),
        with_default("signed", "true or false", "false", "The bits are a two's complement: with `bits = \"0-15\"` 65535 is -1.")
            .near(&["twos_complement", "sign"]),
        optional(
            "map",
            "table",
            "none",
            "Raw texts (or `true`/`false`) and their values, as in `map = { ON = true, OFF = false }`; others are refused. At most 256.",
        )
        .near(&["mapping", "enum", "values", "states"]),
        with_default(
            "text",
            "true or false",
            "false",
            "Keep texts as they are, for `equals`. Else a text that is no number and not mapped is refused.",
        )
            .near(&["string", "raw"]),
    ],
};
