//! `tidegate tap`: looks on while the gateway works.
//!
//! Owns its arguments, the streaming request, and how what is shown looks in a terminal.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;

use crate::cli::client;
use crate::cli::top::text::tame;
use crate::error::Failure;
use crate::tap::Shown;

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate tap
  tidegate tap --source boiler --raw
  tidegate tap --json --for 10m > readings.jsonl

Each reading comes with what every alarm on its sensor made of it. Looking on never slows the gateway: who reads too
slowly loses the oldest and is told how many. --raw shows bytes as they come: MQTT payloads, and what a serial port says
before it is cut into messages; the first 1024 of each.

Exit codes: 0 done, 1 no gateway answers or it has stopped, 2 usage.";

/// Longest line of an answer, bytes: a reading with the words of a hundred alarms is far below.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes in a row of a dump.
const ROW_BYTES: usize = 16;

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The running gateway's control socket (gateway.control_socket)
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Of this source only
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Show the bytes too, in hex and as text
    #[arg(long)]
    raw: bool,
    /// End after this time: 30s, 10m [default: when interrupted]
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// No gateway answers, it does not know the source, or it stops.
    pub fn execute(self) -> Result<(), Failure> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let mut route = format!("/v1/tap?raw={}", self.raw);
        if let Some(source) = &self.source {
            if source.is_empty() || !source.chars().all(plain) {
                return Err(Failure::Usage(format!("error: `{source}` is no name of a source")));
            }
            route.push_str("&source=");
            route.push_str(source);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("error: the runtime cannot start: {error}")))?;
        let follow = follow(&self.socket, &route, self.json);
        runtime.block_on(async {
            match self.time {
                Some(time) => tokio::time::timeout(time, follow).await.unwrap_or(Ok(())),
                None => follow.await,
            }
        })
    }
}

async fn follow(socket: &Path, route: &str, json: bool) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("error: asking the gateway failed: {error}"));
    let stream = tokio::net::UnixStream::connect(socket).await.map_err(|error| client::no_gateway(socket, &error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    let request = Request::builder().uri(route).header("host", "localhost").body(Empty::<Bytes>::new());
    let response =
        sender.send_request(request.map_err(|error| failed(&error))?).await.map_err(|error| failed(&error))?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let bytes = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        return Err(Failure::Failed(format!("error: {}", String::from_utf8_lossy(&bytes))));
    }
    if !json {
        // Beside the output; who waits for a silent sensor is to know that we do look.
        let _ = writeln!(std::io::stderr(), "looking on; Ctrl-C ends it");
    }
    let mut rest: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|error| failed(&error))?.into_data() else { continue };
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if print(&line, json)?.is_closed() {
                return Ok(());
            }
        }
        if rest.len() > LINE_BYTES_MAX {
            return Err(failed(&"a line without end"));
        }
    }
    Err(Failure::Failed("error: the gateway has stopped".to_owned()))
}

/// Whether anybody still reads what we print.
enum Output {
    Open,
    Closed,
}

impl Output {
    fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

fn print(line: &[u8], json: bool) -> Result<Output, Failure> {
    let text = match serde_json::from_slice::<Shown>(line) {
        _ if json => String::from_utf8_lossy(line).into_owned(),
        Ok(shown) => words(&shown),
        Err(_) => harmless(&[String::from_utf8_lossy(line).trim_end().to_owned()]),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Output::Open),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Output::Closed),
        Err(error) => Err(Failure::Failed(format!("error: standard output cannot be written: {error}"))),
    }
}

