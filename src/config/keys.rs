//! Every key of the configuration, declared once.
//!
//! Owns the names, what they take, their defaults and meaning. The loader uses these lists to refuse unknown keys with
//! a suggestion, and [`super::reference()`] makes the reference page from them, so the two cannot drift apart.

/// What happens when a key is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// It is refused.
    Required,
    /// Said in words.
    Words(&'static str),
    /// This value, as it would be written.
    Toml(&'static str),
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// The kind of value, in words.
    pub takes: &'static str,
    /// What happens without it.
    pub default: Default,
    /// What it does.
    pub meaning: &'static str,
    /// Other words for it, from manuals and other programs; suggested, never accepted.
    pub near: &'static [&'static str],
    /// The variants of the table (`type`, `format`) it belongs to; empty: all.
    pub only: &'static [&'static str],
}

impl Key {
    const fn near(self, near: &'static [&'static str]) -> Self {
        Self { near, ..self }
    }

    const fn only(self, only: &'static [&'static str]) -> Self {
        Self { only, ..self }
    }
}

/// A table and its keys.
#[derive(Debug)]
pub struct KeyTable {
    /// As written: `[gateway]`, `[[source]]`, `decode`.
    pub title: &'static str,
    /// In a sentence: "an alarm".
    pub noun: &'static str,
    /// The key that chooses the variant.
    pub selector: &'static str,
    /// What the table is for.
    pub meaning: &'static str,
    /// The keys, in the order of the reference.
    pub keys: &'static [Key],
}

impl KeyTable {
    /// The key of a name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn required(name: &'static str, takes: &'static str, meaning: &'static str) -> Key {
    Key { name, takes, default: Default::Required, meaning, near: &[], only: &[] }
}

const fn optional(name: &'static str, takes: &'static str, without: &'static str, meaning: &'static str) -> Key {
    Key { name, takes, default: Default::Words(without), meaning, near: &[], only: &[] }
}

const fn with_default(name: &'static str, takes: &'static str, toml: &'static str, meaning: &'static str) -> Key {
    Key { name, takes, default: Default::Toml(toml), meaning, near: &[], only: &[] }
}

const MQTT: &[&str] = &["mqtt"];
const SERIAL: &[&str] = &["serial"];

const CA_FILE: Key = optional(
    "ca_file",
    "path",
    "the system's roots",
    "PEM file with the certificates that may sign the broker's. Only with `mqtts://`.",
)
.near(&["ca", "cafile", "ca_cert", "ca_certificate", "tls_ca", "cacert"]);
const CERT_FILE: Key = optional(
    "cert_file",
    "path",
    "no client certificate",
    "PEM file with our certificate chain (mutual TLS). Comes with `key_file`.",
)
.near(&["cert", "certfile", "certificate", "client_cert", "tls_cert"]);
const KEY_FILE: Key = optional(
    "key_file",
    "path",
    "no client certificate",
    "PEM file with the private key of `cert_file`; refused when others can read it.",
)
.near(&["key", "keyfile", "private_key", "client_key", "tls_key"]);
const USERNAME: Key = optional("username", "text", "no login", "User name at the broker.").near(&["user", "login"]);
const PASSWORD_FILE: Key = optional(
    "password_file",
    "path",
    "no password",
    "File that holds the password (its trailing line end does not count); refused when others can read it.",
)
.near(&["password", "pass", "passwd", "pw", "passwordfile", "secret"]);

/// The top of the file.
pub static ROOT: KeyTable =
    KeyTable {
        title: "the file",
        noun: "the file",
        selector: "",
        meaning: "",
        keys: &[
            optional("gateway", "table `[gateway]`", "all defaults", "This gateway.")
                .near(&["general", "global", "agent", "main"]),
            optional("source", "tables `[[source]]`", "nothing is read", "Where readings come from.")
                .near(&["sources", "input", "inputs", "sensor", "sensors", "mqtt", "serial", "port"]),
            optional("alarm", "tables `[[alarm]]`", "no alarm is raised", "What raises an event.").near(&[
                "alarms",
                "alert",
                "alerts",
                "rule",
                "rules",
                "threshold",
                "thresholds",
            ]),
            optional("store", "table `[store]`", "all defaults", "Where events wait until they are delivered.")
                .near(&["storage", "queue", "buffer", "database", "db", "sled"]),
            optional("upstream", "table `[upstream]`", "events are stored and not forwarded", "Where events go.")
                .near(&["output", "outputs", "broker", "forward", "forwarder", "sink", "cloud", "remote"]),
        ],
    };

