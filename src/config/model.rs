//! The configuration as the rest of the program sees it: typed, complete, already checked.
//!
//! Owns the types and the meaning and unit of every setting. Never parses (that is `load` and its section files) and
//! never touches the system.

mod alarm;
mod framing;
mod gateway;
mod http;
mod modbus;
mod plain;
mod reach;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use alarm::{Alarm, Condition, RateDirection, ScheduleSpan, SetPoint, Severity};
pub use framing::{Block, BlockLength, CHECKSUMS, Checksum, ChecksumKind, Common, Crc, Framing};
pub use gateway::{CONTROL_SOCKET, Gateway, LogFormat, LogLevel};
pub use reach::{Packing, Reach};

pub use modbus::{
    BITS_PER_READ_MAX, ByteOrder, ModbusLine, ModbusSource, ModbusUnit, REGISTERS_PER_READ_MAX, Register, RegisterType,
    ScaleRegister, Table,
};

pub use super::cron::Cron;
use crate::forward::profile::Profile;
use crate::reading::Value;
pub use http::{HTTP_LISTEN, Http};

/// A whole, valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[[source]]`, names unique.
    pub sources: Vec<Source>,
    /// `[[alarm]]`, names unique.
    pub alarms: Vec<Alarm>,
    /// `[store]`
    pub store: Store,
    /// `[upstream]`; without it events are stored and not forwarded.
    pub upstream: Option<Upstream>,
    /// `[record]`; without it no readings are kept.
    pub record: Option<Record>,
    /// `[http]`
    pub http: Http,
}

impl Config {
    /// Whether the gateway is a source of its own readings: if so configured, or else if an alarm names one.
    pub fn watches_itself(&self) -> bool {
        self.gateway.watch.unwrap_or_else(|| self.alarms.iter().any(Alarm::names_gateway))
    }
}

/// `[[source]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// `name`: first part of its sensors' names. Letters, digits, `-` and `_`.
    pub name: Arc<str>,
    /// `type` and the keys that belong to it.
    pub kind: SourceKind,
    /// `decode`, or the first of them where it is a list; [`Decode::none`] where the kind knows what its bytes mean.
    pub decode: Decode,
    /// The further ones of a list: the first whose `topics` match decides.
    pub further: Vec<Decode>,
}

/// How a source is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    /// `type = "mqtt"`
    Mqtt(MqttSource),
    /// `type = "serial"`
    Serial(SerialSource),
    /// `type = "modbus"`
    Modbus(ModbusSource),
}

/// Where a broker is: `mqtt://host[:port]` or `mqtts://host[:port]`; default ports 1883 and 8883.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// `mqtts`
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Who we are to a broker, and whom we trust. Files are read anew at every connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    /// `ca_file`: PEM; `None` means the system's roots.
    pub ca_file: Option<PathBuf>,
    /// `cert_file`: PEM chain for mutual TLS; comes with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// `key_file`: PEM; refused when others can read it.
    pub key_file: Option<PathBuf>,
    /// `username`
    pub username: Option<String>,
    /// `password_file`: its content without the trailing line end; refused when others can read it.
    pub password_file: Option<PathBuf>,
}

/// `[[source]]` with `type = "mqtt"`
#[derive(Clone, Debug, PartialEq)]
pub struct MqttSource {
    /// `url`
    pub url: BrokerUrl,
    /// `client_id`: must not change, the broker keeps our messages under it. Default `tidegate-<gateway>-<source>`.
    pub client_id: String,
    /// `topics`: MQTT filters, at least one; `$share/group/filter` is allowed.
    pub topics: Vec<String>,
    /// `qos`: 0, 1 or 2 asked for. Default 1.
    pub qos: u8,
    /// Keys of [`Credentials`].
    pub credentials: Credentials,
    /// `keep_alive`. Default 30 s, at least 1 s.
    pub keep_alive: Duration,
    /// `inflight_max`: messages taken and not yet acknowledged. Default 1,000.
    pub inflight_max: u16,
    /// `packet_bytes_max`: larger messages are refused and counted. Default 256 KiB.
    pub packet_bytes_max: usize,
    /// `retained_max_age`: a retained message whose payload time is older is not a fresh reading; one without a time
    /// never is. Default 1 h.
    pub retained_max_age: Duration,
}

