//! `[[alarm]]`: one condition, and how patient it is.

use std::time::Duration;

use super::general::{pattern_fault, shared};
use super::hook;
use super::keys::CONDITIONS;
use super::model::{Alarm, Condition, Hook, RateDirection, ScheduleSpan, SetPoint, Severity};
use super::section::Section;
use super::suggest::one_of;
use super::text::{Text, number, text, unreadable, wrong_type};
use super::tree::{Context, Data, Spot};
use super::{pattern, schedule, units, value};
use crate::reading::{SENSOR_BYTES_MAX, Value};

/// Patterns of one alarm.
const PATTERNS_MAX: usize = 64;
/// States in one `equals`.
const VALUES_MAX: usize = 64;
/// Spans of one schedule.
const SPANS_MAX: usize = 64;
/// Longest description, bytes; it goes into every event of the alarm.
const DESCRIPTION_BYTES_MAX: usize = 512;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// An alarm and where it said what the cross-checks need.
pub struct Read {
    pub alarm: Alarm,
    /// `name`
    pub name: Spot,
    /// The entries of `sensors`, one for one.
    pub sensors: Vec<Spot>,
    /// `deviation_from`
    pub deviation_from: Spot,
    /// `group`
    pub group: Spot,
    /// `on_event`
    pub hook: Option<Hook>,
}

/// Reads one alarm.
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Read> {
    section.check_variant(ctx, "");
    let name = section.name(ctx, "name");
    let sensors = sensors(ctx, section);
    let condition = condition(ctx, section);
    let deadband = deadband(ctx, section, condition.as_ref());
    let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
    let delay =
        |ctx: &mut Context<'_>, name| section.duration(ctx, name, Duration::ZERO..=YEAR).unwrap_or(Duration::ZERO);
    let (on_delay, off_delay, hold_off) = (delay(ctx, "on_delay"), delay(ctx, "off_delay"), delay(ctx, "hold_off"));
    let min_samples = section.integer(ctx, "min_samples", 1..=1000).unwrap_or(1);
    if let (Some(Condition::Stale { .. }), Some(entry)) = (&condition, section.entry("min_samples")) {
        ctx.error(entry.key, "`min_samples` has no meaning with `stale_after`").label("there are no readings to count");
    }
    let repeat_every = section.duration(ctx, "repeat_every", SECOND..=YEAR);
    let latched = section.boolean(ctx, "latched").unwrap_or(false);
    let description = section.filled_text(ctx, "description", DESCRIPTION_BYTES_MAX).map(shared);
    let group = section.name(ctx, "group").map(shared);
    let severity = section.choice(ctx, "severity", &severities).unwrap_or(Severity::Medium);
    let context = section.integer::<u16>(ctx, "context", 0..=100).map_or(10, usize::from);
    let schedule = schedule(ctx, section);
    let (name, (sensors, spots)) = (name?, sensors?);
    let (spot, name) = (name.spot, shared(name));
    Some(Read {
        hook: hook::read(ctx, section, &name),
        name: spot,
        sensors: spots,
        deviation_from: section.spot("deviation_from"),
        group: section.spot("group"),
        alarm: Alarm {
            name,
            description,
            sensors,
            condition: condition?,
            deadband,
            on_delay,
            off_delay,
            min_samples,
            repeat_every,
            latched,
            hold_off,
            group,
            severity,
            context,
            schedule,
        },
    })
}

