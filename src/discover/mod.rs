//! From what was overheard to a configuration to begin with.
//!
//! Owns the grouping of messages that look alike and the text of the proposal. Pure. What has the address of a known kind
//! of device gets its preset (`preset`), a format that names its values itself is taken as it is, and only the rest is
//! guessed at. Nothing is guessed silently: each source, field and limit says how often it was seen, and each source has
//! been tried on the very messages it was made from, by the decoder that will read it (`tried`).

mod blocks;
pub mod guess;
pub mod modbus;
mod preset;
mod shape;
#[cfg(test)]
mod tests;
mod topics;
mod tried;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use guess::{Kind, Seen};
use topics::{levels, of, some, topics};

/// Sources proposed at most; a broker with more kinds of messages is better asked for a part of its topics.
const SOURCES_MAX: usize = 16;

/// Different texts of a field that still make a state worth watching.
const STATES_MAX: usize = 6;

/// Bytes shown of a message that is not recognised.
const SHOWN_BYTES_MAX: usize = 64;

/// Something overheard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The MQTT topic.
    pub topic: Option<String>,
    /// The payload or line.
    pub payload: Vec<u8>,
}

/// Where it was overheard.
#[derive(Clone, Debug)]
pub struct Place {
    /// Name of the source; more of them get a number.
    pub name: String,
    /// The lines of [[source]] that say how it is reached, with comments.
    pub keys: String,
    /// A serial port: what was heard are lines, and a source needs its `framing`.
    pub is_port: bool,
}

impl Place {
    /// The name of its source with this number, from 0.
    fn numbered(&self, number: usize) -> String {
        if number == 0 { self.name.clone() } else { format!("{}-{}", self.name, number + 1) }
    }
}

/// A value of messages that look alike.
#[derive(Clone, Debug, Default)]
struct Field {
    count: usize,
    numbers: usize,
    states: usize,
    range: Option<(f64, f64)>,
    texts: BTreeSet<String>,
}

/// Messages that look alike.
struct Group<'a> {
    kind: Kind,
    messages: Vec<&'a Heard>,
    fields: BTreeMap<String, Field>,
}

impl Group<'_> {
    fn any(&self, is_so: fn(&str) -> bool) -> bool {
        self.messages.iter().any(|heard| std::str::from_utf8(&heard.payload).is_ok_and(is_so))
    }

    fn all(&self, is_so: fn(&str) -> bool) -> bool {
        self.messages.iter().all(|heard| std::str::from_utf8(&heard.payload).is_ok_and(is_so))
    }
}

/// The proposal, and how many sources it has.
pub fn propose(place: &Place, heard: &[Heard]) -> (String, usize) {
    let (blocks, sure) = if place.is_port { blocks::of_lines(heard) } else { (Vec::new(), None) };
    let heard: Vec<&Heard> = if place.is_port { blocks.iter().collect() } else { heard.iter().collect() };
    let (proposed, left) = preset::take(place, heard);
    let mut sources = proposed.len();
    let mut text: String = proposed.concat();
    let is_told_of = |heard: &&Heard| heard.topic.as_deref().is_some_and(shape::is_home_assistant);
    let (told_of, left): (Vec<&Heard>, Vec<&Heard>) = left.into_iter().partition(is_told_of);
    let (groups, unknown) = group(&left, sure);
    for group in groups.iter().take(SOURCES_MAX) {
        match source(&place.numbered(sources), place, group) {
            Ok(proposed) => {
                text.push_str(&proposed);
                sources += 1;
            }
            Err(why) => {
                let _ = writeln!(text, "# {} messages {}: no proposal, {why}\n", group.messages.len(), of(group));
            }
        }
    }
    if groups.len() > SOURCES_MAX {
        let _ =
            writeln!(text, "# {} more kinds of messages; ask for a part with --topic\n", groups.len() - SOURCES_MAX);
    }
    if !told_of.is_empty() {
        let _ = writeln!(text, "# {} messages tell Home Assistant of devices, and are no readings\n", told_of.len());
    }
    if !unknown.is_empty() {
        let topics: BTreeSet<&str> = unknown.iter().filter_map(|heard| heard.topic.as_deref()).collect();
        let _ = writeln!(
            text,
            "# {} messages are of no format that is recognised (JSON, a number, key=value, CSV, SenML, NMEA 0183, P1, VE.Direct){}",
            unknown.len(),
            if topics.is_empty() { String::new() } else { format!(": {}", some(&topics)) }
        );
        first_of(&mut text, &unknown[0].payload);
    }
    (text, sources)
}

/// What nobody recognises, for a person who may.
fn first_of(text: &mut String, payload: &[u8]) {
    let shown = &payload[..payload.len().min(SHOWN_BYTES_MAX)];
    let more = if payload.len() > shown.len() { " .." } else { "" };
    let hex: Vec<String> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    let _ = write!(
        text,
        "# The first of them:     {:?}{more}\n# and in hex digits:     {}{more}\n# Texts of any form are read by format = \
         \"pattern\", a regular expression; bytes by format = \"binary\".\n\n",
        String::from_utf8_lossy(shown),
        hex.join(" "),
    );
}