/// `[[source]]` with `type = "serial"`
#[derive(Clone, Debug, PartialEq)]
pub struct SerialSource {
    /// `port`: best a path under `/dev/serial/by-id`.
    pub port: PathBuf,
    /// `baud`. Default 9600.
    pub baud: u32,
    /// `data_bits`: 7 or 8. Default 8.
    pub data_bits: u8,
    /// `parity`: "none", "even", "odd". Default none.
    pub parity: Parity,
    /// `stop_bits`: 1 or 2. Default 1.
    pub stop_bits: u8,
    /// `flow_control`: "none", "software", "hardware". Default none.
    pub flow_control: FlowControl,
    /// `framing`
    pub framing: Framing,
    /// `silence_after`: a port that says nothing for this long is reported. Default off.
    pub silence_after: Option<Duration>,
    /// `send` and `send_every`: what a device has to be asked with, and how often.
    pub ask: Option<(Vec<u8>, Duration)>,
    /// `dtr` and `rts`: `Some(true)` for "on"; `None` leaves the line as the system sets it, which is on.
    pub dtr: Option<bool>,
    /// See `dtr`.
    pub rts: Option<bool>,
}

/// Serial parity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Parity {
    None,
    Even,
    Odd,
}

/// Serial flow control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum FlowControl {
    None,
    Software,
    Hardware,
}

/// `decode`: from bytes to readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Decode {
    /// `format` and the keys that belong to it.
    pub format: Format,
    /// `device`: template of the sensor name's middle. `{topic}`, `{topic[N]}` and `{topic[N..]}` are the MQTT topic's
    /// levels; `{payload.PATH}` a field of the payload. Empty: the name is `source/quantity`.
    pub device: Template,
    /// `fields`; empty means every top-level number and boolean (JSON), every number (key-value).
    pub fields: Vec<Field>,
    /// `ts_field`: path (JSON), key or column of the payload's own time.
    pub ts_field: Option<String>,
    /// `ts_unit`. Default iso8601.
    pub ts_unit: TsUnit,
    /// `time_zone`: of an iso8601 time without an offset. Default "UTC".
    pub time_zone: String,
    /// `max_future_skew`: a payload time further ahead of arrival is doubtful. Default 1 h.
    pub max_future_skew: Duration,
    /// `max_age`: a payload time older than this is doubtful. Default 30 d.
    pub max_age: Duration,
    /// `carry`: payload fields copied into the event's data as attributes, in this order.
    pub carry: Vec<Arc<str>>,
    /// `decimal_comma`: "21,5" is 21.5 and "1.234,5" is 1234.5. Default false; never guessed.
    pub decimal_comma: bool,
    /// The keys that reach beyond plain fields; all empty by default.
    pub reach: Reach,
}

/// `format`
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// `"json"`
    Json,
    /// `"cbor"`: as JSON.
    Cbor,
    /// `"senml"`: RFC 8428, JSON or CBOR.
    Senml,
    /// `"sparkplug-b"`
    SparkplugB,
    /// `"homie"`: versions 3 to 5.
    Homie,
    /// `"jq"`: JSON through an expression.
    Jq {
        /// `expression`
        expression: String,
    },
    /// `"skip"`: messages that are no readings.
    Skip,
    /// `"number"`: the whole payload is one value. Quantity from the single `fields` entry, or `quantity`
    /// (a template, default "value").
    Number {
        /// `quantity`
        quantity: Template,
    },
    /// `"key-value"`: `t=21.5 h=48%`.
    KeyValue {
        /// `separator` between pairs; default any blanks, `,` or `;`.
        separator: Option<char>,
        /// `assign` between key and value; default `=` or `:`.
        assign: Option<char>,
        /// `strip_unit`: a unit glued to the number is cut off and kept. Default true.
        strip_unit: bool,
    },
    /// `"csv"`
    Csv {
        /// `delimiter`. Default `,`.
        delimiter: u8,
        /// `columns`: their names, in order; empty with `header = true`.
        columns: Vec<String>,
        /// `header`: the first line names the columns.
        header: bool,
        /// `comment`: lines that begin with it are passed over.
        comment: Option<u8>,
    },
    /// `"binary"`: one fixed layout; the fields' paths are places.
    Binary,
    /// `"nmea"`: NMEA 0183.
    Nmea {
        /// `checksum = "optional"`: take sentences without one.
        unchecked: bool,
    },
    /// `"p1"`: a smart meter's telegram.
    P1,
    /// `"vedirect"`: a Victron text block.
    VeDirect,
    /// `"scale"`: what balances and scales print.
    Scale {
        /// `unstable = "keep"`: take weights that are not stable yet.
        keep_unstable: bool,
    },
}

