//! `tidegate alarms`: shows the alarms of the running gateway and tells them what an operator decides.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::cli::client;
use crate::cli::top::text::tame;
use crate::config::suggest::nearest;
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

/// Alarms named to one who has named none of them.
const NAMES_TOLD_MAX: usize = 10;

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
    // What is there is asked for only now; a gateway that does not say leaves the plainer words.
    let known = client::get::<Shown>(socket, "/v1/state").map(Shown::names).ok();
    Err(Failure::Failed(nothing_to(what, &alarm, &sensor, known.as_ref())))
}

/// Nothing was changed: for want of such an alarm, where the names of all that watch a sensor are known, or because there
/// is nothing to do about it.
fn nothing_to(what: &str, alarm: &str, sensor: &str, known: Option<&BTreeSet<String>>) -> String {
    match known.filter(|names| !names.contains(alarm)) {
        Some(names) => {
            let help = match nearest(alarm, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "no alarm watches any sensor that was heard so far".to_owned(),
                None => {
                    let shown: Vec<&str> = names.iter().take(NAMES_TOLD_MAX).map(String::as_str).collect();
                    let more = if names.len() > shown.len() { ", .." } else { "" };
                    format!("there are {}{more}", shown.join(", "))
                }
            };
            format!("error: no alarm `{alarm}` watches any sensor\n  = help: {help}")
        }
        None => format!(
            "error: nothing to {what} for alarm `{alarm}` on `{sensor}`\n  = help: `tidegate alarms list` shows what there is"
        ),
    }
}

/// Of the whole state: which alarms there are.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    alarms: Vec<Named>,
    #[serde(default)]
    sensors: Vec<Watched>,
}

/// A sensor, and the alarms whose limits hold for it.
#[derive(Deserialize)]
struct Watched {
    #[serde(default)]
    limits: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    alarm: String,
}

impl Shown {
    fn names(self) -> BTreeSet<String> {
        let limits = self.sensors.into_iter().flat_map(|sensor| sensor.limits);
        limits.chain(self.alarms).map(|named| named.alarm).collect()
    }
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
    fn an_alarm_that_does_not_exist_is_told_from_one_with_nothing_to_do() {
        let state = r#"{"kind": "full", "alarms": [{"alarm": "silent", "sensor": "a/b"}], "sensors": [
            {"name": "a/b", "limits": [{"alarm": "too-warm", "limit": 8.0}]}, {"name": "a/c"}]}"#;
        let names = serde_json::from_str::<Shown>(state).expect("a state").names();
        let told = |alarm: &str| nothing_to("acknowledge", alarm, "a/b", Some(&names));
        let words = "error: no alarm `too-wram` watches any sensor\n  = help: did you mean `too-warm`?";
        assert_eq!(told("too-wram"), words);
        assert!(told("other").ends_with("there are silent, too-warm"), "{}", told("other"));
        assert!(told("too-warm").contains("nothing to acknowledge for alarm `too-warm` on `a/b`"));
        assert!(nothing_to("shelve", "x", "a/b", None).contains("nothing to shelve"));
        assert!(nothing_to("shelve", "x", "a/b", Some(&BTreeSet::new())).contains("heard so far"));
    }

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
