//! `tidegate status`: asks the running gateway how it is.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use crate::cli::client;
use crate::cli::top::text::tame;
use crate::clock::ClockState;
use crate::error::Failure;
use crate::forward::breaker::State;
use crate::ops::status::{BreakerShown, CertificateShown, ClockShown, Status, UpstreamShown};

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate status
  tidegate status --watch
  tidegate status --json | jq .store.waiting

Exit codes: 0 the gateway answers, 1 it does not, 2 usage.";

/// How often it is asked with `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Prints the status for a person, or as JSON.
///
/// # Errors
/// No gateway answers, or standard output cannot be written.
pub fn status(socket: &Path, json: bool) -> Result<(), Failure> {
    let status: Status = client::get(socket, "/v1/status")?;
    let text = if json { client::to_json(&status)? } else { render(&status) };
    client::print(|out| writeln!(out, "{text}"))
}

/// Prints the status again and again, until nobody reads it any more. A gateway that does not answer is told, and asked
/// again.
///
/// # Errors
/// Standard output cannot be written.
pub fn watch(socket: &Path, json: bool) -> Result<(), Failure> {
    let in_place = std::io::stdout().is_terminal() && !json;
    loop {
        let text = match client::get::<Status>(socket, "/v1/status") {
            Ok(status) if json => serde_json::to_string(&status).unwrap_or_default(),
            Ok(status) => render(&status),
            Err(Failure::Failed(text)) if json => serde_json::json!({ "error": text }).to_string(),
            Err(Failure::Failed(text)) => text,
            Err(other) => return Err(other),
        };
        let mut out = std::io::stdout().lock();
        // Home, and clear below.
        let head = if in_place { "\x1b[H\x1b[J" } else { "" };
        let tail = if in_place || json { "" } else { "\n" };
        match writeln!(out, "{head}{text}{tail}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => {
                return Err(Failure::Failed(format!("error: standard output cannot be written: {error}")));
            }
            Ok(()) => {}
        }
        drop(out);
        std::thread::sleep(WATCH_EVERY);
    }
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

fn upstream(upstream: &UpstreamShown) -> Vec<String> {
    let BreakerShown { state, failures, next_attempt } = &upstream.breaker;
    let mut lines = Vec::new();
    if upstream.connected {
        lines.push(format!(
            "upstream  connected since {}, {} in flight, {} delivered",
            upstream.since, upstream.inflight, upstream.delivered
        ));
    } else if upstream.between_calls {
        let next = upstream.next_attempt.as_deref().unwrap_or("the next minute of `connect_when`");
        let (since, delivered) = (&upstream.since, upstream.delivered);
        lines.push(format!("upstream  between calls since {since}, the next at {next}, {delivered} delivered"));
    } else {
        lines.push(format!("upstream  not connected since {}", upstream.since));
        lines.extend(upstream.last_error.iter().map(|error| format!("          {error}")));
        lines.extend(upstream.next_attempt.iter().map(|time| format!("          next attempt at {time}")));
    }
    let row = if *failures == 1 { "1 failure".to_owned() } else { format!("{failures} failures in a row") };
    match state {
        State::Closed if upstream.connected || *failures == 0 => {}
        State::Closed => lines.push(format!("          circuit breaker closed, {row}")),
        State::Open => {
            lines.push(format!("          circuit breaker OPEN, {row}: the next connection starts with few events"));
        }
        State::HalfOpen => {
            let doing = if upstream.connected { "a few events go first" } else { "an attempt is under way" };
            lines.push(format!("          circuit breaker half-open, {row}: {doing}"));
        }
    }
    if next_attempt.is_some() {
        lines.push("          `tidegate upstream reconnect` tries at once".to_owned());
    }
    lines
}

fn certificate(one: &CertificateShown) -> String {
    match &one.notice {
        Some(notice) if one.days_left < 0 => format!("          EXPIRED: {notice}"),
        Some(notice) => format!("          WARNING: {notice}"),
        None => format!(
            "          first certificate to expire: {} \"{}\" on {}, in {} days",
            one.what, one.subject, one.expires, one.days_left
        ),
    }
}