/// `[gateway]`
pub static GATEWAY: KeyTable = KeyTable {
    title: "[gateway]",
    noun: "[gateway]",
    selector: "",
    meaning: "This gateway: its name and how it runs.",
    keys: &[
        optional(
            "id",
            "name",
            "the host name",
            "Names this gateway in topics and events. Letters, digits, `-` and `_`; at most 64.",
        )
        .near(&["name", "gateway_id", "device_id", "hostname"]),
        with_default("time_zone", "IANA name", "\"UTC\"", "Local time of alarm schedules, as in \"Europe/Berlin\".")
            .near(&["timezone", "tz", "zone"]),
        with_default(
            "shutdown_grace",
            "duration, 0 s to 10 m",
            "\"10s\"",
            "How long a stop may go on delivering; what is left waits in the store.",
        )
        .near(&["grace", "shutdown_timeout", "stop_timeout"]),
        with_default(
            "log_level",
            "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
            "\"info\"",
            "How much is logged.",
        )
        .near(&["log", "loglevel", "level", "verbosity"]),
    ],
};

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
pub static FRAMING: KeyTable = KeyTable {
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
            "The first line after opening may have lost its beginning; drop it, or keep it for devices that wait to be opened.",
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
        required("format", "\"json\", \"number\", \"key-value\" or \"csv\"", "What the payload looks like.").near(&["type", "codec", "kind"]),
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
        with_default("ts_unit", "\"s\", \"ms\", \"us\", \"ns\" or \"iso8601\"", "\"iso8601\"", "How that time is written.")
            .near(&["time_unit", "timestamp_unit", "time_format", "ts_format"])
            .only(WITH_FIELDS),
        with_default("time_zone", "IANA name", "\"UTC\"", "Zone of an ISO 8601 time that names none.")
            .near(&["timezone", "tz"])
            .only(WITH_FIELDS),
        with_default("max_future_skew", "duration, up to 10 y", "\"1h\"", "A time further ahead of arrival is doubtful: arrival counts instead.")
            .near(&["max_skew", "future_skew"])
            .only(WITH_FIELDS),
        with_default("max_age", "duration, up to 100 y", "\"30d\"", "A time older than this is doubtful: arrival counts instead.")
            .only(WITH_FIELDS),
        with_default("carry", "list of paths", "[]", "Payload fields copied into the event, in this order. At most 32.")
            .near(&["attributes", "extra", "include", "tags"])
            .only(WITH_FIELDS),
        with_default("decimal_comma", "true or false", "false", "\"21,5\" is 21.5 and \"1.234,5\" is 1234.5. Never guessed.")
            .near(&["comma", "decimal"]),
        optional("separator", "one character", "any blanks, `,` or `;`", "Stands between pairs.")
            .near(&["delimiter", "sep"])
            .only(&["key-value"]),
        optional("assign", "one character", "`=` or `:`", "Stands between key and value.").near(&["equals"]).only(&["key-value"]),
        with_default("strip_unit", "true or false", "true", "A unit glued to the number (`48%`) is cut off and kept as its unit.")
            .only(&["key-value"]),
        with_default("delimiter", "one ASCII character", "\",\"", "Stands between columns.").near(&["separator", "sep"]).only(&["csv"]),
        optional("columns", "list of names", "needs `header = true`", "The columns, in order. At most 512.").near(&["names"]).only(&["csv"]),
        with_default("header", "true or false", "false", "The first line names the columns.").near(&["has_header"]).only(&["csv"]),
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
        optional("path", "path", "the quantity", "Where it is: `ENERGY.Power`, `channels[0].value`; the key (key-value) or column (CSV).")
            .near(&["field", "key", "column", "from", "json_path", "jsonpath"]),
        optional("unit", "text, at most 32 bytes", "none, or what the payload says", "Unit of the value.").near(&["unit_name", "units"]),
        with_default("scale", "number, not 0", "1", "value = raw * scale + offset.").near(&["factor", "multiplier", "multiply", "gain"]),
        with_default("offset", "number", "0", "value = raw * scale + offset.").near(&["add", "bias"]),
        optional("valid_range", "[low, high]", "any", "A value outside, after scaling, is refused and counted.")
            .near(&["range", "valid", "min_max"]),
        with_default("ignore_values", "list of numbers", "[]", "Raw values that mean \"no value\", as -127 or 85. At most 32.")
            .near(&["ignore", "invalid", "sentinels", "ignore_value"]),
        optional(
            "map",
            "table",
            "none",
            "Raw texts (or `true`/`false`) and their values, as in `map = { ON = true, OFF = false }`; others are refused. At most 256.",
        )
        .near(&["mapping", "enum", "values", "states"]),
        with_default("text", "true or false", "false", "Keep texts as they are, for `equals`. Else a text that is no number and not mapped is refused.")
            .near(&["string", "raw"]),
    ],
};

