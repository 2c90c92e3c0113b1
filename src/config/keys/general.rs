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
              this table is there. About 3 to 15 bytes a reading on the disk, written once a minute or every 64 kB; \
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

/// `[upstream]`
pub static UPSTREAM: KeyTable = KeyTable {
    title: "[upstream]",
    noun: "[upstream]",
    selector: "",
    meaning: "The broker that events go to.",
    keys: &[
        optional(
            "url",
            "address",
            "`urls`; one of the two is required",
            "`mqtts://host[:port]`, or `mqtt://` to this machine; ports 8883 and 1883 when left out.",
        )
        .near(&["broker", "host", "address", "server", "uri", "endpoint"]),
        optional(
            "urls",
            "list of 1 to 8 addresses",
            "`url`",
            "Several brokers in order of preference, with the same login. When one is lost the next takes over, and \
             when an earlier one works again we move back to it.",
        )
        .near(&["brokers", "hosts", "servers", "failover", "fallback"]),
        with_default(
            "probe_every",
            "duration, 1 s to 1 d",
            "\"3m\"",
            "How often the brokers before the present one are tried, under the client id with `-probe` behind it.",
        )
        .near(&["failback_every", "check_every", "probe_interval"]),
        with_default(
            "return_after",
            "duration, 1 s to 1 d",
            "\"1m\"",
            "How long one of them must answer before we move back to it.",
        )
        .near(&["failback_after", "stable_after"]),
        with_default(
            "profile",
            "\"portable\", \"aws-iot-core\", \"azure-event-grid\", \"nats\", \"rabbitmq\" or \"mosquitto\"",
            "\"portable\"",
            "What kind of broker it is: which topics and sizes it takes. `portable` is what all of them take.",
        )
        .near(&["broker_type", "kind", "flavour", "flavor", "vendor", "compatibility"]),
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
             At most 7 slashes (other profiles: more); a character that the profile does not take becomes `_`.",
        )
        .near(&["topics", "publish", "prefix", "base_topic"]),
        with_default(
            "status_topic",
            "template, or \"off\"",
            "\"tidegate/{gateway}/status\"",
            "Where the gateway says that it is there, retained, with a last will. A broker that forbids the topic lets \
             no event through: allow it there or turn it \"off\".",
        )
        .near(&["status", "birth_topic", "will_topic", "lwt", "availability_topic"]),
        with_default(
            "encoding",
            "\"json\" or \"cbor\"",
            "\"json\"",
            "How events are written (CloudEvents, structured).",
        )
        .near(&["format", "codec", "content_type"]),
        with_default(
            "protocol",
            "\"3.1.1\" or \"5\"",
            "\"3.1.1\"",
            "The version of MQTT that the broker is spoken to in.",
        )
        .near(&["mqtt_version", "protocol_version", "version", "mqtt"]),
        with_default(
            "mode",
            "\"structured\" or \"binary\"",
            "\"structured\"",
            "Binary: attributes as user properties, only the data as payload (MQTT 5).",
        )
        .near(&["content_mode", "cloudevents_mode"]),
        optional(
            "message_expiry",
            "duration, 1 s to 10 years",
            "never",
            "After this long, counted from when the broker gets it, the broker drops an event nobody fetched (MQTT 5).",
        )
        .near(&["expiry", "ttl", "message_expiry_interval"]),
        optional(
            "user_properties",
            "table of texts, at most 16",
            "none",
            "Sent with every event, as in `{ site = \"north\" }` (MQTT 5).",
        )
        .near(&["properties", "user_property"]),
        optional("alpn", "list of texts", "what the `profile` demands; else none", "Protocol names offered in the TLS handshake, as in `[\"mqtt\"]`.")
            .near(&["alpn_protocols"]),
        with_default("window", "1 to 1000", "256", "Events in flight at a time.").near(&[
            "inflight",
            "max_inflight",
            "inflight_max",
        ]),
        with_default(
            "payload_bytes_max",
            "size, 4 KiB to 16 MiB",
            "\"128KiB\"",
            "A larger event is set aside instead of sent. At most what the profile takes.",
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
        with_default(
            "order",
            "\"oldest-first\", \"live-first\" or \"severity-first\"",
            "\"oldest-first\"",
            "What is sent first when more waits than the link takes. With \"live-first\" what happens now goes before \
             what waited for an outage; with \"severity-first\" critical events go first, then high ones. Events of one \
             sensor always keep their order, so what is sent early brings that sensor's earlier events along \
             (\"severity-first\") or waits for them (\"live-first\"). A quarter of the link stays with the oldest.",
        )
        .near(&["priority", "queue_order", "send_order"]),
        optional(
            "rate_limit",
            "table such as { events_per_second = 50, bytes_per_second = \"64KiB\" }",
            "what the `profile` takes; else no limit",
            "The most that is sent in a second, counted over all events; one second's worth may go at once.",
        )
        .near(&["rate", "throttle", "bandwidth", "max_rate"]),
        optional(
            "connect_when",
            "cron expression, five fields, in `gateway.time_zone`",
            "connected all the time",
            "For metered links: connects at these minutes, sends what waits and hangs up. While the clock is not \
             synchronized the schedule's interval counts from call to call instead.",
        )
        .near(&["schedule", "cron", "connect_schedule", "call"]),
        with_default(
            "connect_for",
            "duration, 10 s to 1 d",
            "\"5m\"",
            "The longest a scheduled call lasts; with `connect_when`.",
        )
        .near(&["call_for", "connect_duration"]),
        with_default(
            "connect_at_once",
            "\"info\", \"low\", \"medium\", \"high\", \"critical\" or \"never\"",
            "\"critical\"",
            "Events this severe or more severe are called in at once; with `connect_when`.",
        )
        .near(&["call_at_once", "urgent"]),
    ],
};

/// `rate_limit`
pub static RATE_LIMIT: KeyTable =
    KeyTable {
        title: "rate_limit",
        noun: "`rate_limit`",
        selector: "",
        meaning: "The most that is sent upstream in a second; one key or both.",
        keys: &[
            optional("events_per_second", "1 to 100000", "what the `profile` takes; else any number", "Events.")
                .near(&["events", "per_second", "rate"]),
            optional(
                "bytes_per_second",
                "size, 64 B to 1 GiB",
                "any number",
                "Bytes of topics and payloads; what TLS, TCP and IP add (about a tenth) comes on top.",
            )
            .near(&["bytes", "bandwidth", "bytes_per_sec"]),
        ],
    };