/// A text with places to fill in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// Stands for itself.
    Text(Arc<str>),
    /// `{topic}`: the whole topic.
    Topic,
    /// `{topic[N]}`: level N, from 0.
    TopicLevel(usize),
    /// `{topic[N..]}`: all levels from N on.
    TopicFrom(usize),
    /// `{payload.PATH}`
    Payload(String),
    /// `{match[N]}`: what the N-th wildcard of the field's path stands for, from 0.
    Match(usize),
    /// `{gateway}`, `{severity}`, `{sensor}`, `{type}`, `{alarm}`: in upstream topics only.
    Event(EventPart),
}

/// What an upstream topic can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum EventPart {
    Gateway,
    Severity,
    Sensor,
    Type,
    Alarm,
}

/// One quantity to take from a payload. Short form `temperature = "°C"` is path = quantity = `temperature`.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The table's key: last part of the sensor's name.
    pub quantity: Arc<str>,
    /// `path`: `ENERGY.Power`, `channels[0].value`; for key-value the key, for CSV the column. Default the quantity.
    pub path: String,
    /// `unit`
    pub unit: Option<Arc<str>>,
    /// `unit = { path = ".." }`: where the payload names it.
    pub unit_path: Option<String>,
    /// `scale`: value = raw * scale + offset. Default 1.
    pub scale: f64,
    /// `offset`. Default 0.
    pub offset: f64,
    /// `valid_range = [low, high]`, inclusive, after scaling; outside is refused and counted.
    pub valid_range: Option<(f64, f64)>,
    /// `ignore_values`: raw sentinels that mean "no value".
    pub ignore_values: Vec<f64>,
    /// `map = { ON = 1, open = true }`: raw text (or `true`/`false`) to value; with a map an unlisted text is refused.
    pub map: Vec<(Arc<str>, Value)>,
    /// `text`: keep texts as they are, for `equals`. Default false: a text that is no number and not mapped is refused.
    pub text: bool,
}

/// Unit of a payload's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TsUnit {
    Seconds,
    Millis,
    Micros,
    Nanos,
    Iso8601,
    /// A text is ISO 8601 or a number, a number's unit follows from its size.
    Auto,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// `path`. Default `/var/lib/tidegate`.
    pub path: PathBuf,
    /// `max_bytes`: all bytes on disk, at least 32 MiB. Default 256 MiB.
    pub max_bytes: u64,
    /// `retain_delivered`: bytes of delivered events to keep; 0 keeps none. Default 0.
    pub retain_delivered: u64,
    /// `when_full`. Default drop-oldest.
    pub when_full: WhenFull,
    /// `commit_interval`: how long events below `critical` may wait for company before a sync. Default 0.
    pub commit_interval: Duration,
}

/// `[record]`: readings kept for `tidegate backtest`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// `path`: a folder of its own, outside the store's.
    pub path: PathBuf,
    /// `max_bytes`: all its files, 1 MiB to 1 TiB. Default 64 MiB.
    pub max_bytes: u64,
}

/// What gives way when the store is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// `"drop-oldest"`
    DropOldest,
    /// `"drop-least-severe"`: the oldest among the least severe.
    DropLeastSevere,
    /// `"reject"`: nothing; readings wait at their broker.
    Reject,
}

