//! One reading a line: CSV `time,sensor,value[,unit]`, or JSON with these names.
//!
//! Owns both forms. A line that begins with `{` is JSON, anything else CSV. A first CSV line that names columns sets
//! their order. Times are RFC 3339, or a number since 1970: seconds up to 11 digits, then milliseconds, microseconds,
//! nanoseconds. JSON lines as `tidegate tap --json` prints them are taken too: those that are no readings are passed
//! over. The names of sensors and units are kept once each.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use crate::clock::WallTime;
use crate::reading::{Reading, Recorded, SENSOR_BYTES_MAX, SensorId, TEXT_BYTES_MAX, TimeSource, Unit, Value};

/// Most columns of a CSV line looked at.
const COLUMNS_MAX: usize = 32;

/// Whole numbers up to here are exact as [`Value::Number`].
const EXACT_MAX: i64 = 1 << 53;

/// Where the columns are.
#[derive(Clone, Copy, Debug)]
struct Columns {
    time: usize,
    sensor: usize,
    value: usize,
    unit: usize,
}

impl Default for Columns {
    fn default() -> Self {
        Self { time: 0, sensor: 1, value: 2, unit: 3 }
    }
}

/// Reads lines.
#[derive(Debug, Default)]
pub struct Lines {
    columns: Columns,
    /// Whether a line has been taken: only the first may name the columns.
    begun: bool,
    names: Names,
}

/// A JSON line.
#[derive(Deserialize)]
struct JsonLine<'a> {
    #[serde(default, borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(default, borrow, alias = "timestamp", alias = "ts")]
    time: Option<JsonTime<'a>>,
    #[serde(default, borrow, alias = "name")]
    sensor: Option<Cow<'a, str>>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default, borrow)]
    unit: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonTime<'a> {
    Number(serde_json::Number),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl Lines {
    /// Reads a line without its end. `None` for one that is no reading and need not be: empty, a comment (`#`), a
    /// heading, something else that `tap` has said.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&mut self, line: &[u8]) -> Result<Option<Recorded>, String> {
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            return Ok(None);
        }
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
        let first = !std::mem::replace(&mut self.begun, true);
        if line[0] == b'{' {
            return self.json(text);
        }
        if first && let Some(columns) = heading(text) {
            self.columns = columns?;
            return Ok(None);
        }
        let read = self.csv(text);
        match other_separator(text) {
            Some(separator) if read.is_err() => Err(format!(
                "its columns are separated by {separator}: write commas (time,sensor,value[,unit]) and decimal points"
            )),
            _ => read.map(Some),
        }
    }

    /// The sensors so far.
    pub fn sensors(&self) -> impl Iterator<Item = &SensorId> {
        self.names.sensors.values()
    }

    fn csv(&mut self, text: &str) -> Result<Recorded, String> {
        let columns = self.columns;
        let mut cells: [Cow<'_, str>; COLUMNS_MAX] = [const { Cow::Borrowed("") }; COLUMNS_MAX];
        let count = split(text, &mut cells);
        let cell = |index: usize, what: &str| match index < count {
            true => Ok(cells[index].trim()),
            false => Err(format!("{count} columns, and no {what} among them; expected time,sensor,value[,unit]")),
        };
        let time = csv_time(cell(columns.time, "time")?)?;
        let value = csv_value(cell(columns.value, "value")?)?;
        let sensor = self.names.sensor(cell(columns.sensor, "sensor")?)?;
        let unit = if columns.unit < count { self.names.unit(cells[columns.unit].trim()) } else { None };
        Ok(recorded(time, sensor, value, unit))
    }

    fn json(&mut self, text: &str) -> Result<Option<Recorded>, String> {
        let line: JsonLine<'_> = serde_json::from_str(text).map_err(|error| format!("no JSON reading: {error}"))?;
        if line.kind.is_some_and(|kind| kind != "reading") {
            return Ok(None);
        }
        let time = match line.time.ok_or("no `time`")? {
            JsonTime::Number(number) => csv_time(&number.to_string())?,
            JsonTime::Text(text) => csv_time(&text)?,
        };
        let value = match line.value.ok_or("no `value`")? {
            Value::Integer(whole) if whole.abs() <= EXACT_MAX => Value::Number(whole as f64),
            Value::Text(text) if text.len() > TEXT_BYTES_MAX => return Err(too_long("value", &text)),
            value => value,
        };
        let sensor = self.names.sensor(&line.sensor.ok_or("no `sensor`")?)?;
        let unit = line.unit.and_then(|unit| self.names.unit(&unit));
        Ok(Some(recorded(time, sensor, value, unit)))
    }
}

/// What separates the columns of a line that is no CSV of ours, by name: a `;` as German Excel writes it, or a tab.
fn other_separator(text: &str) -> Option<&'static str> {
    let has = |character: char| text.matches(character).count() >= 2;
    let separators = [(';', "`;`"), ('\t', "tabs")];
    separators.into_iter().find(|(separator, _)| has(*separator) && !has(',')).map(|(_, name)| name)
}