/// What tells groups apart: format, topics' length, and (for a bare number) the last level, which says what it is.
type Alike = (Kind, usize, String, Vec<String>);

fn group<'h>(heard: &[&'h Heard], sure: Option<Kind>) -> (Vec<Group<'h>>, Vec<&'h Heard>) {
    let mut groups: BTreeMap<Alike, Group<'h>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for message in heard.iter().copied() {
        let looked = sure.map(|kind| (kind, Vec::new())).or_else(|| guess::look(&message.payload));
        let Some((kind, values)) = looked else {
            unknown.push(message);
            continue;
        };
        let levels: Vec<&str> = message.topic.iter().flat_map(|topic| topic.split('/')).collect();
        let last = if kind == Kind::Number { levels.last().copied().unwrap_or_default() } else { "" };
        // Devices of one kind do not always send all fields: the names alone would tell too many apart.
        let shape = match kind {
            Kind::Json | Kind::KeyValue | Kind::Number | Kind::Senml | Kind::Nmea | Kind::P1 | Kind::VeDirect => {
                Vec::new()
            }
            Kind::Csv(_) => vec![values.len().to_string()],
        };
        let first = levels.first().copied().unwrap_or_default();
        let key = (kind, levels.len(), format!("{first}/{last}"), shape);
        let group = groups.entry(key).or_insert_with(|| Group { kind, messages: Vec::new(), fields: BTreeMap::new() });
        group.messages.push(message);
        for (path, seen) in values {
            note(group.fields.entry(path).or_default(), &seen);
        }
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.messages.len()));
    (groups, unknown)
}

fn note(field: &mut Field, seen: &Seen) {
    field.count += 1;
    match seen {
        Seen::Number(number) => {
            field.numbers += 1;
            let (low, high) = field.range.unwrap_or((*number, *number));
            field.range = Some((low.min(*number), high.max(*number)));
        }
        Seen::State => field.states += 1,
        Seen::Text(text) => {
            if field.texts.len() <= STATES_MAX {
                field.texts.insert(text.clone());
            }
        }
    }
}

/// A source for one group; the error says why there is none.
fn source(name: &str, place: &Place, group: &Group<'_>) -> Result<String, String> {
    let total = group.messages.len();
    let topics = topics(group);
    let mut body = format!("[[source]]\nname = {}\n{}", quoted(name), place.keys);
    if let Some(topics) = &topics {
        let _ = writeln!(body, "topics = [{}]", quoted(&topics.filter));
    }
    if place.is_port {
        let _ = writeln!(body, "framing = {{ by = \"{}\" }}", group.kind.framing());
    }
    body.push_str("[source.decode]\n");
    let _ = writeln!(body, "format = \"{}\"", group.kind.format());
    if group.kind == Kind::Senml {
        return whole(&body, group);
    }
    if let Some(device) = topics.as_ref().and_then(|topics| topics.device.as_ref()) {
        let _ = writeln!(body, "device = {}", quoted(device));
    }
    if matches!(group.kind, Kind::Nmea | Kind::P1 | Kind::VeDirect) {
        return whole(&body, group);
    }
    if let Kind::Csv(delimiter) = group.kind {
        let columns: Vec<String> = (1..=group.fields.len()).map(|number| format!("\"column{number}\"")).collect();
        let _ = writeln!(body, "delimiter = {}", quoted(&char::from(delimiter).to_string()));
        let _ = writeln!(body, "columns = [{}]  # in their order; put in what they are", columns.join(", "));
        if delimiter == b',' && columns.len() == 2 && group.all(guess::has_decimal_comma) {
            body.push_str(
                "# If each line is one number with a decimal comma: format = \"number\" and decimal_comma = true in place \
                 of\n# these three, and one field without a path.\n",
            );
        }
    }
    if group.kind == Kind::KeyValue && group.any(guess::has_decimal_comma) {
        body.push_str("decimal_comma = true  # as in `21,5`\n");
    }
    let mut left_out = Vec::new();
    let mut alarms = String::new();
    let mut fields = String::new();
    let mut quantities = BTreeSet::new();
    let mut time = None;
    for (path, field) in &group.fields {
        if time.is_none()
            && group.kind != Kind::Number
            && let Some(unit) = time_unit(path, field, total)
        {
            time = Some((path, unit));
            continue;
        }
        let quantity = match (group.kind, &topics) {
            (Kind::Number, Some(topics)) => topics.last.clone(),
            _ => unique(path, &mut quantities),
        };
        let seen = format!("{} of {total}", field.count);
        let numeric = field.numbers == field.count;
        let text = if numeric || field.states == field.count {
            None
        } else if field.numbers == 0 && field.states == 0 && field.texts.len() <= STATES_MAX {
            Some("text = true")
        } else {
            left_out.push(format!("{path} ({seen}, texts)"));
            continue;
        };
        let unit = guess::unit(&quantity).filter(|_| numeric);
        let mut remark = format!("seen {seen}");
        match (field.range, field.texts.len()) {
            (Some((low, high)), _) => {
                let _ = write!(remark, ", {low} to {high}");
            }
            (None, 0) => remark.push_str(", true or false"),
            (None, _) => {
                let _ = write!(remark, ": {:?}", field.texts);
            }
        }
        remark.push_str(unit.map_or("", |_| "; the unit is guessed from the name"));
        let mut keys: Vec<String> = Vec::new();
        // A bare number is all of its payload.
        if group.kind != Kind::Number {
            keys.push(format!("path = {}", quoted(path)));
        }
        keys.extend(unit.map(|unit| format!("unit = \"{unit}\"")));
        keys.extend(text.map(str::to_owned));
        let _ = writeln!(fields, "{} = {{ {} }}  # {remark}", quoted(&quantity), keys.join(", "));
        let sensor = format!("{name}/{}{quantity}", "+/".repeat(levels(topics.as_ref())));
        alarm(&mut alarms, &sensor, &quantity, field);
    }
    if let Some((path, unit)) = time {
        let _ =
            writeln!(body, "ts_field = {}  # looks like the time of measurement\nts_unit = \"{unit}\"", quoted(path));
    }
    if fields.is_empty() {
        return Err("nothing in them is a number or a state".to_owned());
    }
    let _ = write!(body, "[source.decode.fields]\n{fields}");
    for what in left_out {
        let _ = writeln!(body, "# left out: {what}");
    }
    let understood = tried::read(&tried::load(&body)?, group.messages.iter().copied())?.understood;
    let mut text = format!("# {total} messages {}; {understood} of them understood by this source.\n", of(group));
    text.push_str(&body);
    let _ = write!(text, "\n{alarms}\n");
    Ok(text)
}