/// `[upstream]`
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The broker to connect to: `url`, or the first of `urls`; of the forwarder's own copy the one whose turn it is.
    pub url: BrokerUrl,
    /// `urls`, or `url` alone: all brokers in order of preference, all with TLS or all without. Never empty.
    pub urls: Vec<BrokerUrl>,
    /// `probe_every`: how often the brokers before the present one are tried. Default 3 min.
    pub probe_every: Duration,
    /// `return_after`: how long one of them must have answered before we move back to it. Default 1 min.
    pub return_after: Duration,
    /// `profile`: what kind of broker it is. Default portable.
    pub profile: Profile,
    /// `status_topic`, filled in: where birth and last will go; `None` for "off". Default `tidegate/<gateway>/status`.
    pub status_topic: Option<Arc<str>>,
    /// Keys of [`Credentials`].
    pub credentials: Credentials,
    /// `allow_plaintext`: lets `mqtt://` go to a host that is not loopback. Default false.
    pub allow_plaintext: bool,
    /// `client_id`. Default `tidegate-<gateway>`.
    pub client_id: String,
    /// `topic`. Default `tidegate/{gateway}/{severity}/{sensor}`.
    pub topic: Template,
    /// `encoding`: "json" or "cbor". Default json.
    pub encoding: Encoding,
    /// `protocol`: "3.1.1" or "5". Default 3.1.1.
    pub protocol: Protocol,
    /// `mode`: "structured" or "binary" (MQTT 5). Default structured.
    pub mode: Mode,
    /// `message_expiry`: after how long the broker drops an event that nobody has fetched (MQTT 5). Default never.
    pub message_expiry: Option<Duration>,
    /// `user_properties`: sent with every event (MQTT 5), in the order written. Default none.
    pub user_properties: Vec<(String, String)>,
    /// `alpn`: protocol names offered in the TLS handshake, the preferred first. Default: what the profile
    /// demands, see [`Upstream::alpn`].
    pub alpn: Vec<String>,
    /// `window`: events in flight, 1 to 1,000. Default 256.
    pub window: u16,
    /// `payload_bytes_max`: larger events are not sent but quarantined. Default 128 KiB.
    pub payload_bytes_max: usize,
    /// `keep_alive`. Default 30 s.
    pub keep_alive: Duration,
    /// `connect_timeout`: TCP, TLS and CONNACK together. Default 20 s.
    pub connect_timeout: Duration,
    /// `ack_timeout`: a connection that acknowledges nothing for this long while events are in flight is given up.
    /// Default 60 s.
    pub ack_timeout: Duration,
    /// `backoff_min`. Default 1 s.
    pub backoff_min: Duration,
    /// `backoff_max`. Default 5 min.
    pub backoff_max: Duration,
    /// `order`: what of a backlog goes first. Default oldest-first.
    pub order: Order,
    /// `rate_limit`. Default: what the profile takes, see [`Profile::publishes_per_second`].
    pub rate_limit: RateLimit,
    /// `connect_when` and what goes with it. Default: connected all the time.
    pub calls: Option<CallPlan>,
}

/// `order`: what is sent first after an outage. Events of one sensor keep their order whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// `"oldest-first"`: as they were stored.
    #[default]
    OldestFirst,
    /// `"live-first"`: what happens now before what waited, sensor by sensor.
    LiveFirst,
    /// `"severity-first"`: critical, then high, then the others.
    SeverityFirst,
}

/// `rate_limit`: how much may be sent in a second; each at least 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// `events_per_second`
    pub events_per_second: Option<u32>,
    /// `bytes_per_second`: of topics and payloads.
    pub bytes_per_second: Option<u64>,
}

/// When to be connected, for links that are paid by the minute or the megabyte.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPlan {
    /// `connect_when`
    pub when: Cron,
    /// `gateway.time_zone`, in which `when` is read.
    pub time_zone: String,
    /// `connect_for`: the longest a call lasts. Default 5 min.
    pub longest: Duration,
    /// `connect_at_once`: events this severe or more do not wait for the schedule. Default critical; `None`: never.
    pub at_once: Option<Severity>,
}

/// The version of MQTT spoken upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `"3.1.1"`
    V311,
    /// `"5"`
    V5,
}

impl Protocol {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V311 => "MQTT 3.1.1",
            Self::V5 => "MQTT 5",
        }
    }
}

/// How an event lies in a message (CloudEvents MQTT binding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `"structured"`: attributes and data together in the payload.
    Structured,
    /// `"binary"`: attributes as user properties, the data alone as payload.
    Binary,
}

/// How events are written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// CloudEvents structured JSON, `application/cloudevents+json`.
    Json,
    /// The same structure in CBOR, `application/cloudevents+cbor`.
    Cbor,
}
