//! The keys of a source, its framing and decoder.

use super::general::{CA_FILE, CERT_FILE, KEY_FILE, PASSWORD_FILE, USERNAME};
use super::{KeyTable, optional, required, with_default};

const MQTT: &[&str] = &["mqtt"];
const SERIAL: &[&str] = &["serial"];

/// `[[source]]`
pub static SOURCE: KeyTable = KeyTable {
    title: "[[source]]",
    noun: "a source",
    selector: "type",
    meaning: "One place that readings come from. Sensors are named `source/device/quantity`.",
    keys: &[
        required("name", "name", "First part of its sensors' names. Letters, digits, `-` and `_`; at most 64; unique.")
            .near(&["id"]),
        required("type", "\"mqtt\" or \"serial\"", "How it is reached.").near(&["kind", "protocol"]),
        required("decode", "table", "How bytes become readings, see `decode`.")
            .near(&["decoder", "parse", "parser", "payload", "codec"]),
        required(
            "url",
            "address",
            "The broker: `mqtt://host[:port]` or `mqtts://host[:port]`; ports 1883 and 8883 when left out.",
        )
        .near(&["broker", "host", "address", "server", "uri"])
        .only(MQTT),
        required(
            "topics",
            "list of MQTT filters",
            "What to subscribe to; `+`, `#` and `$share/group/filter` are allowed. At most 256.",
        )
        .near(&["topic", "subscribe", "subscriptions", "filters"])
        .only(MQTT),
        optional(
            "client_id",
            "text, at most 128 bytes",
            "`tidegate-<gateway>-<source>`",
            "Must be the source's own and not change: the broker keeps our messages under it.",
        )
        .near(&["clientid", "client"])
        .only(MQTT),
        with_default("qos", "0, 1 or 2", "1", "Quality of service asked for. With 0 the broker keeps nothing for us.")
            .only(MQTT),
        CA_FILE.only(MQTT),
        CERT_FILE.only(MQTT),
        KEY_FILE.only(MQTT),
        USERNAME.only(MQTT),
        PASSWORD_FILE.only(MQTT),
        with_default("keep_alive", "duration, 1 s to 18 h", "\"30s\"", "Silence after which the connection is tested.")
            .near(&["keepalive", "ping_interval"])
            .only(MQTT),
        with_default("inflight_max", "1 to 65535", "1000", "Messages taken from the broker and not yet acknowledged.")
            .near(&["max_inflight", "inflight", "receive_maximum"])
            .only(MQTT),
        with_default(
            "packet_bytes_max",
            "size, 1 KiB to 16 MiB",
            "\"256KiB\"",
            "Larger messages are refused and counted.",
        )
        .near(&["max_packet_size", "packet_size", "max_packet_bytes"])
        .only(MQTT),
        with_default(
            "retained_max_age",
            "duration, up to 10 y",
            "\"1h\"",
            "A retained message whose own time is older is not a fresh reading; one without a time never is.",
        )
        .only(MQTT),
        required("port", "path", "The device, best by its lasting name under `/dev/serial/by-id/`.")
            .near(&["device", "path", "tty", "serial_port", "dev"])
            .only(SERIAL),
        with_default("baud", "50 to 4000000", "9600", "Bits per second.")
            .near(&["baudrate", "baud_rate", "speed", "bps"])
            .only(SERIAL),
        with_default("data_bits", "7 or 8", "8", "Bits of a character.")
            .near(&["bits", "bytesize", "databits"])
            .only(SERIAL),
        with_default("parity", "\"none\", \"even\" or \"odd\"", "\"none\"", "Parity bit.").only(SERIAL),
        with_default("stop_bits", "1 or 2", "1", "Stop bits.").near(&["stopbits", "stop"]).only(SERIAL),
        with_default("flow_control", "\"none\", \"software\" or \"hardware\"", "\"none\"", "XON/XOFF or RTS/CTS.")
            .near(&["flow", "flowcontrol", "rtscts", "xonxoff", "handshake"])
            .only(SERIAL),
        with_default(
            "framing",
            "table",
            "{ by = \"line\" }",
            "How the byte stream is cut into messages, see `framing`.",
        )
        .near(&["frame", "delimiter"])
        .only(SERIAL),
        optional(
            "silence_after",
            "duration, 1 s to 366 d",
            "off",
            "A port that says nothing for this long is reported.",
        )
        .near(&["timeout", "read_timeout", "silence"])
        .only(SERIAL),
    ],
};

