//! A Modbus line, RTU (also through a serial device server) or TCP: its units are read in turn, on fixed schedules.
//!
//! Owns the port or connection, opens it again when it is gone, and hands on the readings. There is one request on the
//! line at a time. A unit that does not answer is told once, tried ever less often, and together with other lost ones
//! gets a bounded share of the line (`schedule`). There is nobody to acknowledge to: what finds the engine busy is held
//! up to a bound and then dropped and counted as overrun, as with a serial port.

mod gate;
mod schedule;
#[cfg(test)]
mod tests;
mod unit;
mod wire;
mod words;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use self::schedule::{Next, Schedule};
use self::unit::{Polled, Unit};
use self::wire::Wire;
use super::outbox::EngineGone;
use super::parts::{Parts, Stop};
use super::serial::{READINGS_HELD_MAX, port};
use super::{FromSource, Intake, Room};
use crate::config::model::{ModbusLine, ModbusSource};
use crate::counters::{Counters, Reject};
use crate::forward::backoff::Backoff;
use crate::forward::explain::{Explanation, Say};

/// Shortest and longest wait before a port or server is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How long a check of the surroundings asks units; a line full of silent ones would take minutes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why reading ended.
enum End {
    /// The port or connection is gone.
    Lost(Explanation),
    /// The server has closed a connection that had served: many do so with one that is idle.
    Closed,
    /// We are to stop.
    Stop,
}

/// Runs a Modbus source until shutdown.
pub(super) async fn run(config: ModbusSource, counters: Arc<Counters>, mut parts: Parts<()>) {
    let mut units: Vec<Unit> =
        config.units.iter().map(|unit| Unit::new(&parts.intake.name, unit, &counters, &parts.intake.clock)).collect();
    let intervals = config.units.iter().map(|unit| unit.poll_interval);
    let mut schedule = Schedule::new(intervals, Instant::now().into_std());
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    let mut was_lost = true;
    loop {
        let began = Instant::now();
        let end = match parts.meanwhile(Wire::open(&config.line)).await {
            Ok(Ok(mut wire)) => {
                parts.intake.counts.connects.add(1);
                if std::mem::take(&mut was_lost) {
                    schedule.reset(Instant::now().into_std());
                }
                let told = parts.link.up(&words::opened(&config.line)).map_or(Ok(()), |back| parts.outbox.push(back));
                match told {
                    Ok(()) => read(&mut wire, &config, &mut units, &mut schedule, &mut parts).await,
                    Err(EngineGone) => End::Stop,
                }
            }
            Ok(Err(why)) => End::Lost(why),
            Err(Stop) => End::Stop,
        };
        let why = match end {
            End::Stop => break,
            End::Closed => {
                parts.intake.counts.disconnects.add(1);
                continue;
            }
            End::Lost(why) => why,
        };
        was_lost = true;
        parts.intake.counts.disconnects.add(1);
        for unit in &units {
            // They cannot be read, whatever becomes of them; the line's loss tells of them all.
            unit.counts.up.set(0);
        }
        if let Some(lost) = parts.link.lost(&why)
            && parts.outbox.push(lost).is_err()
        {
            break;
        }
        let wait = backoff.after(began.elapsed(), fastrand::f64());
        if parts.meanwhile(sleep(wait)).await.is_err() {
            break;
        }
    }
    parts.drain().await;
    debug!(source = %parts.intake.name, "modbus source ended");
}

/// Reads the units of an open line until it is gone.
async fn read(
    wire: &mut Wire,
    config: &ModbusSource,
    units: &mut [Unit],
    schedule: &mut Schedule,
    parts: &mut Parts<()>,
) -> End {
    let mut served = false;
    let mut late = 0;
    loop {
        let index = match schedule.next(Instant::now().into_std()) {
            Next::Poll(index) => index,
            Next::Wait(until) => match parts.meanwhile(sleep_until(until.into())).await {
                Ok(()) => continue,
                Err(Stop) => return End::Stop,
            },
        };
        let unit = &mut units[index];
        let began = Instant::now();
        let retries = if schedule.is_lost(index) { 0 } else { config.retries };
        let mut refused = Vec::new();
        let patience = unit.config.timeout;
        let poll = unit.poll(wire, patience, retries, |reject, what| refused.push((reject, what.to_owned())));
        let polled = match parts.meanwhile(poll).await {
            Ok(polled) => polled,
            Err(Stop) => return End::Stop,
        };
        let intake = &mut parts.intake;
        for (reject, what) in refused {
            unit.counts.reject(reject);
            intake.refuse(reject, None, &what, &[]);
        }
        if wire.late() > late {
            debug!(source = %intake.name, late = wire.late() - late, "answers to requests that had been given up");
            late = wire.late();
        }
        // What was read before a unit fell silent is as good as ever.
        let mut told = hand_on(unit, parts);
        let answered = match polled {
            Polled::Answered => {
                let back = unit.link.up(&words::unit_back(&unit.config, &config.line));
                told = told.and(back.map_or(Ok(()), |back| parts.outbox.push(back)));
                served = true;
                true
            }
            Polled::Lost(fault) => {
                let why = words::unit_lost(&unit.config, &fault, &config.line, patience);
                let lost = unit.link.lost(&Explanation::plain(why));
                told = told.and(lost.map_or(Ok(()), |lost| parts.outbox.push(lost)));
                false
            }
            Polled::Gone(error) => return gone(&error, &config.line, served),
        };
        if told.is_err() {
            return End::Stop;
        }
        let missed = schedule.done(index, began.into_std(), Instant::now().into_std(), answered);
        if missed > 0 {
            tell_missed(&units[index], parts);
        }
    }
}