fn render(status: &Status) -> String {
    let mut lines = vec![format!("tidegate {} on gateway {}", status.version, status.gateway)];
    match &status.upstream {
        None => lines.push("upstream  not configured: events are stored and not forwarded".to_owned()),
        Some(upstream) => lines.extend(self::upstream(upstream)),
    }
    lines.extend(status.upstream.iter().filter_map(|upstream| upstream.certificate.as_ref()).map(certificate));
    if let Some(upstream) = &status.upstream
        && let (Some(broker), 2..) = (&upstream.broker, upstream.brokers)
    {
        let (number, of) = (upstream.broker_number, upstream.brokers);
        let back = if number > 1 && upstream.connected { "; the ones before it are tried now and then" } else { "" };
        lines.push(format!("          broker {broker}, number {number} of {of}{back}"));
    }
    if let Some(refusals) = status.upstream.as_ref().map(|upstream| upstream.refusals).filter(|count| *count > 0) {
        lines.push(format!("          {refusals} times the broker refused an event: its reasons are in the log"));
    }
    if let Some(unmatched) = status.upstream.as_ref().map(|upstream| upstream.unmatched).filter(|count| *count > 0) {
        lines.push(format!(
            "          {unmatched} delivered events had no subscriber at the broker: is anybody listening?"
        ));
    }
    if let Some(http) = &status.http {
        lines.push(match &http.fault {
            None => format!("page      http://{}/", http.listen),
            Some(fault) => format!("page      NOT SERVED: {fault}"),
        });
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
    if readings.recorded + readings.not_recorded > 0 {
        lines.push(format!("record    {} readings kept, {} not", readings.recorded, readings.not_recorded));
    }
    lines.extend(readings.record_fault.iter().map(|fault| format!("          NOT RECORDING: {fault}")));
    for (name, source) in &status.sources {
        let state = match &source.since {
            _ if source.up => "up".to_owned(),
            Some(since) => format!("DOWN since {since}"),
            None => "DOWN".to_owned(),
        };
        lines.push(format!("source    {name}: {state}, {} messages, {} readings", source.messages, source.readings));
        lines.extend(source.reason.iter().filter(|_| !source.up).map(|reason| format!("          {reason}")));
        for (reason, count) in &source.rejects {
            lines.push(format!("          refused {count}: {reason}"));
        }
    }
    // What brokers and the system say is in it: that must not command the terminal.
    let tamed: Vec<_> = lines.iter().flat_map(|line| line.split('\n')).map(|line| tame(line, true)).collect();
    tamed.join("\n")
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
    fn the_upstream_tells_what_is_wrong_when_it_is_tried_again_and_what_is_thought_of_it() {
        let shown = |connected: bool, state, failures| {
            let next_attempt = (!connected && state != State::HalfOpen).then(|| "2026-11-21T07:05:00Z".to_owned());
            let breaker = BreakerShown { state, failures, next_attempt: next_attempt.clone() };
            upstream(&UpstreamShown {
                certificate: None,
                broker: None,
                broker_number: 1,
                brokers: 1,
                connected,
                since: "2026-11-21T07:00:00Z".into(),
                last_error: Some("the cable is out".into()),
                next_attempt,
                breaker,
                between_calls: false,
                window: 256,
                inflight: 3,
                delivered: 40,
                unmatched: 0,
                refusals: 0,
                retries: 0,
            })
            .join("\n")
        };
        let text = shown(true, State::Closed, 7);
        assert_eq!(text, "upstream  connected since 2026-11-21T07:00:00Z, 3 in flight, 40 delivered");
        let text = shown(false, State::Closed, 1);
        assert!(text.contains("breaker closed, 1 failure") && text.contains("the cable is out"), "{text}");
        let text = shown(false, State::Open, 7);
        assert!(text.contains("breaker OPEN, 7 failures in a row") && text.contains("upstream reconnect"), "{text}");
        let text = shown(false, State::HalfOpen, 7);
        assert!(text.contains("half-open") && text.contains("under way") && !text.contains("reconnect"), "{text}");
        assert!(shown(true, State::HalfOpen, 7).contains("a few events go first"));
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