/// `framing`
pub static FRAMING: KeyTable =
    KeyTable {
        title: "framing",
        noun: "framing",
        selector: "by",
        meaning: "How a serial port's bytes are cut into messages, as in `framing = { by = \"line\" }`.",
        keys: &[
            required("by", "\"line\"", "Lines that end at CR, LF or CRLF.").near(&["type", "kind", "mode"]),
            with_default("max_bytes", "size, 16 B to 1 MiB", "\"12KiB\"", "A longer line is refused and counted.")
                .near(&["max_length", "max", "limit", "bytes_max"]),
            with_default(
                "first_line",
                "\"drop\" or \"keep\"",
                "\"drop\"",
                "The first line after opening may have lost its beginning; drop it, or keep it.",
            )
            .near(&["first", "keep_first", "skip_first"]),
        ],
    };

const WITH_FIELDS: &[&str] = &["json", "key-value", "csv"];

/// `decode`
pub static DECODE: KeyTable = KeyTable {
    title: "decode",
    noun: "`decode`",
    selector: "format",
    meaning: "From bytes to readings, as in `decode = { format = \"json\" }` or `[source.decode]` under its source.",
    keys: &[
        required(
            "format",
            "\"json\", \"number\", \"key-value\" or \"csv\"",
            "What the payload looks like.",
        ).near(&["type", "codec", "kind"]),
        with_default(
            "device",
            "template",
            "\"\"",
            "Middle of the sensors' names. `{topic}`, `{topic[N]}` and `{topic[N..]}` are the MQTT topic's levels, counted \
             from 0; `{payload.PATH}` is a field of the payload. Empty: the name is `source/quantity`.",
        )
        .near(&["name", "device_name", "sensor"]),
        optional(
            "fields",
            "table",
            "every top-level number and boolean (JSON), every number (key-value), every column (CSV)",
            "What to take, as in `fields = { temperature = \"°C\" }`, see `fields`. At most 512.",
        )
        .near(&["field", "values", "measurements", "mapping", "keys"]),
        optional("quantity", "template", "\"value\", or the one entry of `fields`", "Last part of the sensor's name.")
            .near(&["value", "measurement"])
            .only(&["number"]),
        optional("ts_field", "path", "time of arrival", "The payload's own time: path (JSON), key or column.")
            .near(&["timestamp", "time", "ts", "time_field", "timestamp_field"])
            .only(WITH_FIELDS),
        with_default(
            "ts_unit",
            "\"s\", \"ms\", \"us\", \"ns\" or \"iso8601\"",
            "\"iso8601\"",
            "How that time is written.",
        )
            .near(&["time_unit", "timestamp_unit", "time_format", "ts_format"])
            .only(WITH_FIELDS),
        with_default("time_zone", "IANA name", "\"UTC\"", "Zone of an ISO 8601 time that names none.")
            .near(&["timezone", "tz"])
            .only(WITH_FIELDS),
        with_default(
            "max_future_skew",
            "duration, up to 10 y",
            "\"1h\"",
            "A time further ahead of arrival is doubtful: arrival counts instead.",
        )
            .near(&["max_skew", "future_skew"])
            .only(WITH_FIELDS),
        with_default(
            "max_age",
            "duration, up to 100 y",
            "\"30d\"",
            "A time older than this is doubtful: arrival counts instead.",
        )
            .only(WITH_FIELDS),
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
        optional("separator", "one character", "any blanks, `,` or `;`", "Stands between pairs.")
            .near(&["delimiter", "sep"])
            .only(&["key-value"]),
        optional(
            "assign",
            "one character",
            "`=` or `:`",
            "Stands between key and value.",
        ).near(&["equals"]).only(&["key-value"]),
        with_default(
            "strip_unit",
            "true or false",
            "true",
            "A unit glued to the number (`48%`) is cut off and kept as its unit.",
        )
            .only(&["key-value"]),
        with_default(
            "delimiter",
            "one ASCII character",
            "\",\"",
            "Stands between columns.",
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
        optional("comment", "one ASCII character", "none", "Lines that begin with it are passed over.").only(&["csv"]),
    ],
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
            "Where it is: `ENERGY.Power`, `channels[0].value`; the key (key-value) or column (CSV).",
        )
            .near(&["field", "key", "column", "from", "json_path", "jsonpath"]),
        optional(
            "unit",
            "text, at most 32 bytes",
            "none, or what the payload says",
            "Unit of the value.",
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
            "list of numbers",
            "[]",
            "Raw values that mean \"no value\", as -127 or 85. At most 32.",
        )
            .near(&["ignore", "invalid", "sentinels", "ignore_value"]),
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
