//! What stands where on the screen. Pure: the state, the time since it was said, and the size go in, cells come out.
//!
//! Owns the head (verdict, upstream, queue, store, clock), and the panels' places: side by side on a large screen, else one
//! at a time. The rows of the panels are in [`super::panels`].

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::model::State;
use super::panels::{self, Panel};
use super::text::{self, Manner};
use crate::clock::ClockState;
use crate::config::model::Severity;
use crate::event::AlarmState;

/// From this size on all panels are shown side by side.
const LARGE: (u16, u16) = (120, 34);

/// Below this height the head is two lines.
const LOW: u16 = 16;

/// What the operator has chosen.
#[derive(Debug, Default)]
pub struct View {
    /// The panel that the arrows move.
    pub panel: Panel,
    /// The first row shown of each panel.
    pub offsets: [usize; Panel::ALL.len()],
    /// Only sensors with this in their names.
    pub filter: String,
    /// The filter is being typed.
    pub is_typing: bool,
    /// Why the gateway cannot be reached.
    pub lost: Option<String>,
    /// Milliseconds since the state was said.
    pub heard_ms_ago: u64,
    /// Rows of the sensors that are on the screen, by their numbers; for who looks up their last hour.
    pub visible: Vec<usize>,
    /// Rows a page has in the chosen panel.
    pub page: usize,
}

/// How something is marked.
pub fn mark(severity: Severity, manner: &Manner) -> Style {
    if !manner.colour {
        return Style::new().add_modifier(if severity >= Severity::High { Modifier::BOLD } else { Modifier::empty() });
    }
    match severity {
        Severity::Critical => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Severity::High => Style::new().fg(Color::Red),
        Severity::Medium => Style::new().fg(Color::Yellow),
        Severity::Low => Style::new().fg(Color::Cyan),
        Severity::Info => Style::new().fg(Color::Blue),
    }
}

/// In a colour where there are some, else bold.
pub fn colour(colour: Color, manner: &Manner) -> Style {
    if manner.colour { Style::new().fg(colour) } else { Style::new().add_modifier(Modifier::BOLD) }
}

/// Draws all of it. `view` is told what is visible, and its offsets are kept within what there is.
pub fn draw(frame: &mut Frame, state: Option<&State>, view: &mut View, manner: &Manner) {
    let area = frame.area();
    view.visible.clear();
    let mut at = 0;
    let head = match state {
        Some(state) => head(state, view, manner, area),
        None => Vec::new(),
    };
    for line in lost(view, state.is_some(), manner).into_iter().chain(head) {
        put(frame, area, at, &line);
        at += 1;
    }
    let foot = area.height.saturating_sub(1);
    if let Some(state) = state {
        let body = Rect { y: area.y + at, height: foot.saturating_sub(at), ..area };
        match area.width >= LARGE.0 && area.height >= LARGE.1 {
            true => side_by_side(frame, body, state, view, manner),
            false => tabs(frame, body, state, view, manner),
        }
    }
    if foot > 0 {
        put(frame, area, foot, &keys(view, area.width, manner));
    }
}

/// One line of an area; what is beyond it is not drawn.
fn put(frame: &mut Frame, area: Rect, at: u16, line: &Line) {
    if at < area.height {
        frame.buffer_mut().set_line(area.x, area.y + at, line, area.width);
    }
}

fn lost(view: &View, is_known: bool, manner: &Manner) -> Vec<Line<'static>> {
    let Some(why) = &view.lost else {
        return if is_known { Vec::new() } else { vec![Line::raw("asking the gateway ...")] };
    };
    let style = colour(Color::Red, manner).add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::styled("gateway not reachable, trying again", style)];
    lines.extend(why.lines().map(|line| Line::raw(text::tame(line, manner.unicode).into_owned())));
    if is_known {
        let ago = text::duration(view.heard_ms_ago);
        lines.push(Line::raw(format!("what follows was so {ago} ago")));
    }
    lines
}

