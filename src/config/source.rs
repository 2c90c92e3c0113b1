//! `[[source]]`.

use std::path::PathBuf;
use std::time::Duration;

use super::general::{KEEP_ALIVE_MAX, pattern_fault};
use super::keys;
use super::model::{Decode, FlowControl, MqttSource, Parity, SerialSource, Source, SourceKind};
use super::section::Section;
use super::text::wrong_type;
use super::tree::{Context, Data, Node, Spot};
use super::{broker, pattern};
use super::{decode, framing, modbus};
use crate::reading::own;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Filters of one source.
const TOPICS_MAX: usize = 256;

/// Entries of a `decode` that is a list.
const DECODES_MAX: usize = 32;

/// Longest path of a port, bytes.
const PORT_BYTES_MAX: usize = 255;

/// A source and where it said what the cross-checks need.
pub struct Read {
    pub source: Source,
    /// `name`
    pub name: Spot,
    /// `port`, or `client_id` where it is given, or `url`.
    pub address: Spot,
    /// `decode`
    pub decode: Spot,
}

/// Reads one source.
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>, gateway: &str) -> Option<Read> {
    let kinds = [("mqtt", "mqtt"), ("serial", "serial"), ("modbus", "modbus")];
    let chosen = section.choice(ctx, "type", &kinds);
    let name = section.name(ctx, "name");
    if let Some(name) = name.as_ref().filter(|name| name.value == own::NAME) {
        ctx.error(name.spot, format!("a source cannot be named `{}`", own::NAME))
            .label("the gateway's own readings have this name")
            .help("give it another name; `watch` in [gateway] turns the gateway's own readings on and off");
    }
    match chosen {
        Some(kind) => section.check_variant(ctx, kind),
        None => {
            section.require(ctx, "name");
            section.require(ctx, "type");
        }
    }
    let label = name.as_ref().map_or("", |name| &name.value).to_owned();
    let (kind, topics) = match chosen? {
        "mqtt" => {
            let source = mqtt_source(ctx, section, gateway, &label);
            let topics = source.as_ref().map_or_else(Vec::new, |source| source.topics.clone());
            (source.map(SourceKind::Mqtt), Some(topics))
        }
        "serial" => (serial_source(ctx, section).map(SourceKind::Serial), None),
        _ => {
            let port = port(ctx, section);
            let line = line(ctx, section);
            (modbus::source(ctx, section, &label, port, line).map(SourceKind::Modbus), None)
        }
    };
    let has_bytes = !matches!(kind, Some(SourceKind::Modbus(_)));
    let decodes = match section.entry("decode").filter(|_| has_bytes) {
        Some(entry) => decodes(ctx, &entry.value, topics.as_deref()),
        None => (!has_bytes).then(|| vec![Decode::none()]),
    };
    let address = ["port", "client_id", "url"]
        .into_iter()
        .find(|key| section.has(key))
        .map_or(section.head, |key| section.spot(key));
    let name = name?;
    let mut decodes = decodes?.into_iter();
    let (kind, decode) = (kind?, decodes.next()?);
    let source = Source { name: name.value.into(), kind, decode, further: decodes.collect() };
    Some(Read { name: name.spot, address, decode: section.spot("decode"), source })
}

/// `decode`: a table, or a list of them, of which the message's topic chooses one.
fn decodes(ctx: &mut Context<'_>, node: &Node, topics: Option<&[String]>) -> Option<Vec<Decode>> {
    let items = match &node.data {
        Data::List(items) if !items.is_empty() && items.len() <= DECODES_MAX => items,
        Data::List(items) => {
            ctx.error(node.spot, format!("`decode` holds {} entries", items.len()))
                .label(format!("1 to {DECODES_MAX}"));
            return None;
        }
        _ => std::slice::from_ref(node),
    };
    let mut read = Vec::new();
    for item in items {
        match &item.data {
            Data::Table(entries) => {
                let section = Section::new(ctx, &keys::DECODE, item.spot, &[entries]);
                read.push(decode::read(ctx, &section, topics));
            }
            _ => {
                wrong_type(ctx, item, "`decode`", "a table such as { format = \"json\" }");
                read.push(None);
            }
        }
    }
    read.into_iter().collect()
}

