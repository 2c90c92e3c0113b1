//! The keys of `[upstream]`.

use super::general::{CA_FILE, CERT_FILE, KEY_FILE, PASSWORD_FILE, USERNAME};
use super::{KeyTable, optional, with_default};

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
            "batch",
            "table such as { events_max = 50, bytes_max = \"32KiB\", wait = \"5s\" }",
            "each event is a message",
            "Sends several events in one message. Not with mode = \"binary\".",
        ),
        with_default("compress", "\"none\" or \"zstd\"", "\"none\"", "Compresses payloads of events where that helps.")
            .near(&["compression"]),
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