/// `[[alarm]]`
pub static ALARM: KeyTable = KeyTable {
    title: "[[alarm]]",
    noun: "an alarm",
    selector: "",
    meaning: "One rule over any number of sensors, each on its own. Exactly one of `high`, `low`, `outside`, `equals`, \
              `not_equals`, `rate_above`, `deviation_from` and `stale_after`. A value at the limit does not raise.",
    keys: &[
        required("name", "name", "Letters, digits, `-` and `_`; at most 64; unique.").near(&["id", "alarm"]),
        optional("description", "text, at most 512 bytes", "none", "Told to the operator and in the event.").near(&["text", "message", "comment", "title"]),
        required("sensors", "list of patterns", "Sensors, with `+` for one level and a last `#` for all below. At most 64.")
            .near(&["sensor", "topic", "topics", "source", "sources", "pattern"]),
        optional("high", "number", "", "Raised above it.").near(&[
            "threshold", "above", "max", "maximum", "upper", "upper_limit", "limit", "over", "gt", "greater_than", "hi", "high_limit",
        ]),
        optional("low", "number", "", "Raised below it.").near(&[
            "below", "min", "minimum", "lower", "lower_limit", "under", "lt", "less_than", "low_limit",
        ]),
        optional("outside", "[low, high]", "", "Raised below the first or above the second.").near(&["range", "between", "band", "limits"]),
        optional("equals", "value or list", "", "Raised when the state is one of these. At most 64.").near(&["equal", "eq", "is", "state", "value"]),
        optional("not_equals", "value or list", "", "Raised when the state is none of these. At most 64.").near(&["not_equal", "ne", "is_not"]),
        optional("rate_above", "rate, as \"5/min\"", "", "Raised when the value changes faster.").near(&["rate", "rate_of_change", "slope"]),
        with_default("rate_window", "duration, 1 s to 7 d", "\"5m\"", "With `rate_above`: the stretch of readings the slope is fitted to.")
            .near(&["window"]),
        with_default("rate_direction", "\"rising\", \"falling\" or \"both\"", "\"both\"", "With `rate_above`: which direction counts.")
            .near(&["direction"]),
        optional("deviation_from", "sensor or number", "", "Raised when further than `deviation_above` from it.").near(&["deviation", "set_point", "setpoint"]),
        optional("deviation_above", "number above 0", "required with `deviation_from`", "The largest distance allowed.").near(&["max_deviation"]),
        optional("stale_after", "duration, 1 s to 366 d", "", "Raised when no fresh reading came for this long.")
            .near(&["timeout", "stale", "silent_after", "max_age", "missing_after"]),
        with_default(
            "deadband",
            "number, or a rate with `rate_above`",
            "0",
            "How far back inside the limit a value must be to clear. Not with `equals`, `not_equals` and `stale_after`.",
        )
        .near(&["hysteresis", "dead_band", "tolerance"]),
        with_default("on_delay", "duration, up to 366 d", "\"0s\"", "How long it must hold before the alarm is raised.")
            .near(&["delay", "for", "duration", "hold"]),
        with_default("off_delay", "duration, up to 366 d", "\"0s\"", "How long it must be gone before the alarm clears.").near(&["clear_delay"]),
        with_default("min_samples", "1 to 1000", "1", "Readings in violation, in a row, before the alarm is raised. Not with `stale_after`.")
            .near(&["samples", "count", "min_count"]),
        optional("repeat_every", "duration, 1 s to 366 d", "off", "While it is active, remind.").near(&["repeat", "remind", "remind_every"]),
        with_default("latched", "true or false", "false", "Stays active until acknowledged.").near(&["latch", "latching"]),
        with_default("hold_off", "duration, up to 366 d", "\"0s\"", "After start-up nothing is raised for this long.").near(&["holdoff", "startup_delay"]),
        optional("group", "name", "none", "Of the alarms of one group on one sensor only the most severe is active."),
        with_default("severity", "\"info\", \"low\", \"medium\", \"high\" or \"critical\"", "\"medium\"", "How urgent.")
            .near(&["priority", "level", "urgency"]),
        with_default("context", "0 to 100", "10", "Readings before the crossing that go into the event.").near(&["history"]),
        with_default("schedule", "list of spans", "[]", "In force only then, as in [\"mon-fri 06:00-18:00\"]; empty: always. At most 64.")
            .near(&["active", "when", "hours", "time"]),
    ],
};

