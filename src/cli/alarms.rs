//! `tidegate alarms`: shows the alarms of the running gateway and tells them what an operator decides.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::cli::client;
use crate::cli::top::text::tame;
use crate::error::Failure;
use crate::ops::control::alarms::{AlarmAnswer, AlarmLine, AlarmRequest};
use crate::reading::Value;

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate alarms list
  tidegate alarms ack too-warm zigbee/cold-store/temperature
  tidegate alarms shelve too-warm 'zigbee/+/temperature' --for 2h
  tidegate alarms unshelve too-warm 'zigbee/+/temperature' --json
  tidegate alarms suppress silent 'boiler/#'        out of service: quiet until it is put back
  tidegate alarms unsuppress silent 'boiler/#'

Exit codes: 0 done, 1 no gateway answers or there is no such alarm, 2 usage.";

/// Lists every alarm that is not plainly normal.
///
/// # Errors
/// No gateway answers, or standard output cannot be written.
pub fn list(socket: &Path, json: bool) -> Result<(), Failure> {
    let alarms: Vec<AlarmLine> = client::get(socket, "/v1/alarms")?;
    if json {
        let text = client::to_json(&alarms)?;
        return client::print(|out| writeln!(out, "{text}"));
    }
    client::print(|out| {
        if alarms.is_empty() {
            writeln!(out, "no alarm is active, pending, shelved or suppressed")?;
        }
        alarms.iter().try_for_each(|alarm| writeln!(out, "{}", line(alarm)))
    })
}

/// One alarm, or some.
#[derive(Debug, Args)]
pub struct Which {
    /// The alarm's name
    alarm: String,
    /// The sensor's name, or a pattern with + and #
    sensor: String,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// Sends one command and says what came of it.
///
/// # Errors
/// No gateway answers, or no alarm was changed by it.
pub fn tell(socket: &Path, what: &str, which: Which, time: Option<Duration>) -> Result<(), Failure> {
    let Which { alarm, sensor, json } = which;
    let request = AlarmRequest { alarm, sensor, for_seconds: time.map(whole_seconds) };
    let answer: AlarmAnswer = client::post(socket, &format!("/v1/alarms/{what}"), &request)?;
    if json {
        let text = client::to_json(&answer)?;
        client::print(|out| writeln!(out, "{text}"))?;
    }
    if answer.changed {
        return if json { Ok(()) } else { client::print(|out| writeln!(out, "done")) };
    }
    let AlarmRequest { alarm, sensor, .. } = request;
    Err(Failure::Failed(format!(
        "error: nothing to {what} for alarm `{alarm}` on `{sensor}`\n  = help: `tidegate alarms list` shows what there is"
    )))
}

/// The rest of a second counts as one: "500ms" is not nothing.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

fn line(alarm: &AlarmLine) -> String {
    let unit = alarm.unit.as_deref().unwrap_or_default();
    let shown = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), |value| format!("{value} {unit}"));
    let mut line = format!(
        "{:<8} {:<8} {} on {}: {} (peak {})",
        format!("{:?}", alarm.state).to_lowercase(),
        alarm.severity.as_str(),
        alarm.alarm,
        alarm.sensor,
        shown(&alarm.value),
        shown(&alarm.peak),
    );
    if let Some(since) = &alarm.since {
        line.push_str(", since ");
        line.push_str(since);
    }
    for (holds, word) in [
        (alarm.acknowledged, ", acknowledged"),
        (alarm.waits_for_acknowledgement, ", gone but latched: `tidegate alarms ack` ends it"),
        (alarm.suppressed, ", suppressed"),
    ] {
        line.push_str(if holds { word } else { "" });
    }
    if let Some(seconds) = alarm.shelved_s {
        line.push_str(&format!(", shelved for {}", humantime::format_duration(Duration::from_secs(seconds))));
    }
    // A device's own words: they must not command the terminal.
    tame(&line, true).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Severity;
    use crate::event::{AlarmState, Limit};

    #[test]
    fn what_a_device_says_does_not_command_the_terminal() {
        let text = line(&AlarmLine {
            alarm: "door".to_owned(),
            sensor: "s/\u{202e}door/state".to_owned(),
            severity: Severity::High,
            condition: None,
            state: AlarmState::Active,
            since: None,
            value: Some(Value::Text("\u{1b}[2Jopen\n".into())),
            unit: None,
            limit: Limit::Values(Vec::new()),
            peak: None,
            acknowledged: false,
            waits_for_acknowledgement: false,
            shelved_s: None,
            suppressed: false,
        });
        assert!(!text.contains(['\u{1b}', '\n', '\u{202e}']), "{text:?}");
        assert!(text.contains("\\u{1b}[2Jopen\\n"), "{text:?}");
    }
}
