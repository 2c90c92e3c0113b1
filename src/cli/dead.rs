//! `tidegate dead`: shows the events that the upstream refuses, has them sent again, or drops them.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::cli::client;
use crate::error::Failure;
use crate::ops::control::dead::{DeadAnswer, DeadLine, DeadSelection, DeadShown, parse_letter};

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate dead list
  tidegate dead show 1042
  tidegate dead retry 1042
  tidegate dead retry --all
  tidegate dead drop --all --yes --json

An event is set aside when it cannot be sent, or when the broker ended three connections in a row rather than take it.
It is announced upstream as lost (reason `dead-letter`); a retry that succeeds brings it after all, with its first id.

Exit codes: 0 done, 1 no gateway answers or there is no such letter, 2 usage.";

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// Every dead letter, oldest first
    #[command(after_help = EXAMPLES)]
    List {
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// One with its whole event and the last attempts to send it
    #[command(after_help = EXAMPLES)]
    Show {
        /// The event's sequence number or id
        #[arg(value_name = "SEQUENCE|ID")]
        letter: String,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Send again, once the cause is repaired; new events go first
    #[command(after_help = EXAMPLES)]
    Retry(Letters),
    /// Do away with for good
    #[command(after_help = EXAMPLES)]
    Drop {
        /// Which
        #[command(flatten)]
        letters: Letters,
        /// Needed with --all
        #[arg(long)]
        yes: bool,
    },
}

/// One or all.
#[derive(Debug, Args)]
pub struct Letters {
    /// The event's sequence number or id
    #[arg(value_name = "SEQUENCE|ID", required_unless_present = "all", conflicts_with = "all")]
    letter: Option<String>,
    /// Every dead letter there is
    #[arg(long)]
    all: bool,
    /// For scripts
    #[arg(long)]
    json: bool,
}

impl DeadCommand {
    /// Does it.
    ///
    /// # Errors
    /// No gateway answers, there is no such letter, what was said is no letter's name, or standard output cannot be
    /// written.
    pub fn execute(self, socket: &Path) -> Result<(), Failure> {
        match self {
            Self::List { json } => list(socket, json),
            Self::Show { letter, json } => show(socket, &letter, json),
            Self::Retry(letters) => retry(socket, letters),
            Self::Drop { letters, yes } => drop_letters(socket, letters, yes),
        }
    }
}

fn list(socket: &Path, json: bool) -> Result<(), Failure> {
    let letters: Vec<DeadLine> = client::get(socket, "/v1/dead")?;
    let text = if json { client::to_json(&letters)? } else { table(&letters) };
    client::print(|out| writeln!(out, "{text}"))
}

fn show(socket: &Path, letter: &str, json: bool) -> Result<(), Failure> {
    check(letter)?;
    let shown: DeadShown = client::get(socket, &format!("/v1/dead/{letter}"))?;
    let text = if json { client::to_json(&shown)? } else { render(&shown)? };
    client::print(|out| writeln!(out, "{text}"))
}

fn retry(socket: &Path, letters: Letters) -> Result<(), Failure> {
    let json = letters.json;
    let answer = tell(socket, "retry", letters)?;
    client::print(|out| match json {
        true => writeln!(out, "{}", serde_json::json!({ "letters": answer })),
        false => writeln!(
            out,
            "{} sent again behind new events; `tidegate dead list` shows what is refused again",
            count(answer)
        ),
    })
}

fn drop_letters(socket: &Path, letters: Letters, yes: bool) -> Result<(), Failure> {
    if letters.all && !yes {
        return Err(Failure::Usage(
            "error: this drops every dead letter for good\n  = help: say so with --yes; `tidegate dead list` shows them"
                .to_owned(),
        ));
    }
    let json = letters.json;
    let answer = tell(socket, "drop", letters)?;
    client::print(|out| match json {
        true => writeln!(out, "{}", serde_json::json!({ "letters": answer })),
        false => writeln!(out, "{} dropped", count(answer)),
    })
}

/// Sends one command; that it is about no letter at all is an error when one was named.
fn tell(socket: &Path, what: &str, letters: Letters) -> Result<u64, Failure> {
    if let Some(letter) = &letters.letter {
        check(letter)?;
    }
    let selection = DeadSelection { letter: letters.letter, all: letters.all };
    let answer: DeadAnswer = client::post(socket, &format!("/v1/dead/{what}"), &selection)?;
    match selection.letter.filter(|_| answer.letters == 0) {
        None => Ok(answer.letters),
        Some(letter) => Err(Failure::Failed(format!(
            "error: there is no dead letter {letter}\n  = help: `tidegate dead list` shows what there is"
        ))),
    }
}

fn check(letter: &str) -> Result<(), Failure> {
    parse_letter(letter).map(drop).map_err(|what| {
        Failure::Usage(format!("error: {what}\n  = help: `tidegate dead list` shows the sequence numbers"))
    })
}

fn count(letters: u64) -> String {
    if letters == 1 { "1 dead letter is".to_owned() } else { format!("{letters} dead letters are") }
}

fn table(letters: &[DeadLine]) -> String {
    if letters.is_empty() {
        return "no dead letters: the upstream has refused nothing".to_owned();
    }
    let head = ["SEQUENCE", "SET ASIDE", "SENSOR", "ALARM", "ATTEMPTS", "REASON"].map(str::to_owned);
    let rows = letters.iter().map(|letter| {
        let reason =
            if letter.retry { format!("(waits to be sent again) {}", letter.reason) } else { letter.reason.clone() };
        let alarm = letter.alarm.clone().unwrap_or_else(|| letter.event_type.clone());
        [
            letter.sequence.to_string(),
            to_the_second(&letter.time),
            letter.sensor.clone(),
            alarm,
            letter.attempts.to_string(),
            reason,
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let mut line = String::new();
        for (text, width) in row.iter().zip(widths) {
            line.push_str(&format!("{text:<width$}  "));
        }
        line + &row[5]
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn render(shown: &DeadShown) -> Result<String, Failure> {
    let letter = &shown.line;
    let alarm = letter.alarm.as_ref().map_or_else(String::new, |alarm| format!(", alarm {alarm}"));
    let mut lines = vec![
        format!("sequence   {}", letter.sequence),
        format!("id         {}", letter.id),
        format!("event      {}, {}, {}{alarm}", letter.event_type, letter.severity.as_str(), letter.sensor),
        format!("happened   {}", letter.event_time),
        format!("set aside  {} after {} attempts", letter.time, letter.attempts),
        format!("reason     {}", letter.reason),
    ];
    if letter.retry {
        lines.push("           waits to be sent again".to_owned());
    }
    lines.extend(shown.history.iter().map(|attempt| format!("attempt    {} {}", attempt.time, attempt.text)));
    lines.push(client::to_json(&shown.event)?);
    Ok(lines.join("\n"))
}

/// A time without its fraction.
fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Severity;

    fn letter(sequence: u64, alarm: Option<&str>, retry: bool) -> DeadLine {
        DeadLine {
            sequence,
            id: String::new(),
            event_type: "tidegate.gateway.started.v1".to_owned(),
            sensor: "plant/oven/value".to_owned(),
            alarm: alarm.map(str::to_owned),
            severity: Severity::High,
            event_time: String::new(),
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            reason: "too large".to_owned(),
            attempts: 3,
            retry,
        }
    }

    #[test]
    fn the_table_keeps_its_columns() {
        let text = table(&[letter(7, Some("too-warm"), false), letter(12_345, None, true)]);
        let lines: Vec<&str> = text.lines().collect();
        let reason = lines[0].find("REASON");
        assert!(reason.is_some());
        assert_eq!(lines[1].find("too large"), reason);
        assert_eq!(lines[2].find("(waits to be sent again) too large"), reason);
        assert!(lines[1].starts_with("7         2026-01-02T03:04:05Z  plant/oven/value  too-warm"), "{text}");
        assert!(lines[2].contains("tidegate.gateway.started.v1"), "{text}");
        assert!(table(&[]).contains("refused nothing"));
    }

    #[test]
    fn a_letter_is_named_by_number_or_id() {
        assert!(check("17").is_ok());
        assert!(check("0190b5a4-7d2c-7000-8000-000000000000").is_ok());
        for wrong in ["", "-1", "../status", "0190b5a4"] {
            assert!(matches!(check(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
