//! A serial port: open, read, notice that it is gone, open again.
//!
//! Owns the port, its silence timer, what it is asked with, and the bound of what waits for the engine. A device on a
//! serial line cannot be told to wait, so the port is always read: what finds the engine busy is held up to
//! [`READINGS_HELD_MAX`] and then dropped and counted as overrun. There is nobody to acknowledge to. Why a port cannot
//! be opened is told by `port::explain`; that what comes is garbage, and which baud rate would fit, by `baud`.

mod baud;
pub(super) mod port;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_serial::SerialStream;
use tracing::debug;

use self::baud::{Judge, Verdict};
use super::outbox::{EngineGone, Outbox};
use super::parts::Parts;
use super::{FromSource, Intake, Room};
use crate::config::model::SerialSource;
use crate::counters::Reject;
use crate::decode::framing::{Frame, Framer};
use crate::forward::backoff::Backoff;
use crate::forward::explain::{Explanation, human};

/// Most readings held for a busy engine. At about 200 bytes each this is 2 MB; the busiest serial sensors send some
/// hundred readings a second, so it bridges a store that is stuck for the better part of a minute.
pub(super) const READINGS_HELD_MAX: usize = 10_000;

/// Bytes taken from the port at once: 90 ms at 115,200 baud, and a quarter of the kernel's buffer.
const CHUNK_BYTES: usize = 1024;

/// Shortest and longest wait before a port is tried again. Looking costs one system call, and who plugs a cable back
/// in waits beside it.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// How long a device may hold up what it is asked with (flow control).
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why reading ended.
enum End {
    /// The port is gone.
    Lost(Explanation),
    /// We are to stop.
    Stop,
}

/// Runs a serial source until shutdown.
pub(super) async fn run(config: SerialSource, mut parts: Parts) {
    let mut framer = Framer::new(&config.framing);
    let mut judge = Judge::new(parts.intake.decoder.reads_text());
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let opened = Instant::now();
        let end = match port::open(&config) {
            Ok(mut port) => {
                parts.intake.counts.connects.add(1);
                judge.clear();
                let how = format!("{} is open at {} baud", config.port.display(), config.baud);
                let told = parts.link.up(&how).map_or(Ok(()), |restored| parts.outbox.push(restored));
                match told {
                    Ok(()) => read(&mut port, &config, (&mut framer, &mut judge), &mut parts).await,
                    Err(EngineGone) => End::Stop,
                }
            }
            Err(error) => {
                // Finding out who holds a port looks at every process.
                let path = config.port.clone();
                let explained = tokio::task::spawn_blocking(move || port::explain(&error, &path)).await;
                End::Lost(explained.unwrap_or_else(|_| Explanation::plain("the port cannot be opened")))
            }
        };
        let End::Lost(why) = end else { break };
        parts.intake.counts.disconnects.add(1);
        if let Some(lost) = parts.link.lost(&why)
            && parts.outbox.push(lost).is_err()
        {
            break;
        }
        let wait = backoff.after(opened.elapsed(), fastrand::f64());
        if parts.meanwhile(sleep(wait)).await.is_err() {
            break;
        }
    }
    parts.drain().await;
    debug!(source = %parts.intake.name, "serial source ended");
}

/// Why a port that is open counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    Silent,
    Garbage,
}