/// What is to be said first, worst first; true: it is more than a hint.
pub fn verdict(state: &State) -> (String, bool, Vec<String>) {
    let status = &state.status;
    let mut why = Vec::new();
    let is_active = |state: AlarmState| matches!(state, AlarmState::Active | AlarmState::Clearing);
    let active = state.alarms.iter().filter(|alarm| is_active(alarm.state)).count();
    why.extend(status.store.fault.iter().map(|fault| format!("store fault: {fault}")));
    if status.store.full {
        why.push("the store is full and takes nothing more".to_owned());
    }
    let is_bad = !why.is_empty();
    match &status.upstream {
        None => why.push("no upstream is configured: events are stored and not forwarded".to_owned()),
        Some(upstream) if !upstream.connected && !upstream.between_calls => {
            why.push(format!("upstream is not connected: {}", upstream.last_error.as_deref().unwrap_or("trying")));
        }
        Some(upstream) => why.extend(upstream.refused.iter().map(|why| format!("upstream refuses events: {why}"))),
    }
    let down = status.sources.iter().filter(|(_, source)| !source.up);
    why.extend(down.map(|(name, _)| match state.links.get(name).filter(|link| !link.up) {
        Some(link) => format!("source {name} is down: {}", link.reason),
        None => format!("source {name} is not connected"),
    }));
    if status.store.dead_letters > 0 {
        why.push(format!("{} events set aside: `tidegate dead list`", status.store.dead_letters));
    }
    if state.engine_waits {
        why.push("the engine waits for the store; alarms are shown as they were".to_owned());
    }
    why.extend(status.upstream.iter().filter_map(|up| up.certificate.as_ref()?.notice.clone()));
    if status.clock.as_ref().is_some_and(|clock| clock.state == ClockState::Unsynchronized) {
        why.push("the clock is not synchronized; times are doubtful".to_owned());
    }
    let said = match (active, why.is_empty()) {
        (0, true) => "all is well".to_owned(),
        (0, false) => "no alarm, but something needs a look".to_owned(),
        (1, _) => "1 alarm is active".to_owned(),
        (several, _) => format!("{several} alarms are active"),
    };
    (said, is_bad || active > 0, why)
}

/// The facts of the head: what each is about, and in words.
pub fn facts(state: &State, heard_ms_ago: u64, manner: &Manner) -> Vec<(&'static str, String)> {
    let status = &state.status;
    let now = state.wall_ms.saturating_add_unsigned(heard_ms_ago);
    let mut facts = Vec::new();
    if let Some(up) = &status.upstream {
        let word = match (up.connected, up.between_calls) {
            (true, _) => "connected",
            (_, true) => "between calls",
            _ => "NOT CONNECTED",
        };
        let since = up.since.parse::<jiff::Timestamp>().map_or_else(
            |_| String::new(),
            |since| {
                format!(" for {}", text::duration(now.saturating_sub(since.as_millisecond()).max(0).unsigned_abs()))
            },
        );
        let broker = up.broker.as_ref().map_or_else(String::new, |broker| format!(", {broker}"));
        let next = up.next_attempt.as_ref().map_or_else(String::new, |next| format!(", next attempt at {next}"));
        let (inflight, delivered) = (up.inflight, up.delivered);
        facts.push(("upstream", format!("{word}{since}, {inflight} in flight, {delivered} delivered{broker}{next}")));
    }
    let (store, queue) = (&status.store, &state.queue);
    let (stored, delivered) = (text::rate(queue.stored_per_s), text::rate(queue.delivered_per_s));
    let mut waiting = format!("{} waiting, {stored} in, {delivered} out", store.waiting);
    if let Some(left) = queue.left_s {
        waiting.push_str(&format!(", empty in {}", text::duration(left * 1000)));
    }
    if let Some(oldest) = queue.oldest_ms.filter(|_| store.waiting > 0) {
        waiting.push_str(&format!(", oldest {} old", text::duration(now.saturating_sub(oldest).max(0).unsigned_abs())));
    }
    facts.push(("queue", waiting));
    let share = store.bytes.saturating_mul(100).checked_div(store.max_bytes).unwrap_or(0);
    let (bytes, most) = (text::bytes(store.bytes), text::bytes(store.max_bytes));
    let (lost, dead) = (store.lost, store.dead_letters);
    facts.push(("store", format!("{bytes} of {most} ({share} %), {lost} lost, {dead} dead letters")));
    if let Some(wear) = &status.wear {
        let each = wear.per_event_bytes.map_or_else(String::new, |each| format!(", {} an event", text::bytes(each)));
        let (day, stretch) = (text::bytes(wear.day_bytes), text::duration(wear.day_s.saturating_mul(1000)));
        facts.push(("flash", format!("{day} written in the last {stretch}{each}")));
    }
    if let Some(clock) = &status.clock {
        let by = clock.confirmed_by.as_deref().unwrap_or("nobody");
        let jumps = if clock.jumps > 0 { format!(", set {} times", clock.jumps) } else { String::new() };
        let word = match clock.state {
            ClockState::Unsynchronized => "NOT SYNCHRONIZED".to_owned(),
            _ => format!("synchronized by {by}"),
        };
        facts.push(("clock", format!("{}, {word}{jumps}", text::clock(now, now, &manner.zone))));
    }
    facts
}