/// As a person reads it, in whole lines; what a device says commands no terminal and begins no line of its own.
pub(super) fn words(shown: &Shown) -> String {
    let on = |topic: &Option<String>| topic.as_ref().map(|topic| format!(" {topic}")).unwrap_or_default();
    let mut lines = Vec::new();
    match shown {
        Shown::Bytes { source, topic, time, length, hex } => {
            lines.push(format!("{time} bytes {source}{} ({length})", on(topic)));
            dump(&mut lines, &unhex(hex));
            if hex.len() / 2 < *length {
                lines.push(format!("    ... {} more", length - hex.len() / 2));
            }
        }
        Shown::Refused { source, topic, reason, what } => {
            lines.push(format!("REFUSED {source}{}: {reason}: {what}", on(topic)));
        }
        Shown::Reading { time, sensor, value, unit, outcome, alarms, .. } => {
            let unit = unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
            let outcome = if outcome == "evaluated" { String::new() } else { format!(" ({outcome})") };
            lines.push(format!("{time} {sensor} = {value}{unit}{outcome}"));
            lines.extend(alarms.iter().map(|why| format!("    {why}")));
            if alarms.is_empty() {
                lines.push("    no alarm watches it".to_owned());
            }
        }
        Shown::Acted { time, sensor, alarm, change, .. } => {
            let change = format!("{change:?}").to_uppercase();
            lines.push(format!("{time} {sensor}"));
            lines.push(format!("    {alarm}: {change} by time or by the sensor it is compared with"));
        }
        Shown::Missed { count } => lines.push(format!("MISSED {count}: this terminal or pipe is too slow")),
    }
    harmless(&lines)
}

/// The lines as they may be written to a terminal, each with its end.
fn harmless(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [tame(line, true), "\n".into()]).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | pair.get(1).map_or(0, |byte| digit(*byte))).collect()
}

fn dump(lines: &mut Vec<String>, bytes: &[u8]) {
    for row in bytes.chunks(ROW_BYTES) {
        let mut hex = String::new();
        for byte in row {
            let _ = write!(hex, "{byte:02x} ");
        }
        let ascii: String =
            row.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect();
        lines.push(format!("    {hex:<48} {ascii}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Severity;
    use crate::event::Change;
    use crate::reading::{TimeSource, Value};

    #[test]
    fn bytes_are_shown_in_hex_and_as_text() {
        let shown = Shown::Bytes {
            source: "boiler".into(),
            topic: None,
            time: "2026-01-01T00:00:00Z".into(),
            length: 20,
            hex: "743d32312e350d0a00ff".into(),
        };
        assert_eq!(
            words(&shown),
            "2026-01-01T00:00:00Z bytes boiler (20)\n    74 3d 32 31 2e 35 0d 0a 00 ff                    t=21.5....\n    ... 10 more\n"
        );
    }

    #[test]
    fn what_a_device_says_commands_no_terminal_and_begins_no_line() {
        let hostile = "a\u{1b}]0;t\u{7}\r\n\u{9b}31m\u{202e}\u{7f}".to_owned();
        let (source, time, topic) = (hostile.clone(), "2026-01-01T00:00:00Z".to_owned(), Some(hostile.clone()));
        let all = [
            Shown::Bytes {
                source: source.clone(),
                topic: topic.clone(),
                time: time.clone(),
                length: 3,
                hex: "1b9b0a".into(),
            },
            Shown::Refused { source, topic, reason: hostile.clone(), what: hostile.clone() },
            Shown::Reading {
                time: time.clone(),
                time_source: TimeSource::Arrival,
                sensor: hostile.clone(),
                value: Value::Text(hostile.as_str().into()),
                unit: Some(hostile.clone()),
                outcome: hostile.clone(),
                alarms: Vec::new(),
            },
            Shown::Acted {
                time,
                sensor: hostile.clone(),
                alarm: hostile,
                severity: Severity::High,
                change: Change::Raised,
            },
        ];
        for (shown, lines) in all.iter().zip([2, 1, 2, 2]) {
            let text = words(shown);
            assert_eq!(text.lines().count(), lines, "{text:?}");
            assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
            assert!(text.contains("a\\u{1b}]0;t\\u{7}\\r\\n\\u{9b}31m\\u{202e}\\u{7f}"), "{text:?}");
            assert!(text.ends_with('\n'), "{text:?}");
        }
    }
}