fn mqtt_source(ctx: &mut Context<'_>, section: &Section<'_>, gateway: &str, name: &str) -> Option<MqttSource> {
    let url = broker::url(ctx, section);
    let client_id = broker::client_id(ctx, section, format!("tidegate-{gateway}-{name}"));
    let credentials = broker::credentials(ctx, section, url.as_ref());
    let topics = topics(ctx, section);
    let qos = section.integer(ctx, "qos", 0..=2).unwrap_or(1);
    let keep_alive = section.duration(ctx, "keep_alive", SECOND..=KEEP_ALIVE_MAX).unwrap_or(30 * SECOND);
    let inflight_max = section.integer(ctx, "inflight_max", 1..=65_535).unwrap_or(1000);
    let packet_bytes_max = section.size(ctx, "packet_bytes_max", 1 << 10..=16 << 20).unwrap_or(256 << 10);
    let retained_max_age =
        section.duration(ctx, "retained_max_age", Duration::ZERO..=3660 * DAY).unwrap_or(3600 * SECOND);
    Some(MqttSource {
        url: url?,
        client_id,
        topics: topics?,
        qos,
        credentials,
        keep_alive,
        inflight_max,
        packet_bytes_max: usize::try_from(packet_bytes_max).unwrap_or(usize::MAX),
        retained_max_age,
    })
}

fn topics(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Vec<String>> {
    let texts = section.texts(ctx, "topics", TOPICS_MAX)?;
    if texts.is_empty() {
        let items = section.list(ctx, "topics", TOPICS_MAX)?;
        if items.is_empty() {
            ctx.error(section.spot("topics"), "`topics` is empty")
                .label("expected at least one, as in [\"zigbee2mqtt/+\"]");
        }
        return None;
    }
    let mut topics: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        if let Err(fault) = pattern::check_filter(&text.value) {
            pattern_fault(ctx, &text, fault, "MQTT filter");
        } else if topics.contains(&text.value) {
            ctx.warning(text.spot, "this filter is there twice").label("the broker may send every message twice");
        } else {
            topics.push(text.value);
        }
    }
    Some(topics)
}

/// `port`
fn port(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<PathBuf> {
    section.filled_text(ctx, "port", PORT_BYTES_MAX).map(|text| {
        if !text.value.starts_with('/') {
            ctx.error(text.spot, "`port` is no path of a device").label("expected a path such as \"/dev/ttyUSB0\"");
        } else if text.value.starts_with("/dev/ttyUSB") || text.value.starts_with("/dev/ttyACM") {
            ctx.warning(text.spot, "this name depends on the order of plugging in")
                .help("use the port's lasting name: ls -l /dev/serial/by-id/");
        }
        PathBuf::from(text.value)
    })
}

/// `baud`, `parity` and `stop_bits`
fn line(ctx: &mut Context<'_>, section: &Section<'_>) -> (u32, Parity, u8) {
    let parities = [("none", Parity::None), ("even", Parity::Even), ("odd", Parity::Odd)];
    let baud = section.integer(ctx, "baud", 50..=4_000_000).unwrap_or(9600);
    let parity = section.choice(ctx, "parity", &parities).unwrap_or(Parity::None);
    let stop_bits = section.integer(ctx, "stop_bits", 1..=2).unwrap_or(1);
    (baud, parity, stop_bits)
}

fn serial_source(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<SerialSource> {
    let port = port(ctx, section);
    let (baud, parity, stop_bits) = line(ctx, section);
    let flows = [("none", FlowControl::None), ("software", FlowControl::Software), ("hardware", FlowControl::Hardware)];
    let data_bits = section.integer(ctx, "data_bits", 7..=8).unwrap_or(8);
    let flow_control = section.choice(ctx, "flow_control", &flows).unwrap_or(FlowControl::None);
    let framing = framing::read(ctx, section);
    let silence_after = section.duration(ctx, "silence_after", SECOND..=366 * DAY);
    let ask = framing::mark(ctx, section, "send");
    let ask_every = section.duration(ctx, "send_every", Duration::from_millis(10)..=DAY).unwrap_or(10 * SECOND);
    let switch = [("on", true), ("off", false)];
    let (dtr, rts) = (section.choice(ctx, "dtr", &switch), section.choice(ctx, "rts", &switch));
    if section.has("send_every") && section.lacks(ctx, "send") {
        ctx.error(section.spot("send_every"), "`send_every` has no meaning without `send`");
    }
    Some(SerialSource {
        port: port?,
        baud,
        data_bits,
        parity,
        stop_bits,
        flow_control,
        framing: framing?,
        silence_after,
        ask: ask.map(|bytes| (bytes, ask_every)),
        dtr,
        rts,
    })
}