fn head(state: &State, view: &View, manner: &Manner, area: Rect) -> Vec<Line<'static>> {
    let tame = |said: &str| text::tame(said, manner.unicode).into_owned();
    let (said, is_bad, why) = verdict(state);
    let style = match (is_bad, why.is_empty()) {
        (true, _) => colour(Color::Red, manner),
        (_, false) => colour(Color::Yellow, manner),
        _ => colour(Color::Green, manner),
    };
    let gateway = format!("{} ", tame(&state.status.gateway));
    let mut lines = vec![Line::from(vec![
        Span::styled(gateway, Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(said, style.add_modifier(Modifier::BOLD)),
        Span::raw(format!("  tidegate {}", state.status.version)),
    ])];
    let (reasons, facts_shown) = if area.height < LOW { (1, 1) } else { (3, usize::MAX) };
    // What is said to be wrong may be long: it is what the operator is here for.
    let room = usize::from(area.width).max(3);
    for reason in why.iter().take(reasons) {
        lines.push(Line::styled(format!("! {}", text::fit(reason, room - 2, manner.unicode)), style));
    }
    if why.len() > reasons {
        lines.push(Line::styled(format!("! and {} more: `tidegate status`", why.len() - reasons), style));
    }
    for (what, fact) in facts(state, view.heard_ms_ago, manner).into_iter().take(facts_shown) {
        let dim = Style::new().add_modifier(Modifier::DIM);
        lines.push(Line::from(vec![Span::styled(format!("{what:<9}"), dim), Span::raw(tame(&fact))]));
    }
    lines
}

fn tabs(frame: &mut Frame, area: Rect, state: &State, view: &mut View, manner: &Manner) {
    let mut spans = Vec::new();
    for panel in Panel::ALL {
        let is_chosen = panel == view.panel;
        let style = if is_chosen { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        let title = if area.width < 60 && !is_chosen { panel.short(state) } else { panel.title(state, view) };
        spans.push(Span::styled(format!(" {title} "), style));
    }
    put(frame, area, 0, &Line::from(spans));
    let rows = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if area.height > 1 {
        fill(frame, rows, view.panel, state, view, manner);
    }
}

fn side_by_side(frame: &mut Frame, area: Rect, state: &State, view: &mut View, manner: &Manner) {
    let left = area.width * 11 / 20;
    let right = area.width - left - 1;
    let (alarms, sources) = (area.height / 4, area.height / 5);
    let rest = area.height - alarms - sources;
    let (events, refused) = (rest - rest / 3, rest / 3);
    let column = |x, width, y: u16, height| Rect { x: area.x + x, width, y: area.y + y, height };
    let places = [
        (Panel::Alarms, column(0, left, 0, alarms)),
        (Panel::Sensors, column(0, left, alarms, area.height - alarms)),
        (Panel::Sources, column(left + 1, right, 0, sources)),
        (Panel::Events, column(left + 1, right, sources, events)),
        (Panel::Refused, column(left + 1, right, sources + events, refused)),
    ];
    for (panel, place) in places {
        let bar = if manner.unicode { "─" } else { "-" };
        let title = format!("{bar} {} ", panel.title(state, view));
        let line = format!("{title}{}", bar.repeat(usize::from(place.width).saturating_sub(text::width(&title))));
        let chosen = if panel == view.panel { Modifier::REVERSED } else { Modifier::DIM };
        put(frame, place, 0, &Line::styled(line, Style::new().add_modifier(chosen)));
        let rows = Rect { y: place.y + 1, height: place.height.saturating_sub(1), ..place };
        fill(frame, rows, panel, state, view, manner);
    }
}

/// The rows of one panel, from its offset on.
fn fill(frame: &mut Frame, area: Rect, panel: Panel, state: &State, view: &mut View, manner: &Manner) {
    let room = usize::from(area.height);
    let rows = panels::Rows::new(panel, state, view);
    let offset = &mut view.offsets[panel as usize];
    *offset = (*offset).min(rows.len().saturating_sub(room));
    let from = *offset;
    if panel == view.panel {
        view.page = room.max(1);
    }
    if panel == Panel::Sensors {
        view.visible = rows.sensors(from, room);
    }
    if rows.len() == 0 {
        return put(frame, area, 0, &Line::raw(panels::nothing(panel, view)));
    }
    for at in 0..room.min(rows.len() - from) {
        let line = rows.line(from + at, usize::from(area.width), view.heard_ms_ago, manner);
        put(frame, area, at as u16, &line);
    }
}

fn keys(view: &View, width: u16, manner: &Manner) -> Line<'static> {
    let words = match (view.is_typing, width < 60) {
        (true, _) => format!("filter: {}_  (Enter keeps it, Esc drops it)", text::tame(&view.filter, manner.unicode)),
        (_, true) => "q quit  Tab panel  / filter".to_owned(),
        _ => "q quit   Tab, left, right panel   up, down, PgUp, PgDn scroll   / filter sensors".to_owned(),
    };
    Line::styled(words, Style::new().add_modifier(Modifier::DIM))
}
