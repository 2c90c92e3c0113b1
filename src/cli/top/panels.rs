//! The rows of the panels: alarms, sensors, sources, events, refused input.
//!
//! Owns what a row says and how its columns share a width. Only rows that are seen are made.

use std::collections::HashMap;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::model::{Sensor, State, Told};
use super::text::{self, Manner, fit, fit_end};
use super::view::{self, View};
use crate::config::model::Severity;
use crate::event::{AlarmState, Change, ConditionKind};
use crate::ops::control::alarms::AlarmLine;
use crate::ops::trail;

/// Which of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    /// Those that are not plainly normal.
    Alarms,
    /// Their values and last hours.
    #[default]
    Sensors,
    /// What they have said and what of it was refused.
    Sources,
    /// The last ones.
    Events,
    /// The last refused input.
    Refused,
}

impl Panel {
    /// All, in their order.
    pub const ALL: [Self; 5] = [Self::Alarms, Self::Sensors, Self::Sources, Self::Events, Self::Refused];

    /// The next one, or the one before.
    pub fn step(self, forward: bool) -> Self {
        let count = Self::ALL.len();
        Self::ALL[(self as usize + if forward { 1 } else { count - 1 }) % count]
    }

    /// Its name and how much is in it.
    pub fn title(self, state: &State, view: &View) -> String {
        let count = self.count(state);
        match self {
            Self::Alarms => format!("Alarms {count}"),
            Self::Sensors if !view.filter.is_empty() => {
                format!("Sensors {} of {count}", Rows::new(self, state, view).len())
            }
            Self::Sensors => format!("Sensors {count}"),
            Self::Sources => format!("Sources {count}"),
            Self::Events => format!("Events {count}"),
            Self::Refused => format!("Refused {count}"),
        }
    }

    /// The same where there is little room.
    pub fn short(self, state: &State) -> String {
        let name = ["Al", "Se", "So", "Ev", "Re"][self as usize];
        format!("{name} {}", self.count(state))
    }

    fn count(self, state: &State) -> usize {
        match self {
            Self::Alarms => state.alarms_in_all,
            Self::Sensors => state.sensors.len(),
            Self::Sources => state.status.sources.len(),
            Self::Events => state.events.len(),
            Self::Refused => state.refused.len(),
        }
    }
}

/// What an empty panel says.
pub fn nothing(panel: Panel, view: &View) -> &'static str {
    match panel {
        Panel::Alarms => "no alarm is active, pending, shelved or suppressed",
        Panel::Sensors if !view.filter.is_empty() => "no sensor has this in its name",
        Panel::Sensors => "no sensor has spoken yet",
        Panel::Sources => "no source is configured: nothing is read",
        Panel::Events | Panel::Refused => "none so far",
    }
}

/// The rows of one panel.
pub struct Rows<'a> {
    panel: Panel,
    state: &'a State,
    /// Numbers of sensors, for theirs.
    shown: Vec<usize>,
    /// The most severe active alarm of a sensor.
    active: HashMap<&'a str, Severity>,
}

impl<'a> Rows<'a> {
    /// Of this panel.
    pub fn new(panel: Panel, state: &'a State, view: &View) -> Self {
        let mut active: HashMap<&str, Severity> = HashMap::new();
        let mut shown = Vec::new();
        if panel == Panel::Sensors {
            let filter = view.filter.to_lowercase();
            let is_shown =
                |number: &usize| filter.is_empty() || state.sensors[*number].name.to_lowercase().contains(&filter);
            shown = state.by_name.iter().copied().filter(is_shown).collect();
            for alarm in state.alarms.iter().filter(|alarm| alarm.state == AlarmState::Active) {
                let severity = active.entry(&alarm.sensor).or_insert(alarm.severity);
                *severity = alarm.severity.max(*severity);
            }
        }
        Self { panel, state, shown, active }
    }

