//! One unit: its requests, its decoder, and whether it is there.
//!
//! Owns what was learned about it (requests that it does not take at once are asked for one by one) and the telling of
//! its loss and return. A unit's poll is a handful of requests; the first that brings nothing, retries included, ends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::wire::{Fault, Wire};
use super::words;
use crate::clock::SystemClock;
use crate::config::model::{ModbusLine, ModbusUnit};
use crate::counters::{Counters, Reject, SourceCounters};
use crate::decode::modbus::plan::{self, Read};
use crate::decode::modbus::{Image, UnitDecoder};
use crate::source::link::Link;

/// Of how many values a check says what is wrong; the others are counted.
const REFUSALS_TOLD_MAX: usize = 3;

/// A unit of a line.
pub(super) struct Unit {
    pub(super) config: ModbusUnit,
    pub(super) decoder: UnitDecoder,
    pub(super) link: Link,
    pub(super) counts: Arc<SourceCounters>,
    pub(super) image: Image,
    reads: Vec<Read>,
}

/// How a poll ended.
pub(super) enum Polled {
    /// It answered everything, if only by refusing.
    Answered,
    /// It did not.
    Lost(Fault),
    /// The line is of no use any more.
    Gone(std::io::Error),
}

impl Unit {
    pub(super) fn new(source: &str, config: &ModbusUnit, counters: &Counters, clock: &Arc<SystemClock>) -> Self {
        let name: Arc<str> = config.source_name(source).into();
        let counts = counters.source(&name);
        Self {
            decoder: UnitDecoder::new(source, config),
            link: Link::new(name, Arc::clone(&counts), Arc::clone(clock)),
            counts,
            image: Image::default(),
            reads: reads(config),
            config: config.clone(),
        }
    }

    /// Reads all registers into the image; `refuse` is told what the unit refuses.
    pub(super) async fn poll(
        &mut self,
        wire: &mut Wire,
        patience: Duration,
        retries: u32,
        mut refuse: impl FnMut(Reject, &str),
    ) -> Polled {
        self.image.clear();
        let mut at = 0;
        let mut tries_left = retries;
        while let Some(read) = self.reads.get(at) {
            let span = read.span;
            match wire.ask(self.config.id, span, patience).await {
                Ok(values) => {
                    self.counts.messages.add(1);
                    self.image.put(span.table, span.first, values);
                }
                // Of several values one may not be there, or they may be too many at once.
                Err(Fault::Exception(code @ (2 | 3))) if read.wanted.len() > 1 => {
                    let apart = if code == 2 { read.apart() } else { read.halves() };
                    info!(
                        unit = %self.config.name,
                        reason = words::exception(code, span),
                        requests = apart.len(),
                        "the unit does not take this request as a whole: it is asked in parts from now on"
                    );
                    self.reads.splice(at..=at, apart);
                    continue;
                }
                Err(Fault::Exception(code)) if !words::is_absence(code) => {
                    let what = format!("unit `{}`: {}", self.config.name, words::exception(code, span));
                    refuse(Reject::DeviceError, &what);
                }
                Err(Fault::Gone(error)) => return Polled::Gone(error),
                Err(fault) => {
                    if tries_left == 0 {
                        return Polled::Lost(fault);
                    }
                    tries_left -= 1;
                    continue;
                }
            }
            at += 1;
            tries_left = retries;
        }
        Polled::Answered
    }

    /// Asks once for each of its values, as long as there is time; for a check of the surroundings. What is wrong is told
    /// for a few of them.
    pub(super) async fn try_once(
        config: &ModbusUnit,
        wire: &mut Wire,
        of: &ModbusLine,
        until: Instant,
    ) -> Result<(), String> {
        let (mut told, mut more) = (Vec::new(), 0_u32);
        for span in reads(config).into_iter().flat_map(|read| read.wanted) {
            if Instant::now() > until {
                break;
            }
            match wire.ask(config.id, span, config.timeout).await {
                Ok(_) => {}
                Err(Fault::Exception(code)) if !words::is_absence(code) => {
                    if told.len() < REFUSALS_TOLD_MAX {
                        told.push(format!("unit `{}` answers {}", config.name, words::exception(code, span)));
                    } else {
                        more += 1;
                    }
                }
                Err(fault) => {
                    told.push(words::unit_lost(config, &fault, of, config.timeout));
                    break;
                }
            }
        }
        if more > 0 {
            told.push(format!("{more} more of its values likewise"));
        }
        if told.is_empty() { Ok(()) } else { Err(told.join("; ")) }
    }
}

fn reads(config: &ModbusUnit) -> Vec<Read> {
    plan::plan(plan::spans(config), config.max_registers, config.max_gap)
}