/// The keys of [`ALARM`] of which there must be exactly one.
pub static CONDITIONS: [&str; 8] =
    ["high", "low", "outside", "equals", "not_equals", "rate_above", "deviation_from", "stale_after"];

/// `[store]`
pub static STORE: KeyTable = KeyTable {
    title: "[store]",
    noun: "[store]",
    selector: "",
    meaning: "Where events wait, safe from power cuts, until they are delivered.",
    keys: &[
        with_default("path", "path", "\"/var/lib/tidegate\"", "A directory of its own, on a disk that keeps what it is told to keep.")
            .near(&["dir", "directory", "folder", "file"]),
        with_default("max_bytes", "size, 32 MiB to 1 TiB", "\"256MiB\"", "All it may take on the disk.")
            .near(&["size", "max_size", "limit", "quota", "capacity", "bytes_max"]),
        with_default(
            "when_full",
            "\"drop-oldest\", \"drop-least-severe\" or \"reject\"",
            "\"drop-oldest\"",
            "What gives way when it is full. What is dropped is announced; `reject` lets readings wait at their broker.",
        )
        .near(&["full", "overflow", "on_full", "drop", "policy"]),
        with_default(
            "commit_interval",
            "duration, up to 1 m",
            "\"0s\"",
            "How long events below `critical` may wait for company before they are written. More is kinder to flash.",
        )
        .near(&["flush_interval", "sync_interval", "flush", "sync"]),
    ],
};

/// `[upstream]`
pub static UPSTREAM: KeyTable = KeyTable {
    title: "[upstream]",
    noun: "[upstream]",
    selector: "",
    meaning: "The broker that events go to.",
    keys: &[
        required(
            "url",
            "address",
            "`mqtts://host[:port]`, or `mqtt://` to this machine; ports 8883 and 1883 when left out.",
        )
        .near(&["broker", "host", "address", "server", "uri", "endpoint"]),
        with_default(
            "allow_plaintext",
            "true or false",
            "false",
            "Lets `mqtt://` go to another machine: anyone on the way can read and change events.",
        )
        .near(&["plaintext", "insecure", "allow_insecure"]),
        CA_FILE,
        CERT_FILE,
        KEY_FILE,
        USERNAME,
        PASSWORD_FILE,
        optional("client_id", "text, at most 128 bytes", "`tidegate-<gateway>`", "Must be this gateway's own.")
            .near(&["clientid", "client"]),
        with_default(
            "topic",
            "template",
            "\"tidegate/{gateway}/{severity}/{sensor}\"",
            "Where events are published: `{gateway}`, `{severity}`, `{sensor}`, `{type}` and `{alarm}` are filled in. \
             At most 7 slashes.",
        )
        .near(&["topics", "publish", "prefix", "base_topic"]),
        with_default(
            "encoding",
            "\"json\" or \"cbor\"",
            "\"json\"",
            "How events are written (CloudEvents, structured).",
        )
        .near(&["format", "codec", "content_type"]),
        with_default("window", "1 to 1000", "256", "Events in flight at a time.").near(&[
            "inflight",
            "max_inflight",
            "inflight_max",
        ]),
        with_default(
            "payload_bytes_max",
            "size, 4 KiB to 16 MiB",
            "\"128KiB\"",
            "A larger event is set aside instead of sent.",
        )
        .near(&["max_payload", "packet_bytes_max", "max_packet_size"]),
        with_default("keep_alive", "duration, 1 s to 18 h", "\"30s\"", "Silence after which the connection is tested.")
            .near(&["keepalive", "ping_interval"]),
        with_default("connect_timeout", "duration, 1 s to 10 m", "\"20s\"", "For TCP, TLS and login together.")
            .near(&["timeout"]),
        with_default(
            "ack_timeout",
            "duration, 1 s to 1 h",
            "\"60s\"",
            "A connection that acknowledges nothing for this long is given up.",
        ),
        with_default("backoff_min", "duration, 100 ms to 1 h", "\"1s\"", "First wait before connecting again.")
            .near(&["retry_min", "reconnect_min"]),
        with_default("backoff_max", "duration, up to 1 d", "\"5m\"", "Longest wait before connecting again.").near(&[
            "retry_max",
            "reconnect_max",
            "backoff",
        ]),
    ],
};

/// All tables that hold keys, in the order of the reference.
pub static TABLES: [&KeyTable; 8] = [&GATEWAY, &SOURCE, &FRAMING, &DECODE, &FIELD, &ALARM, &STORE, &UPSTREAM];
