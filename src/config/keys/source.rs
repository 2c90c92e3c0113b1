//! The keys of a source.

use super::general::{CA_FILE, CERT_FILE, KEY_FILE, PASSWORD_FILE, USERNAME};
use super::{KeyTable, optional, required, with_default};

const MQTT: &[&str] = &["mqtt"];
const SERIAL: &[&str] = &["serial"];
const MODBUS: &[&str] = &["modbus"];
/// What is decoded, addressed by URL, or at a port.
const BYTES: &[&str] = &["mqtt", "serial"];
const URL: &[&str] = &["mqtt", "modbus"];
const PORT: &[&str] = &["serial", "modbus"];

/// `[[source]]`
pub static SOURCE: KeyTable = KeyTable {
    title: "[[source]]",
    noun: "a source",
    selector: "type",
    meaning: "One place that readings come from. Sensors are named `source/device/quantity`.",
    keys: &[
        required("name", "name", "First part of its sensors' names. Letters, digits, `-` and `_`; at most 64; unique.")
            .near(&["id"]),
        required("type", "\"mqtt\", \"serial\" or \"modbus\"", "How it is reached.").near(&["kind", "protocol"]),
        optional(
            "preset",
            "name",
            "none",
            "A kind of device: topics, paths, times, units and known sentinels, see `tidegate presets`. The source's own keys \
             come first; those of its `decode` go into every `decode` of the preset that has a use for them.",
        )
        .near(&["template", "profile", "device_type", "vendor"])
        .only(MQTT),
        optional("base", "topic without wildcards", "the preset's", "First levels of the preset's topics.")
            .near(&["base_topic", "prefix", "topic_prefix"])
            .only(MQTT),
        required("decode", "table, or list of tables", "How bytes become readings, see `decode`.")
            .near(&["decoder", "parse", "parser", "payload", "codec"])
            .only(BYTES),
        required(
            "url",
            "address",
            "The broker: `mqtt://host[:port]` or `mqtts://host[:port]`; ports 1883 and 8883 when left out. A Modbus server: \
             `modbus-tcp://host[:port]`, port 502 when left out, or `modbus-rtu-tcp://host:port` where a serial device server hands the frames of \
             a serial line through (\"RTU over TCP\", \"transparent\"); in place of `port`.",
        )
        .near(&["broker", "host", "address", "server", "uri"])
        .only(URL)
        .instead("port"),
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
            .only(PORT)
            .instead("url"),
        with_default("baud", "50 to 4000000", "9600", "Bits per second. With `modbus-rtu-tcp://` those of the line behind the device server.")
            .near(&["baudrate", "baud_rate", "speed", "bps"])
            .only(PORT),
        with_default("data_bits", "7 or 8", "8", "Bits of a character.")
            .near(&["bits", "bytesize", "databits"])
            .only(SERIAL),
        with_default("parity", "\"none\", \"even\" or \"odd\"", "\"none\"", "Parity bit.").only(PORT),
        with_default("stop_bits", "1 or 2", "1", "Stop bits.").near(&["stopbits", "stop"]).only(PORT),
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
        .near(&["read_timeout", "silence"])
        .only(SERIAL),
        required("unit", "tables", "The devices on the line, each a `[[source.unit]]`. At most 247.")
            .near(&["units", "device", "devices", "slave", "slaves", "registers"])
            .only(MODBUS),
        with_default("poll_interval", "duration, 50 ms to 24 h", "\"5s\"", "How often each unit is read.")
            .near(&["poll_every", "interval", "period", "scan_interval", "every"])
            .only(MODBUS),
        with_default(
            "timeout",
            "duration, 10 ms to 60 s",
            "\"1s\"",
            "How long a unit may think about a request; the time that request and answer are on the line comes on top.",
        )
        .near(&["response_timeout", "read_timeout", "reply_timeout"])
        .only(MODBUS),
        with_default("retries", "0 to 10", "1", "How often a request is repeated at once before its unit counts as lost.")
            .near(&["retry", "attempts", "tries"])
            .only(MODBUS),
        optional(
            "send",
            "sequence of bytes",
            "nothing",
            "What a device has to be asked with, as a text or a list of bytes.",
        )
        .near(&["poll", "request", "command", "query"])
        .only(SERIAL),
        with_default("send_every", "duration, 10 ms to 1 d", "\"10s\"", "How often it is asked.")
            .near(&["poll_every", "interval", "poll_interval"])
            .only(SERIAL),
        optional("dtr", "\"on\" or \"off\"", "as the system sets it: on", "The DTR line while the port is open.")
            .only(SERIAL),
        optional("rts", "\"on\" or \"off\"", "as the system sets it: on", "The RTS line while the port is open.")
            .only(SERIAL),
    ],
};