/// Reads an open port until it is gone.
async fn read(
    port: &mut SerialStream,
    config: &SerialSource,
    (framer, judge): (&mut Framer, &mut Judge),
    parts: &mut Parts,
) -> End {
    let mut chunk = [0_u8; CHUNK_BYTES];
    let opened = Instant::now();
    framer.reset(Duration::ZERO);
    let mut heard = opened;
    let mut trouble = Trouble::None;
    let mut ask = opened;
    loop {
        let silence = config.silence_after.filter(|_| trouble != Trouble::Silent).map(|after| heard + after);
        let deadline = framer.deadline().map(|after| opened + after);
        let mut told = None;
        let mut taken = Ok(0);
        tokio::select! {
            biased;
            () = parts.shutdown.wait() => return End::Stop,
            flushed = parts.outbox.flush(), if !parts.outbox.is_empty() => taken = flushed.map(|()| 0),
            bytes = port.read(&mut chunk) => match bytes {
                Ok(0) => return End::Lost(port::unplugged(&config.port, None)),
                Err(error) => return End::Lost(port::unplugged(&config.port, Some(&error))),
                Ok(count) => {
                    heard = Instant::now();
                    let intake = &parts.intake;
                    if intake.counts.tap.is_on() {
                        intake.counts.tap.bytes(&intake.name, None, &chunk[..count], intake.clock.wall());
                    }
                    if trouble == Trouble::Silent
                        && let Some(restored) = parts.link.up(&format!("{} is heard again", config.port.display()))
                        && parts.outbox.push(restored).is_err()
                    {
                        return End::Stop;
                    }
                    if trouble == Trouble::Silent {
                        trouble = Trouble::None;
                    }
                    judge.hear(&chunk[..count]);
                    taken = cut(&mut parts.intake, &mut parts.outbox, |each| {
                        framer.push(&chunk[..count], heard - opened, each);
                    });
                }
            },
            () = sleep_until(deadline.unwrap_or(opened)), if deadline.is_some() => {
                taken = cut(&mut parts.intake, &mut parts.outbox, |each| framer.on_deadline(opened.elapsed(), each));
            }
            () = sleep_until(ask), if config.ask.is_some() => {
                if let Some((bytes, every)) = &config.ask {
                    ask = Instant::now() + *every;
                    match timeout(WRITE_TIMEOUT, port.write_all(bytes)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return End::Lost(port::unplugged(&config.port, Some(&error))),
                        Err(_) => return End::Lost(port::blocked(&config.port)),
                    }
                }
            }
            () = sleep_until(silence.unwrap_or(heard)), if silence.is_some() => {
                trouble = Trouble::Silent;
                let after = config.silence_after.unwrap_or_default();
                told = parts.link.lost(&Explanation::plain(format!(
                    "{} has been silent for {}; is the device powered, and are its data line and the baud rate ({}) right?",
                    config.port.display(), human(after), config.baud
                )));
            }
        }
        match taken {
            Ok(0) => {}
            Ok(_) => {
                judge.clear();
                if trouble == Trouble::Garbage {
                    trouble = Trouble::None;
                    told = parts.link.up(&format!("{} is understood again", config.port.display()));
                }
            }
            Err(EngineGone) => return End::Stop,
        }
        if trouble == Trouble::None
            && let Some(verdict) = judge.verdict(config.baud)
        {
            trouble = Trouble::Garbage;
            told = told.or(parts.link.lost(&garbage(config, &verdict)));
        }
        if let Some(told) = told
            && parts.outbox.push(told).is_err()
        {
            return End::Stop;
        }
    }
}

/// What is heard makes no sense.
fn garbage(config: &SerialSource, verdict: &Verdict) -> Explanation {
    let (port, baud) = (config.port.display(), config.baud);
    let what = match verdict.odd_share {
        Some(share) => format!("{:.0} % of {} bytes are no text", share * 100.0, verdict.bytes),
        None => format!("none of {} bytes made a frame that can be read", verdict.bytes),
    };
    let rates: Vec<String> = verdict.rates.iter().map(u32::to_string).collect();
    let rates = match rates.as_slice() {
        [] => "; is `baud` right?".to_owned(),
        [only] => format!("; the device most likely sends at {only}: set `baud = {only}`"),
        several => format!("; the device may send faster: try `baud` {}", several.join(", ")),
    };
    let other = if verdict.odd_share.is_none() { ", and look at `framing`" } else { ", or look at `parity`" };
    Explanation {
        key: "garbage".to_owned(),
        ..Explanation::plain(format!("{port} sends garbage at {baud} baud: {what}{rates}{other}"))
    }
}

/// Hands on what the cut frames say; how many readings there were.
fn cut(
    intake: &mut Intake,
    outbox: &mut Outbox,
    frames: impl FnOnce(&mut dyn FnMut(Frame<'_>)),
) -> Result<usize, EngineGone> {
    let mut result = Ok(0);
    frames(&mut |frame| match frame {
        // Expected at every opening.
        Frame::Refused(Reject::Partial, what) => {
            intake.counts.reject(Reject::Partial);
            debug!(source = %intake.name, what, "partial frame passed over");
        }
        Frame::Refused(reject, what) => {
            intake.counts.messages.add(1);
            intake.refuse(reject, None, &what, &[]);
        }
        Frame::Message(message) => {
            let readings = intake.take(None, message, false);
            if readings.is_empty() {
                return;
            }
            let count = readings.len();
            if outbox.readings() + count > READINGS_HELD_MAX {
                intake.refuse(
                    Reject::Overrun,
                    None,
                    "the store does not keep up, and a serial device cannot wait",
                    message,
                );
                return;
            }
            let sent = outbox.push(FromSource::Readings {
                readings,
                arrived: intake.arrived,
                ack: None,
                room: Room::default(),
            });
            result = result.and_then(|before: usize| sent.map(|()| before + count));
        }
    });
    result
}

/// Opens the port and closes it again.
pub(super) async fn probe(config: &SerialSource) -> Result<String, String> {
    match port::open(config) {
        Ok(_) => Ok(port::opened(&config.port, config.baud)),
        Err(error) => match port::held_by_gateway(&error, &config.port) {
            Some(held) => Ok(held),
            None => Err(port::explain(&error, &config.port).text),
        },
    }
}
