//! The keys of the tables of which there is one.

use super::{Key, KeyTable, optional, required, with_default};

pub(super) const CA_FILE: Key = optional(
    "ca_file",
    "path",
    "the system's roots",
    "PEM file with the certificates that may sign the broker's. Only with `mqtts://`.",
)
.near(&["ca", "cafile", "ca_cert", "ca_certificate", "tls_ca", "cacert"]);
pub(super) const CERT_FILE: Key = optional(
    "cert_file",
    "path",
    "no client certificate",
    "PEM file with our certificate chain (mutual TLS). Comes with `key_file`.",
)
.near(&["cert", "certfile", "certificate", "client_cert", "tls_cert"]);
pub(super) const KEY_FILE: Key = optional(
    "key_file",
    "path",
    "no client certificate",
    "PEM file with the private key of `cert_file`; refused when others can read it.",
)
.near(&["key", "keyfile", "private_key", "client_key", "tls_key"]);
pub(super) const USERNAME: Key =
    optional("username", "text", "no login", "User name at the broker.").near(&["user", "login"]);
pub(super) const PASSWORD_FILE: Key = optional(
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
            optional("gateway", "table", "all defaults", "This gateway.").near(&["general", "global", "agent", "main"]),
            optional("source", "tables", "nothing is read", "Where readings come from.")
                .near(&["sources", "input", "inputs", "sensor", "sensors", "mqtt", "serial", "port"]),
            optional("alarm", "tables", "no alarm is raised", "What raises an event.").near(&[
                "alarms",
                "alert",
                "alerts",
                "rule",
                "rules",
                "threshold",
                "thresholds",
            ]),
            optional("store", "table", "all defaults", "Where events wait until they are delivered.")
                .near(&["storage", "queue", "buffer", "database", "db", "sled"]),
            optional("http", "table", "all defaults", "The local page.").near(&[
                "page",
                "web",
                "ui",
                "dashboard",
                "server",
                "listen",
            ]),
            optional("upstream", "table", "events are stored and not forwarded", "Where events go.").near(&[
                "output",
                "outputs",
                "broker",
                "forward",
                "forwarder",
                "sink",
                "cloud",
                "remote",
            ]),
            optional("home_assistant", "table", "off", "Alarms as entities of Home Assistant.").near(&[
                "homeassistant",
                "hass",
                "ha",
                "home-assistant",
            ]),
            optional("record", "table", "readings are not kept", "Recent readings, kept for `tidegate backtest`.")
                .near(&["recorder", "recording", "readings"]),
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
        with_default(
            "log_format",
            "\"auto\", \"text\" or \"json\"",
            "\"auto\"",
            "How lines are written. \"auto\": to the journal with their fields under systemd, else as text.",
        )
        .near(&["log_style", "logformat", "format"]),
        optional(
            "watch",
            "true or false",
            "on when an alarm names a sensor `gateway/...`",
            "Makes the gateway a source of its own readings: `gateway/cpu_temperature` (°C), `under_voltage`, \
             `disk_free` (bytes) and `disk_free_percent` of the store's disk, `memory_available` (bytes), `load_1m`, \
             `clock_synchronized`, `upstream_connected`, `queue_events` and `uptime` (s, of the machine). What the \
             machine does not have is left out.",
        )
        .near(&["self", "self_monitoring", "health", "monitor", "internal"]),
        with_default(
            "watch_every",
            "duration, 1 s to 1 h",
            "\"30s\"",
            "How often the gateway's own readings are taken.",
        )
        .near(&["watch_interval", "interval"]),
        with_default(
            "control_socket",
            "absolute path, or \"off\"",
            "\"/run/tidegate/control.sock\"",
            "Where `tidegate status`, `tidegate alarms` and `tidegate events` ask the running gateway.",
        )
        .near(&["socket", "control", "socket_path"]),
    ],
};

/// `[store]`
pub static STORE: KeyTable = KeyTable {
    title: "[store]",
    noun: "[store]",
    selector: "",
    meaning: "Where events wait, safe from power cuts, until they are delivered.",
    keys: &[
        with_default(
            "path",
            "path",
            "\"/var/lib/tidegate\"",
            "A directory of its own, on a disk that keeps what it is told to keep.",
        )
            .near(&["dir", "directory", "folder", "file"]),
        with_default("max_bytes", "size, 32 MiB to 1 TiB", "\"256MiB\"", "All it may take on the disk.")
            .near(&["size", "max_size", "limit", "quota", "capacity", "bytes_max"]),
        with_default(
            "retain_delivered",
            "size, 8 MiB to half of `max_bytes`, or \"0B\"",
            "\"0B\"",
            "How much of what is delivered is kept for `tidegate events` and `tidegate replay`; \"0B\" keeps nothing. Counts within `max_bytes`, and gives way first when room is needed.",
        )
            .near(&["retain", "retention", "keep", "keep_delivered", "history", "archive", "audit"]),
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

/// `[record]`
pub static RECORD: KeyTable = KeyTable {
    title: "[record]",
    noun: "[record]",
    selector: "",
    meaning: "Keeps recent readings, so that `tidegate backtest` can say what other alarms would have done. Off unless \
              this table is there. About 8 bytes a reading on the disk (3 to 17, by what it is) where five sensors of a \
              kind speak every ten seconds, 6 at one a second, 14 at one a minute; written once a minute or every 64 kB; \
              attributes (`carry`) are not kept. A kill costs the last minute.",
    keys: &[
        required(
            "path",
            "absolute path",
            "A folder of its own outside the store's; the service must be allowed to write there.",
        )
        .near(&["dir", "directory", "folder", "file"]),
        with_default(
            "max_bytes",
            "size, 1 MiB to 1 TiB",
            "\"64MiB\"",
            "All it may take; the oldest readings make room.",
        )
        .near(&["size", "max_size", "limit", "quota", "capacity", "bytes_max"]),
    ],
};
