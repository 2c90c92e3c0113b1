//! `tidegate test`: what a source makes of a sample, without any device, and what the alarms make of that.
//!
//! Owns its arguments and the way of the sample: the same decoder and engine as in the gateway, by a clock of its own.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use uuid::Uuid;

use crate::cli::{client, tap};
use crate::clock::{BootTime, ClockState, Now, WallTime};
use crate::config::model::{Config, Framing, Source, SourceKind};
use crate::config::{self, pattern};
use crate::counters::Reject;
use crate::decode::framing::{Frame, Framer};
use crate::decode::{Decoded, Decoder, Message};
use crate::engine::{Engine, Output, Settings};
use crate::error::Failure;
use crate::tap::Shown;

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  echo '{\"temperature\": 21.5}' | tidegate test --source zigbee --topic zigbee2mqtt/cold-store
  tidegate test --source boiler < capture.txt
  echo '74 3d 39 30 0d 0a' | tidegate test --source boiler --hex
  tidegate test --source zigbee --topic zigbee2mqtt/cold-store --lines --every 10s < payloads.jsonl

A serial source's sample goes through its framing, from the beginning of a message. An MQTT source's sample is one
payload, or with --lines one a line. Every message comes as long after the one before as --every says, by a clock of its
own: delays pass without waiting. Nothing is raised anywhere; hold-offs are over.

Exit codes: 0 every message made a reading, 1 something was refused or nothing was found, 2 usage, 78 the configuration
is wrong.";

