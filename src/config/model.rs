//! The configuration as the rest of the program sees it: typed, complete, already checked.
//!
//! Owns the types and the meaning and unit of every setting. Never parses (that is `load` and its section files) and
//! never touches the system.

mod alarm;
mod decode;
mod framing;
mod gateway;
mod home_assistant;
mod hook;
mod http;
mod modbus;
mod plain;
mod reach;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use alarm::{Alarm, Condition, RateDirection, ScheduleSpan, SetPoint, Severity};
pub use decode::{Decode, EventPart, Field, Format, Template, TemplatePart, TsUnit, Written};
pub use framing::{Block, BlockLength, CHECKSUMS, Checksum, ChecksumKind, Common, Crc, Framing};
pub use gateway::{CONTROL_SOCKET, Gateway, LogFormat, LogLevel};
pub use reach::{ENTRY_TYPE_BYTES_MAX, Entries, EntryKind, EntrySize, Packing, Reach, Records};
pub use upstream::{CallPlan, Encoding, Mode, Order, Protocol, RateLimit, Upstream};

pub use modbus::{
    BITS_PER_READ_MAX, ByteOrder, ModbusLine, ModbusSource, ModbusUnit, REGISTERS_PER_READ_MAX, Register, RegisterType,
    ScaleRegister, Table,
};

pub use super::bulk::{BatchPlan, Compression};
pub use super::cron::Cron;
pub use home_assistant::{DISCOVERY_PREFIX, HomeAssistant};
pub use hook::{Hook, HookOn};
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
    /// `[home_assistant]`, where it is enabled.
    pub home_assistant: Option<HomeAssistant>,
    /// `on_event` of the alarms that have it.
    pub hooks: Vec<Hook>,
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
