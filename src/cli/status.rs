//! `tidegate status`: asks the running gateway how it is.

use std::path::Path;

use crate::cli::client;
use crate::clock::ClockState;
use crate::error::Failure;
use crate::ops::status::{ClockShown, Status};

/// Prints the status for a person, or as JSON.
///
/// # Errors
/// No gateway answers, or standard output cannot be written.
pub fn status(socket: &Path, json: bool) -> Result<(), Failure> {
    let status: Status = client::get(socket, "/v1/status")?;
    let text = if json { client::to_json(&status)? } else { render(&status) };
    client::print(|out| writeln!(out, "{text}"))
}

fn clock(clock: &ClockShown) -> Vec<String> {
    let ClockShown { time, since, .. } = clock;
    let by = clock.confirmed_by.as_deref().unwrap_or("nobody");
    let mut lines = vec![match clock.state {
        ClockState::Unsynchronized => {
            format!("clock     NOT SYNCHRONIZED: says {time}, which no time service has confirmed")
        }
        _ => format!("clock     {time}, synchronized since {since} (by {by})"),
    }];
    if let Some(jump) = &clock.last_jump {
        let times = if clock.jumps == 1 { "once".to_owned() } else { format!("{} times", clock.jumps) };
        lines.push(format!("          set {times} since the start, last from {} to {}", jump.before, jump.after));
    }
    if clock.repaired > 0 {
        lines.push(format!("          {} events from before it was known sent with repaired times", clock.repaired));
    }
    lines
}

fn render(status: &Status) -> String {
    let mut lines = vec![format!("tidegate {} on gateway {}", status.version, status.gateway)];
    match &status.upstream {
        None => lines.push("upstream  not configured: events are stored and not forwarded".to_owned()),
        Some(upstream) if upstream.connected => lines.push(format!(
            "upstream  connected since {}, {} in flight, {} delivered",
            upstream.since, upstream.inflight, upstream.delivered
        )),
        Some(upstream) => {
            lines.push(format!("upstream  not connected since {}", upstream.since));
            lines.extend(upstream.last_error.iter().map(|error| format!("          {error}")));
            lines.extend(upstream.next_attempt.iter().map(|time| format!("          next attempt at {time}")));
        }
    }
    if let Some(unmatched) = status.upstream.as_ref().map(|upstream| upstream.unmatched).filter(|count| *count > 0) {
        lines.push(format!(
            "          {unmatched} delivered events had no subscriber at the broker: is anybody listening?"
        ));
    }
    if let Some(replay) = &status.replay {
        lines.push(format!("replay    {}", replay.line()));
        lines.extend(replay.fault.iter().map(|fault| format!("          {fault}")));
    }
    lines.extend(status.clock.iter().flat_map(clock));
    let store = &status.store;
    let share = store.bytes.saturating_mul(100).checked_div(store.max_bytes).unwrap_or(0);
    lines.push(format!(
        "store     {} events waiting, {} KiB on disk ({share} % of the quota), {} lost, {} set aside",
        store.waiting,
        store.bytes / 1024,
        store.lost,
        store.dead
    ));
    if store.retain_delivered > 0 {
        lines.push(format!("          {} KiB of them delivered events that are kept", store.retained_bytes / 1024));
    }
    if store.dead_letters > 0 {
        lines.push(format!(
            "          {} dead letters, {} of them to be sent again: `tidegate dead list` shows what the upstream refuses",
            store.dead_letters, store.dead_retries
        ));
    }
    if store.full {
        lines.push("          FULL: takes nothing more until events are delivered or space returns".to_owned());
    }
    lines.extend(store.fault.iter().map(|fault| format!("          FAULT: {fault}")));
    if let Some(wear) = &status.wear {
        let each = wear.per_event_bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes an event"));
        let hours = wear.day_s.div_ceil(3600);
        lines.push(format!(
            "flash     {} KiB written since the start{each}, {} KiB in the last {hours} h",
            wear.written_bytes / 1024,
            wear.day_bytes / 1024
        ));
    }
    let readings = &status.readings;
    lines.push(format!(
        "readings  {} evaluated, {} late, {} refused",
        readings.evaluated, readings.late, readings.refused
    ));
    for (name, source) in &status.sources {
        let state = if source.up { "up" } else { "DOWN" };
        lines.push(format!("source    {name}: {state}, {} messages, {} readings", source.messages, source.readings));
        for (reason, count) in &source.rejects {
            lines.push(format!("          refused {count}: {reason}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::status::JumpShown;

    fn shown(state: ClockState) -> ClockShown {
        ClockShown {
            time: "2026-11-21T07:00:00Z".into(),
            state,
            confirmed_by: (state == ClockState::Synchronized).then(|| "chrony".into()),
            since: "2026-11-21T06:00:00Z".into(),
            jumps: 0,
            last_jump: None,
            repaired: 0,
        }
    }

    #[test]
    fn the_clock_is_told_in_words() {
        assert_eq!(
            clock(&shown(ClockState::Synchronized)),
            ["clock     2026-11-21T07:00:00Z, synchronized since 2026-11-21T06:00:00Z (by chrony)"]
        );
        let jump = JumpShown { before: "1970-01-01T00:01:00Z".into(), after: "2026-11-21T06:00:00Z".into() };
        let told =
            clock(&ClockShown { jumps: 2, last_jump: Some(jump), repaired: 7, ..shown(ClockState::Unsynchronized) });
        assert!(told[0].contains("NOT SYNCHRONIZED: says 2026-11-21T07:00:00Z"), "{told:?}");
        assert!(told[1].contains("set 2 times") && told[1].contains("from 1970-01-01T00:01:00Z"), "{told:?}");
        assert!(told[2].contains("7 events"), "{told:?}");
    }
}
