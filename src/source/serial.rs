//! A serial port: open, read, notice that it is gone, open again.
//!
//! Owns the port, its silence timer and the bound of what waits for the engine. A device on a serial line cannot be
//! told to wait, so the port is always read: what finds the engine busy is held up to [`READINGS_HELD_MAX`] and then
//! dropped and counted as overrun. There is nobody to acknowledge to. Why a port cannot be opened is told by
//! `port::explain`.

pub(super) mod port;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_serial::SerialStream;
use tracing::{debug, warn};

use super::outbox::{EngineGone, Outbox};
use super::{FromSource, Intake, Parts};
use crate::config::model::{Framing, SerialSource};
use crate::counters::Reject;
use crate::decode::framing::{Frame, LineFramer};
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

/// How long a stop waits for the engine to take what is held.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Why reading ended.
enum End {
    /// The port is gone.
    Lost(Explanation),
    /// We are to stop.
    Stop,
}

impl From<EngineGone> for End {
    fn from(_: EngineGone) -> Self {
        Self::Stop
    }
}

/// Runs a serial source until shutdown.
pub(super) async fn run(config: SerialSource, mut parts: Parts) {
    let Framing::Line { max_bytes, keep_first } = config.framing;
    let mut framer = LineFramer::new(max_bytes, keep_first);
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let opened = Instant::now();
        let end = match port::open(&config) {
            Ok(mut port) => {
                parts.intake.counts.connects.add(1);
                framer.reset();
                let how = format!("{} is open at {} baud", config.port.display(), config.baud);
                let told = parts.link.up(&how).map_or(Ok(()), |restored| parts.outbox.push(restored));
                match told {
                    Ok(()) => read(&mut port, &config, &mut framer, &mut parts).await,
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
        if pause(wait, &mut parts).await.is_err() {
            break;
        }
    }
    // Nobody will send again what still waits here.
    let flushed = timeout(DRAIN_TIMEOUT, async {
        while !parts.outbox.is_empty() {
            parts.outbox.flush().await?;
        }
        Ok::<(), EngineGone>(())
    });
    if !matches!(flushed.await, Ok(Ok(()))) {
        let readings = parts.outbox.readings();
        warn!(source = %parts.intake.name, readings, "stopped with readings that the store could not take in time");
    }
    debug!(source = %parts.intake.name, "serial source ended");
}

/// Waits before the next attempt, handing on what waits.
async fn pause(wait: Duration, parts: &mut Parts) -> Result<(), End> {
    let until = sleep(wait);
    tokio::pin!(until);
    loop {
        tokio::select! {
            biased;
            () = parts.shutdown.wait() => return Err(End::Stop),
            () = &mut until => return Ok(()),
            flushed = parts.outbox.flush(), if !parts.outbox.is_empty() => flushed?,
        }
    }
}

/// Reads an open port until it is gone.
async fn read(port: &mut SerialStream, config: &SerialSource, framer: &mut LineFramer, parts: &mut Parts) -> End {
    let mut chunk = [0_u8; CHUNK_BYTES];
    let mut heard = Instant::now();
    let mut silent = false;
    loop {
        let silence = config.silence_after.filter(|_| !silent).map(|after| heard + after);
        tokio::select! {
            biased;
            () = parts.shutdown.wait() => return End::Stop,
            flushed = parts.outbox.flush(), if !parts.outbox.is_empty() => {
                if flushed.is_err() {
                    return End::Stop;
                }
            }
            bytes = port.read(&mut chunk) => match bytes {
                Ok(0) => return End::Lost(port::unplugged(&config.port, None)),
                Err(error) => return End::Lost(port::unplugged(&config.port, Some(&error))),
                Ok(count) => {
                    heard = Instant::now();
                    if std::mem::take(&mut silent)
                        && let Some(restored) = parts.link.up(&format!("{} is heard again", config.port.display()))
                        && parts.outbox.push(restored).is_err()
                    {
                        return End::Stop;
                    }
                    if take(&chunk[..count], framer, &mut parts.intake, &mut parts.outbox).is_err() {
                        return End::Stop;
                    }
                }
            },
            () = sleep_until(silence.unwrap_or(heard)), if silence.is_some() => {
                silent = true;
                let after = config.silence_after.unwrap_or_default();
                let why = Explanation::plain(format!(
                    "{} has been silent for {}; is the device powered, and are its data line and the baud rate ({}) right?",
                    config.port.display(), human(after), config.baud
                ));
                if let Some(lost) = parts.link.lost(&why)
                    && parts.outbox.push(lost).is_err()
                {
                    return End::Stop;
                }
            }
        }
    }
}

/// Cuts bytes into lines and hands on what they say.
fn take(bytes: &[u8], framer: &mut LineFramer, intake: &mut Intake, outbox: &mut Outbox) -> Result<(), EngineGone> {
    if intake.counts.tap.is_on() {
        intake.counts.tap.bytes(&intake.name, None, bytes, intake.clock.wall());
    }
    let mut result = Ok(());
    framer.push(bytes, |frame| match frame {
        Frame::TooLong => {
            intake.counts.messages.add(1);
            intake.refuse(Reject::TooLong, None, "a line is longer than `max_bytes`; is the baud rate right?");
        }
        Frame::Line(line) => {
            let readings = intake.take(None, line, false);
            if readings.is_empty() {
                return;
            }
            if outbox.readings() + readings.len() > READINGS_HELD_MAX {
                intake.refuse(Reject::Overrun, None, "the store does not keep up, and a serial device cannot wait");
                return;
            }
            let sent = outbox.push(FromSource::Readings { readings, arrived: intake.arrived, ack: None });
            result = result.and(sent);
        }
    });
    result
}

/// Opens the port and closes it again.
pub(super) async fn probe(config: &SerialSource) -> Result<String, String> {
    match port::open(config) {
        Ok(_) => Ok(format!("{} opens at {} baud", config.port.display(), config.baud)),
        Err(error) => Err(port::explain(&error, &config.port).text),
    }
}