/// A suggestion, as comments: a third of the range seen beyond it, for want of better.
fn alarm(text: &mut String, sensor: &str, quantity: &str, field: &Field) {
    let Some((low, high)) = field.range.filter(|_| field.numbers == field.count) else { return };
    let margin = ((high - low) / 3.0).max(high.abs() / 10.0).max(0.1);
    let round = |number: f64| (number * 10.0).round() / 10.0;
    let name = format!("{quantity}-high");
    let _ = write!(
        text,
        "# [[alarm]]\n# name = {}\n# sensors = [{}]\n# high = {:?}  # seen: {low} to {high}; put in what must not be passed\n\
         # deadband = {:?}\n#\n",
        quoted(&name),
        quoted(sensor),
        round(high + margin),
        round((margin / 2.0).max(0.1)),
    );
}

/// A source of a format that names its values itself: all of them, and which those are.
fn whole(body: &str, group: &Group<'_>) -> Result<String, String> {
    let tried = tried::read(&tried::load(body)?, group.messages.iter().copied())?;
    Ok(format!(
        "# {} messages {}: {}; {} of them understood by this source. Its sensors, and what they said:\n{}{body}\n",
        group.messages.len(),
        of(group),
        group.kind.about(),
        tried.understood,
        tried.sensors(),
    ))
}

/// The unit of a time, if a field is one: named so, there every time, and in this century.
fn time_unit(path: &str, field: &Field, total: usize) -> Option<&'static str> {
    let name = path.rsplit('.').next().unwrap_or(path).to_lowercase();
    if !matches!(&*name, "ts" | "time" | "timestamp" | "datetime" | "last_seen") || field.count < total {
        return None;
    }
    match field.range {
        Some((low, high)) if field.numbers == field.count => {
            let units = [("s", 1e9), ("ms", 1e12), ("us", 1e15), ("ns", 1e18)];
            units.iter().find(|(_, one)| low >= *one && high < one * 5.0).map(|(unit, _)| *unit)
        }
        None if !field.texts.is_empty() && field.states == 0 => {
            let reads = |text: &String| text.parse::<jiff::Timestamp>().is_ok();
            field.texts.iter().all(reads).then_some("iso8601")
        }
        _ => None,
    }
}

/// The last part of a path as a quantity, or the whole path where that is taken.
fn unique(path: &str, taken: &mut BTreeSet<String>) -> String {
    let last = plain(path.rsplit('.').next().unwrap_or(path));
    let mut quantity = if taken.contains(&last) { plain(path) } else { last };
    while !taken.insert(quantity.clone()) {
        quantity.push('_');
    }
    quantity
}

/// In the characters of a quantity.
fn plain(text: &str) -> String {
    let plain: String =
        text.chars().take(48).map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    match plain.trim_matches('_') {
        "" => "value".to_owned(),
        plain => plain.to_owned(),
    }
}

/// A text in TOML.
pub fn quoted(text: &str) -> String {
    // JSON writes texts as TOML's basic strings are read.
    serde_json::Value::from(text).to_string()
}