fn sensors(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<(Vec<String>, Vec<Spot>)> {
    let texts = section.texts(ctx, "sensors", PATTERNS_MAX)?;
    if section.list(ctx, "sensors", PATTERNS_MAX)?.is_empty() {
        ctx.error(section.spot("sensors"), "`sensors` is empty")
            .label("expected at least one, as in [\"zigbee/+/temperature\"]");
    }
    let (mut patterns, mut spots) = (Vec::new(), Vec::new());
    for text in texts {
        match pattern::check(&text.value) {
            Ok(()) => {
                spots.push(text.spot);
                patterns.push(text.value);
            }
            Err(fault) => pattern_fault(ctx, &text, fault, "pattern over sensors"),
        }
    }
    Some((patterns, spots))
}

fn condition(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Condition> {
    let mut given: Vec<_> = CONDITIONS.iter().filter_map(|name| section.entry(name)).collect();
    given.sort_by_key(|entry| (entry.key.file, entry.key.start));
    for (owner, names) in
        [("rate_above", ["rate_window", "rate_direction"].as_slice()), ("deviation_from", &["deviation_above"])]
    {
        for name in names {
            if let Some(entry) = section.entry(name)
                && section.lacks(ctx, owner)
            {
                ctx.error(entry.key, format!("`{name}` without `{owner}`")).label(format!("only with `{owner}`"));
            }
        }
    }
    let Some(first) = given.first() else {
        if CONDITIONS.iter().all(|name| section.lacks(ctx, name)) {
            ctx.error(section.head, "this alarm has no condition")
                .label(format!("expected exactly one of {}", one_of(&CONDITIONS, "`")));
        }
        return None;
    };
    for second in &given[1..] {
        let place = ctx.place(first.key);
        let problem = ctx.error(second.key, format!("`{}` and `{}` in one alarm", first.name, second.name));
        problem.label("an alarm has one condition").note(place, "the first");
        if matches!((first.name.as_str(), second.name.as_str()), ("high", "low") | ("low", "high")) {
            problem.help("write outside = [low, high], or two alarms");
        } else {
            problem.help("make two alarms of it; `group` joins them where only the most severe should be active");
        }
    }
    match first.name.as_str() {
        "high" => section.number(ctx, "high").map(Condition::High),
        "low" => section.number(ctx, "low").map(Condition::Low),
        "outside" => section.range(ctx, "outside").map(|(low, high)| Condition::Outside { low, high }),
        "equals" => values(ctx, section, "equals").map(Condition::Equals),
        "not_equals" => values(ctx, section, "not_equals").map(Condition::NotEquals),
        "rate_above" => {
            let directions =
                [("rising", RateDirection::Rising), ("falling", RateDirection::Falling), ("both", RateDirection::Both)];
            let window = section.duration(ctx, "rate_window", SECOND..=7 * DAY).unwrap_or(300 * SECOND);
            let direction = section.choice(ctx, "rate_direction", &directions).unwrap_or(RateDirection::Both);
            let per_second = rate(ctx, section, "rate_above")?;
            if per_second <= 0.0 {
                ctx.error(section.spot("rate_above"), "`rate_above` is not above 0")
                    .help("for a fall write rate_direction = \"falling\"");
                return None;
            }
            Some(Condition::RateAbove { per_second, window, direction })
        }
        "deviation_from" => deviation(ctx, section),
        _ => section.duration(ctx, "stale_after", SECOND..=YEAR).map(|after| Condition::Stale { after }),
    }
}

fn deviation(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Condition> {
    if section.lacks(ctx, "deviation_above") {
        ctx.error(section.spot("deviation_from"), "`deviation_from` needs `deviation_above`")
            .label("how far from it is too far? as in deviation_above = 2.0");
    }
    let above = section.number(ctx, "deviation_above");
    if above.is_some_and(|above| above <= 0.0) {
        ctx.error(section.spot("deviation_above"), "`deviation_above` is not above 0");
    }
    let entry = section.entry("deviation_from")?;
    let from = match &entry.value.data {
        Data::Integer(_) | Data::Number(_) => SetPoint::Value(number(ctx, &entry.value, "`deviation_from`")?),
        Data::Text(_) => {
            let text = section.filled_text(ctx, "deviation_from", SENSOR_BYTES_MAX)?;
            if text.value.contains(['+', '#', '*']) {
                ctx.error(text.spot, "`deviation_from` is one sensor, without wildcards");
                return None;
            }
            SetPoint::Sensor(shared(text))
        }
        _ => {
            wrong_type(ctx, &entry.value, "`deviation_from`", "a sensor's name or a number");
            return None;
        }
    };
    Some(Condition::Deviation { from, above: above? })
}

fn values(ctx: &mut Context<'_>, section: &Section<'_>, name: &'static str) -> Option<Vec<Value>> {
    let entry = section.entry(name)?;
    let what = format!("`{name}`");
    if !matches!(entry.value.data, Data::List(_)) {
        return value::read(ctx, &entry.value, &what).map(|value| vec![value]);
    }
    let items = section.list(ctx, name, VALUES_MAX)?;
    if items.is_empty() {
        ctx.error(entry.value.spot, format!("{what} is empty")).label("expected at least one value");
        return None;
    }
    items.iter().map(|item| value::read(ctx, item, &what)).collect()
}

fn rate(ctx: &mut Context<'_>, section: &Section<'_>, name: &'static str) -> Option<f64> {
    let entry = section.entry(name)?;
    match &entry.value.data {
        Data::Text(_) => {
            let text = text(ctx, &entry.value, &format!("`{name}`"))?;
            match units::rate(&text.value) {
                Ok(rate) => Some(rate),
                Err(why) => {
                    unreadable(ctx, &text, name).label(why);
                    None
                }
            }
        }
        Data::Integer(_) | Data::Number(_) => {
            let raw = ctx.raw(entry.value.spot).to_owned();
            ctx.error(entry.value.spot, format!("`{name}` has no unit of time"))
                .label(format!("write \"{raw}/min\", \"{raw}/s\" or \"{raw}/h\""));
            None
        }
        _ => {
            wrong_type(ctx, &entry.value, &format!("`{name}`"), "a rate such as \"5/min\"");
            None
        }
    }
}

fn deadband(ctx: &mut Context<'_>, section: &Section<'_>, condition: Option<&Condition>) -> f64 {
    let (Some(entry), Some(condition)) = (section.entry("deadband"), condition) else {
        return 0.0;
    };
    let without = match condition {
        Condition::Equals(_) => "equals",
        Condition::NotEquals(_) => "not_equals",
        Condition::Stale { .. } => "stale_after",
        _ => "",
    };
    if !without.is_empty() {
        ctx.error(entry.key, format!("`deadband` has no meaning with `{without}`"))
            .label("there is no limit to stay away from");
        return 0.0;
    }
    let deadband = match condition {
        Condition::RateAbove { .. } => rate(ctx, section, "deadband"),
        _ => section.number(ctx, "deadband"),
    };
    let Some(deadband) = deadband else {
        return 0.0;
    };
    if deadband < 0.0 {
        ctx.error(entry.value.spot, "`deadband` is negative")
            .label("expected how far back inside the limit a value must be to clear, 0 or more");
    }
    let room = match condition {
        Condition::Outside { low, high } => Some((high - low) / 2.0),
        Condition::RateAbove { per_second, .. } => Some(*per_second),
        Condition::Deviation { above, .. } => Some(*above),
        _ => None,
    };
    if room.is_some_and(|room| deadband >= room) {
        let why = match condition {
            Condition::Outside { low, high } => format!("it must be below half of the band {low} to {high}"),
            Condition::RateAbove { .. } => "it must be below `rate_above`".to_owned(),
            _ => "it must be below `deviation_above`".to_owned(),
        };
        ctx.error(entry.value.spot, "with this `deadband` the alarm could never clear").label(why);
    }
    deadband
}

fn schedule(ctx: &mut Context<'_>, section: &Section<'_>) -> Vec<ScheduleSpan> {
    let texts: Vec<Text> = section.texts(ctx, "schedule", SPANS_MAX).unwrap_or_default();
    let mut spans = Vec::with_capacity(texts.len());
    for text in texts {
        match schedule::parse(&text.value) {
            Ok(span) => spans.push(span),
            Err(why) => {
                ctx.error(text.spot, "this is no span of a schedule").label(why);
            }
        }
    }
    spans
}