    /// How many.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        match self.panel {
            Panel::Alarms => self.state.alarms.len(),
            Panel::Sensors => self.shown.len(),
            Panel::Sources => self.state.status.sources.len(),
            Panel::Events => self.state.events.len(),
            Panel::Refused => self.state.refused.len(),
        }
    }

    /// The numbers of the sensors of some rows.
    pub fn sensors(&self, from: usize, count: usize) -> Vec<usize> {
        self.shown.iter().skip(from).take(count).copied().collect()
    }

    /// One of them in so many columns.
    pub fn line(&self, row: usize, width: usize, heard_ms_ago: u64, manner: &Manner) -> Line<'static> {
        let now = self.state.wall_ms.saturating_add_unsigned(heard_ms_ago);
        let time = |ms| text::clock(ms, now, &manner.zone);
        match self.panel {
            Panel::Alarms => self.state.alarms.get(row).map(|one| alarm(one, now, width, manner)),
            Panel::Sensors => self.shown.get(row).map(|number| {
                let one = &self.state.sensors[*number];
                self.sensor(one, width, self.state.boot_ms + heard_ms_ago, manner)
            }),
            Panel::Sources => self.state.status.sources.iter().nth(row).map(|(name, source)| {
                let rejects: Vec<_> = source.rejects.iter().map(|(why, count)| format!("{count} {why}")).collect();
                let refused: u64 = source.rejects.values().sum();
                let state = if source.up { "up  " } else { "DOWN" };
                let mut text = format!("{} messages, {} readings", source.messages, source.readings);
                if refused > 0 {
                    // First what may be cut off last.
                    text = format!("{refused} refused: {}; {text}", rejects.join(", "));
                }
                let style = if source.up && refused == 0 {
                    Style::new()
                } else {
                    view::colour(if source.up { Color::Yellow } else { Color::Red }, manner)
                };
                let name_room = (width / 3).clamp(6, 24);
                Line::from(vec![
                    Span::styled(format!("{state} "), style),
                    Span::raw(fit(name, name_room, manner.unicode)),
                    Span::styled(fit(&format!(" {text}"), width.saturating_sub(name_room + 5), manner.unicode), style),
                ])
            }),
            Panel::Events => self.state.events.get(row).map(|one| {
                let severity = fit(one.severity.as_str(), 9, manner.unicode);
                let room = width.saturating_sub(22);
                let style = view::mark(one.severity, manner);
                Line::from(vec![
                    Span::raw(fit(&time(one.time_ms), 13, manner.unicode)),
                    Span::styled(severity, style),
                    Span::raw(fit(&told(one), room, manner.unicode)),
                ])
            }),
            Panel::Refused => self.state.refused.get(row).map(|one| {
                let topic = one.topic.as_ref().map_or_else(String::new, |topic| format!(" on {topic}"));
                let times = if one.times > 1 { format!(" ({} times)", one.times) } else { String::new() };
                let words = format!("{}{topic}: {}, {}{times}", one.source, one.reason, one.what);
                Line::raw(format!(
                    "{}{}",
                    fit(&time(one.at_ms), 13, manner.unicode),
                    fit(&words, width.saturating_sub(13), manner.unicode)
                ))
            }),
        }
        .unwrap_or_default()
    }

    fn sensor(&self, sensor: &Sensor, width: usize, boot_ms: u64, manner: &Manner) -> Line<'static> {
        let utf8 = manner.unicode;
        let (value_room, age_room) = if width >= 60 { (16, 12) } else { ((width * 2 / 5).min(14), 0) };
        let spark_room = if width >= 60 { (width / 4).min(60) } else { 0 };
        let limit_room = if width >= 110 { (width / 5).min(36) } else { 0 };
        let name_room = width.saturating_sub(value_room + age_room + spark_room + limit_room + 1);
        let severity = self.active.get(sensor.name.as_str()).copied();
        let style = severity.map_or_else(Style::new, |severity| view::mark(severity, manner));
        let value = text::value(sensor.value.as_ref(), sensor.unit.as_deref());
        let mark = if severity.is_some() { "!" } else { " " };
        // The gateway notes when a sensor speaks, but not before it has been looked at once.
        let unseen = if sensor.value.is_none() { "never" } else { "before" };
        let age = sensor.seen_ms.map_or_else(|| unseen.to_owned(), |seen| text::duration(boot_ms.saturating_sub(seen)));
        let limit = sensor
            .limits
            .first()
            .map_or_else(String::new, |one| text::limit(Some(one.condition), &one.limit, sensor.unit.as_deref()));
        let dim = Style::new().add_modifier(Modifier::DIM);
        let slot_ms = u64::try_from(crate::ops::board::sensors::BUCKET.as_millis()).unwrap_or(u64::MAX);
        let newest = u32::try_from(boot_ms / slot_ms).unwrap_or(u32::MAX);
        let points = sensor.points.iter().map(|point| (point.0, point.3));
        Line::from(vec![
            Span::styled(format!("{mark}{}", fit_end(&sensor.name, name_room, utf8)), style),
            Span::styled(fit(&format!(" {value}"), value_room, utf8), style),
            Span::styled(fit(&format!(" {age}"), age_room, utf8), dim),
            Span::raw(text::spark(points, newest, spark_room, utf8)),
            Span::styled(fit(&format!(" {limit}"), limit_room, utf8), dim),
        ])
    }
}