/// Reading takes longer than it should be done in: said when it is news, and once in a while.
fn tell_missed(unit: &Unit, parts: &mut Parts<()>) {
    let Intake { name, repeats, clock, .. } = &mut parts.intake;
    let times = match repeats.note("polls-missed", clock.boot()) {
        Say::First => 1,
        Say::Again { times, .. } => times,
        Say::Nothing => return,
    };
    let interval_s = unit.config.poll_interval.as_secs_f64();
    warn!(
        source = %name, unit = %unit.config.name, interval_s, times,
        "the line is too busy to read all units in time; raise `poll_interval` or the baud rate"
    );
}

/// Makes readings of what a unit said.
fn hand_on(unit: &mut Unit, parts: &mut Parts<()>) -> Result<(), EngineGone> {
    if unit.image.is_empty() {
        return Ok(());
    }
    let intake = &mut parts.intake;
    intake.counts.messages.add(1);
    intake.decoded.clear();
    let now = intake.clock.now();
    unit.decoder.decode(&unit.image, now.wall, &mut intake.decoded);
    let ignored = intake.decoded.ignored;
    for (reject, _) in &intake.decoded.rejects {
        unit.counts.reject(*reject);
    }
    let readings = intake.hand_out(None, &[]);
    unit.counts.readings.add(readings.len() as u64);
    unit.counts.ignored.add(ignored);
    if readings.is_empty() {
        return Ok(());
    }
    if parts.outbox.readings() + readings.len() > READINGS_HELD_MAX {
        intake.refuse(Reject::Overrun, None, "the store does not keep up, and a Modbus unit keeps nothing for us", &[]);
        return Ok(());
    }
    parts.outbox.push(FromSource::Readings { readings, arrived: now.boot, ack: None, room: Room::default() })
}

fn gone(error: &io::Error, line: &ModbusLine, served: bool) -> End {
    match line {
        ModbusLine::Serial { port: path, .. } => End::Lost(port::unplugged(path, Some(error))),
        ModbusLine::Tcp { .. } | ModbusLine::RtuOverTcp { .. } if served => End::Closed,
        ModbusLine::Tcp { .. } | ModbusLine::RtuOverTcp { .. } => End::Lost(Explanation::plain(match error.kind() {
            io::ErrorKind::InvalidData => {
                format!("{} is no Modbus TCP server: {error}; is the port right?", words::line(line))
            }
            _ => format!(
                "{} accepts the connection and ends it without an answer ({error}); many servers take one master only: is \
                 another one connected?",
                words::line(line)
            ),
        })),
    }
}

/// Opens the line and asks every unit once for each of its values.
pub(super) async fn probe(config: &ModbusSource) -> Result<String, String> {
    let mut wire = Wire::open(&config.line).await.map_err(|why| why.text)?;
    let until = Instant::now() + PROBE_TIMEOUT;
    let (mut silent, mut asked) = (Vec::new(), 0);
    for unit in &config.units {
        if Instant::now() > until {
            silent.push(format!("{} more were not asked: it takes too long", config.units.len() - asked));
            break;
        }
        asked += 1;
        if let Err(why) = Unit::try_once(unit, &mut wire, &config.line, until).await {
            silent.push(why);
        }
    }
    let opened = words::opened(&config.line);
    match silent.is_empty() {
        true => Ok(format!("{opened}, and {asked} of {asked} units answer")),
        false => Err(format!("{opened}, but {}", silent.join("; "))),
    }
}
