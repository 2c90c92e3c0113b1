//! `tidegate status`: asks the running gateway how it is.

use std::path::Path;

use crate::cli::client;
use crate::error::Failure;
use crate::ops::status::Status;

/// Prints the status for a person, or as JSON.
///
/// # Errors
/// No gateway answers, or standard output cannot be written.
pub fn status(socket: &Path, json: bool) -> Result<(), Failure> {
    let status: Status = client::get(socket, "/v1/status")?;
    let text = if json { client::to_json(&status)? } else { render(&status) };
    client::print(|out| writeln!(out, "{text}"))
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
    if let Some(replay) = &status.replay {
        lines.push(format!("replay    {}", replay.line()));
        lines.extend(replay.fault.iter().map(|fault| format!("          {fault}")));
    }
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