/// Largest sample, bytes.
const SAMPLE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What follows a sample: longer than any pause by which a framing knows an end.
const SILENCE: Duration = Duration::from_secs(3600);

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Configuration file; conf.d/*.toml beside it is read too
    #[arg(long, short, value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// The source whose sample it is
    #[arg(long, value_name = "NAME")]
    source: String,
    /// The MQTT topic it came on
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// One MQTT payload a line
    #[arg(long)]
    lines: bool,
    /// The sample is written in hex digits; blanks do not matter
    #[arg(long)]
    hex: bool,
    /// How long after each other the messages come
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// One JSON object a line, as `tidegate tap --json`
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Does what they say, with the sample from standard input.
    ///
    /// # Errors
    /// The configuration is wrong, there is no such source, or something of the sample was refused.
    pub fn execute(self) -> Result<(), Failure> {
        let loaded = config::load(&self.config, &|name| std::env::var(name).ok())
            .map_err(|report| Failure::Configuration(report.to_string()))?;
        let source = self.source(&loaded.config)?;
        let mut sample = Vec::new();
        let read = std::io::stdin().lock().take(SAMPLE_BYTES_MAX).read_to_end(&mut sample);
        read.map_err(|error| Failure::Failed(format!("error: standard input cannot be read: {error}")))?;
        let messages = self.messages(source, &sample)?;
        let wall = jiff::Timestamp::now().as_nanosecond();
        let now = WallTime(i64::try_from(wall).unwrap_or(0));
        let seen = look(&loaded.config, source, self.topic.as_deref(), &messages, self.every, now)?;
        let readings = seen.iter().filter(|shown| matches!(shown, Shown::Reading { .. })).count();
        client::print(|out| {
            for shown in &seen {
                match self.json {
                    true => {
                        serde_json::to_writer(&mut *out, shown).map_err(std::io::Error::from)?;
                        out.write_all(b"\n")?;
                    }
                    false => out.write_all(tap::words(shown).as_bytes())?,
                }
            }
            Ok(())
        })?;
        let refused = seen.iter().filter(|shown| matches!(shown, Shown::Refused { .. })).count();
        match (readings, refused) {
            (0, 0) => Err(Failure::Failed(format!("error: {}", self.nothing(messages.len())))),
            (_, 0) => Ok(()),
            _ => Err(Failure::Failed(format!("error: {refused} refused, {readings} readings, see above"))),
        }
    }

    /// The source of that name, if the arguments fit it.
    fn source<'a>(&self, config: &'a Config) -> Result<&'a Source, Failure> {
        let Some(source) = config.sources.iter().find(|source| *source.name == *self.source) else {
            let names: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
            let text =
                format!("error: there is no source `{}`\n  = help: there are: {}", self.source, names.join(", "));
            return Err(Failure::Usage(text));
        };
        let usage = |text: String| Err(Failure::Usage(text));
        match (&source.kind, &self.topic) {
            (SourceKind::Mqtt(mqtt), None) => usage(format!(
                "error: --topic is missing: the topic the payload came on; the source takes {}",
                mqtt.topics.join(", ")
            )),
            (SourceKind::Mqtt(mqtt), Some(topic)) => {
                let matches = |filter: &String| pattern::matches(pattern::without_share(filter), topic);
                match mqtt.topics.iter().any(matches) {
                    true => Ok(source),
                    false => usage(format!(
                        "error: `{topic}` is none of the source's topics\n  = help: it takes {}",
                        mqtt.topics.join(", ")
                    )),
                }
            }
            (SourceKind::Modbus(_), _) => {
                usage("error: a Modbus source asks its units; it has no messages of which one could be a sample".into())
            }
            (SourceKind::Serial(_), Some(_)) => usage("error: a serial source has no topics: leave --topic out".into()),
            (SourceKind::Serial(_), None) if self.lines => {
                usage("error: a serial source cuts its messages by `framing`: leave --lines out".into())
            }
            (SourceKind::Serial(_), None) => Ok(source),
        }
    }

    /// The messages of the sample, and what the framing refuses.
    fn messages(&self, source: &Source, sample: &[u8]) -> Result<Vec<Piece>, Failure> {
        let unhexed = |text: &[u8]| match self.hex {
            true => unhex(text).map_err(|what| Failure::Usage(format!("error: --hex: {what}"))),
            false => Ok(text.to_vec()),
        };
        match &source.kind {
            SourceKind::Serial(serial) => Ok(cut(&serial.framing, &unhexed(sample)?)),
            // Refused by `source` already.
            SourceKind::Modbus(_) => Ok(Vec::new()),
            SourceKind::Mqtt(_) if self.lines => {
                let lines = sample.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
                lines.filter(|line| !line.is_empty()).map(|line| unhexed(line).map(Piece::Message)).collect()
            }
            SourceKind::Mqtt(_) => {
                let payload = unhexed(sample)?;
                // `echo` ends a line; a device would not.
                let end = payload.strip_suffix(b"\n").map_or(payload.len(), <[u8]>::len);
                Ok(vec![Piece::Message(payload[..if self.hex { payload.len() } else { end }].to_vec())])
            }
        }
    }

    fn nothing(&self, messages: usize) -> String {
        match messages {
            0 => "the sample holds no whole message\n  = help: does it end as `framing` wants it to?".to_owned(),
            1 => "the message holds no reading and nothing to refuse".to_owned(),
            _ => format!("{messages} messages hold no reading and nothing to refuse"),
        }
    }
}

/// A piece of the sample.
enum Piece {
    Message(Vec<u8>),
    Refused(Reject, String),
}

/// Cuts a byte stream as the source's port would be. The first line counts: a sample begins where it begins.
fn cut(framing: &Framing, bytes: &[u8]) -> Vec<Piece> {
    let mut framing = framing.clone();
    let mut is_lines = false;
    if let Framing::Line { keep_first, .. } = &mut framing {
        (*keep_first, is_lines) = (true, true);
    }
    let mut framer = Framer::new(&framing);
    let mut pieces = Vec::new();
    let mut take = |frame: Frame<'_>| {
        pieces.push(match frame {
            Frame::Message(message) => Piece::Message(message.to_vec()),
            Frame::Refused(reject, what) => Piece::Refused(reject, what),
        });
    };
    framer.push(bytes, Duration::ZERO, &mut take);
    if is_lines {
        // What is in a file is whole, also without a last line end.
        framer.push(b"\n", Duration::ZERO, &mut take);
    }
    framer.on_deadline(SILENCE, &mut take);
    pieces
}

fn unhex(text: &[u8]) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(*byte).to_digit(16).ok_or_else(|| format!("`{}` is no hex digit", byte.escape_ascii())))
        .collect::<Result<_, _>>()?;
    if digits.len() % 2 == 1 {
        return Err(format!("{} hex digits: one is missing or one too many", digits.len()));
    }
    Ok(digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

/// Everything that is seen on the way of the messages.
fn look(
    config: &Config,
    source: &Source,
    topic: Option<&str>,
    messages: &[Piece],
    every: Duration,
    start: WallTime,
) -> Result<Vec<Shown>, Failure> {
    let mut decoder = Decoder::new(source).map_err(|what| Failure::Configuration(format!("error: {what}")))?;
    let mut now = Now { boot: BootTime(0), wall: start, clock: ClockState::Synchronized };
    let alarms: Vec<_> = config
        .alarms
        .iter()
        .cloned()
        .map(|mut alarm| {
            alarm.hold_off = Duration::ZERO;
            alarm
        })
        .collect();
    let time_zone = config.gateway.zone();
    let sensors_max = crate::app::SENSORS_MAX;
    let settings = Settings { boot_id: Uuid::nil(), started: now, time_zone, seed: 0, sensors_max };
    let mut engine = Engine::new(settings, &alarms);
    let (mut seen, mut decoded) = (Vec::new(), Decoded::default());
    for message in messages {
        let refused = |reject: Reject, what: &str| Shown::Refused {
            source: source.name.to_string(),
            topic: topic.map(str::to_owned),
            reason: reject.as_str().to_owned(),
            what: what.to_owned(),
        };
        let until = now.boot.after(every);
        match message {
            Piece::Refused(reject, what) => seen.push(refused(*reject, what)),
            Piece::Message(payload) => {
                decoded.clear();
                decoder.decode(&Message { topic, payload, retained: false, arrival: now.wall }, &mut decoded);
                seen.extend(decoded.rejects.iter().map(|(reject, what)| refused(*reject, what)));
                for reading in &decoded.readings {
                    let mut out = Output::default();
                    let accepted = engine.on_reading(reading, now, &mut out);
                    let whys = engine.explain(reading, accepted, now);
                    seen.push(Shown::reading(reading, accepted, whys, &out.events));
                    let others = out.events.iter().filter(|event| *event.subject != *reading.sensor.as_str());
                    seen.extend(others.filter_map(Shown::acted));
                }
            }
        }
        while let Some(deadline) = engine.next_deadline().filter(|deadline| *deadline < until) {
            let at = deadline.max(now.boot);
            set(&mut now, start, at);
            let mut out = Output::default();
            engine.on_deadline(now, &mut out);
            seen.extend(out.events.iter().filter_map(Shown::acted));
        }
        set(&mut now, start, until);
    }
    Ok(seen)
}

fn set(now: &mut Now, start: WallTime, boot: BootTime) {
    now.boot = boot;
    now.wall = start.offset(i64::try_from(boot.0).unwrap_or(i64::MAX));
}