/// How long, where it stands, and what an operator has done about it.
pub fn alarm_words(alarm: &AlarmLine, now_ms: i64) -> String {
    let state = match alarm.state {
        AlarmState::Normal => "normal",
        AlarmState::Pending => "on delay",
        AlarmState::Active => "active",
        AlarmState::Clearing => "clearing",
    };
    let mut words = state.to_owned();
    if let Some(since) = alarm.since.as_ref().and_then(|since| since.parse::<jiff::Timestamp>().ok()) {
        let ms = now_ms.saturating_sub(since.as_millisecond()).max(0).unsigned_abs();
        words.push_str(&format!(" for {}", text::duration(ms)));
    }
    for (holds, word) in [
        (alarm.waits_for_acknowledgement, ", gone, waits to be acknowledged"),
        (alarm.acknowledged, ", acknowledged"),
        (alarm.suppressed, ", suppressed"),
    ] {
        words.push_str(if holds { word } else { "" });
    }
    if let Some(seconds) = alarm.shelved_s {
        words.push_str(&format!(", shelved for {}", text::duration(seconds.saturating_mul(1000))));
    }
    words
}

fn alarm(alarm: &AlarmLine, now_ms: i64, width: usize, manner: &Manner) -> Line<'static> {
    let utf8 = manner.unicode;
    let style = view::mark(alarm.severity, manner);
    let value = text::value(alarm.value.as_ref(), alarm.unit.as_deref());
    let limit = match alarm.condition {
        Some(ConditionKind::Stale) => text::limit(alarm.condition, &alarm.limit, None),
        condition => format!("{value}, {}", text::limit(condition, &alarm.limit, alarm.unit.as_deref())),
    };
    let room = width.saturating_sub(9);
    // The name says most, then the sensor; the rest as far as there is room.
    let words = format!("{} {} {limit}, {}", alarm.alarm, alarm.sensor, alarm_words(alarm, now_ms));
    Line::from(vec![
        Span::styled(fit(alarm.severity.as_str(), 9.min(width), utf8), style),
        Span::styled(fit(&words, room, utf8), style),
    ])
}

/// An event in words.
pub fn told(event: &Told) -> String {
    let subject = &event.subject;
    let Some(alarm) = &event.alarm else {
        let kind = trail::short_type(&event.event_type);
        return format!("{kind} {subject}: {}", event.text.as_deref().unwrap_or_default());
    };
    let change = match alarm.change {
        Change::Raised => "raised",
        Change::Escalated => "escalated",
        Change::Repeated => "still active",
        Change::Cleared => "cleared",
        Change::Superseded => "superseded",
    };
    let limit = text::limit(Some(alarm.condition), &alarm.limit, alarm.unit.as_deref());
    let value = match alarm.condition {
        ConditionKind::Stale => String::new(),
        _ => format!(" at {}", text::value(alarm.value.as_ref(), alarm.unit.as_deref())),
    };
    format!("{} {change}: {subject}{value} ({limit})", alarm.name)
}