fn recorded(time: WallTime, sensor: SensorId, value: Value, unit: Option<Unit>) -> Recorded {
    let reading =
        Reading { sensor, value, unit, time, time_source: TimeSource::Payload, fresh: true, attributes: None };
    Recorded { arrival: time, reading }
}

/// The columns, if a line names them; an error when it names some and not all that are needed.
fn heading(text: &str) -> Option<Result<Columns, String>> {
    let mut cells: [Cow<'_, str>; COLUMNS_MAX] = [const { Cow::Borrowed("") }; COLUMNS_MAX];
    let count = split(text, &mut cells);
    let place = |names: &[&str]| cells[..count].iter().position(|cell| names.contains(&&*cell.trim().to_lowercase()));
    let (time, sensor) = (place(&["time", "timestamp", "ts"]), place(&["sensor", "name"]));
    let (value, unit) = (place(&["value"]), place(&["unit"]));
    match (time, sensor, value) {
        (None, None, None) => None,
        (Some(time), Some(sensor), Some(value)) => {
            Some(Ok(Columns { time, sensor, value, unit: unit.unwrap_or(COLUMNS_MAX) }))
        }
        _ => Some(Err("the heading names no `time`, `sensor` or `value`".to_owned())),
    }
}

/// Splits at commas; a cell in quotes may hold some. Returns how many cells there are.
fn split<'a>(text: &'a str, cells: &mut [Cow<'a, str>; COLUMNS_MAX]) -> usize {
    let mut count = 0;
    if !text.as_bytes().contains(&b'"') {
        for cell in text.split(',').take(COLUMNS_MAX) {
            cells[count] = Cow::Borrowed(cell);
            count += 1;
        }
        return count;
    }
    let (mut cell, mut quoted) = (String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted && count < COLUMNS_MAX - 1 => {
                cells[count] = Cow::Owned(std::mem::take(&mut cell));
                count += 1;
            }
            c => cell.push(c),
        }
    }
    cells[count] = Cow::Owned(cell);
    count + 1
}

fn csv_value(text: &str) -> Result<Value, String> {
    // Numbers begin so; texts such as "nan" are none.
    if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && let Ok(number) = text.parse::<f64>()
    {
        return match number.is_finite() {
            true => Ok(Value::Number(number)),
            false => Err(format!("`{text}` is no finite number")),
        };
    }
    match text {
        "" => Err("no value".to_owned()),
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        text if text.len() > TEXT_BYTES_MAX => Err(too_long("value", text)),
        text if text.eq_ignore_ascii_case("nan") => Err("`nan` is no finite number".to_owned()),
        text => Ok(Value::Text(text.into())),
    }
}

fn too_long(what: &str, text: &str) -> String {
    format!("the {what} is {} bytes long", text.len())
}

/// A time as text: RFC 3339 or a number since 1970.
fn csv_time(text: &str) -> Result<WallTime, String> {
    if text.is_empty() {
        return Err("no time".to_owned());
    }
    let wrong = || format!("`{}` is no time", text.chars().take(40).collect::<String>());
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().map_err(|_| wrong())?;
        let factor = match text.len() {
            0..=11 => 1_000_000_000,
            12..=14 => 1_000_000,
            15..=17 => 1_000,
            _ => 1,
        };
        return number.checked_mul(factor).map(WallTime).ok_or_else(wrong);
    }
    if let Some((whole, part)) = text.split_once('.')
        && whole.len() <= 11
        && [whole, part].iter().all(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    {
        let seconds: i64 = whole.parse().map_err(|_| wrong())?;
        let nanos: i64 = format!("{part:0<9}").get(..9).and_then(|nanos| nanos.parse().ok()).ok_or_else(wrong)?;
        return Ok(WallTime::from_secs(seconds).offset(nanos));
    }
    text.parse().map_err(|_| wrong())
}

/// Names met so far.
#[derive(Debug, Default)]
struct Names {
    sensors: HashMap<Box<str>, SensorId>,
    units: Vec<Unit>,
}

/// Units kept; beyond it a unit is made anew each time.
const UNITS_MAX: usize = 256;

impl Names {
    fn sensor(&mut self, name: &str) -> Result<SensorId, String> {
        if let Some(sensor) = self.sensors.get(name) {
            return Ok(sensor.clone());
        }
        if name.is_empty() {
            return Err("no sensor".to_owned());
        }
        if name.len() > SENSOR_BYTES_MAX || name.contains(['+', '#']) || name.chars().any(char::is_control) {
            return Err(format!("`{}` cannot be a sensor's name", name.chars().take(40).collect::<String>()));
        }
        let sensor = SensorId::new(name);
        self.sensors.insert(name.into(), sensor.clone());
        Ok(sensor)
    }

    fn unit(&mut self, unit: &str) -> Option<Unit> {
        if unit.is_empty() {
            return None;
        }
        if let Some(known) = self.units.iter().find(|known| ***known == *unit) {
            return Some(known.clone());
        }
        let unit = Unit::from(unit);
        if self.units.len() < UNITS_MAX {
            self.units.push(unit.clone());
        }
        Some(unit)
    }
}
