//! What waits for room on the way to the engine.
//!
//! Owns the order: what is pushed first leaves first, and nothing overtakes what waits. The source that fills it keeps
//! it bounded: an MQTT source reads no more while something waits, a serial source drops and counts.

use std::collections::VecDeque;

use tokio::sync::mpsc::error::TrySendError;

use super::FromSource;
pub(super) use super::way::EngineGone;
use super::way::ToEngine;

/// Most losses and returns held. Beyond it the newest takes the place of the one before: an engine that stands still
/// for so long will be told how things are, not every step on the way.
const CHANGES_HELD_MAX: usize = 64;

/// The way's beginning and what did not fit.
#[derive(Debug)]
pub(super) struct Outbox {
    /// None once closed.
    out: Option<ToEngine>,
    waiting: VecDeque<FromSource>,
    readings: usize,
}

impl Outbox {
    pub(super) fn new(out: ToEngine) -> Self {
        Self { out: Some(out), waiting: VecDeque::new(), readings: 0 }
    }

    /// Sends, or keeps for later.
    pub(super) fn push(&mut self, item: FromSource) -> Result<(), EngineGone> {
        let item = if self.waiting.is_empty() {
            match self.out.as_ref().ok_or(EngineGone)?.try_send(item) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(EngineGone),
                Err(TrySendError::Full(item)) => item,
            }
        } else {
            item
        };
        self.readings += count(&item);
        if is_change(&item)
            && self.waiting.iter().filter(|held| is_change(held)).count() >= CHANGES_HELD_MAX
            && let Some(last) = self.waiting.iter_mut().rfind(|held| is_change(held))
        {
            *last = item;
            return Ok(());
        }
        self.waiting.push_back(item);
        Ok(())
    }

    /// Waits for room and sends what has waited longest. Cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), EngineGone> {
        let out = self.out.as_ref().ok_or(EngineGone)?;
        if let Some(item) = self.waiting.front_mut() {
            out.weigh(item).await;
        }
        let place = out.place().await?;
        if let Some(item) = self.waiting.pop_front() {
            self.readings -= count(&item);
            place.send(item);
        }
        Ok(())
    }

    /// Nothing more will come: the engine sees the end. What waits is dropped, and with it its acknowledgement, so that
    /// the broker sends it again.
    pub(super) fn close(&mut self) {
        self.out = None;
        self.waiting.clear();
        self.readings = 0;
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many readings wait.
    pub(super) fn readings(&self) -> usize {
        self.readings
    }
}

fn count(item: &FromSource) -> usize {
    match item {
        FromSource::Readings { readings, .. } => readings.len(),
        FromSource::Lost { .. } | FromSource::Restored { .. } => 0,
    }
}

fn is_change(item: &FromSource) -> bool {
    matches!(item, FromSource::Lost { .. } | FromSource::Restored { .. })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::super::way;
    use super::*;

    fn lost(number: usize) -> FromSource {
        FromSource::Lost { source: "s".into(), reason: number.to_string() }
    }

    fn number(item: FromSource) -> usize {
        match item {
            FromSource::Lost { reason, .. } => reason.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn nothing_overtakes_what_waits_and_changes_are_bounded() {
        let (out, mut engine) = way::narrow(1);
        let mut outbox = Outbox::new(out);
        for change in 0..CHANGES_HELD_MAX + 10 {
            outbox.push(lost(change)).unwrap();
        }
        assert_eq!(outbox.waiting.len(), CHANGES_HELD_MAX);
        assert_eq!(number(engine.recv().await.unwrap()), 0);
        let mut seen = Vec::new();
        while !outbox.is_empty() {
            outbox.flush().await.unwrap();
            seen.push(number(engine.recv().await.unwrap()));
        }
        assert_eq!(seen[..3], [1, 2, 3]);
        assert_eq!(seen.last(), Some(&(CHANGES_HELD_MAX + 9)), "the newest state is told");
    }

    #[tokio::test]
    async fn an_engine_that_is_gone_is_noticed() {
        let (out, engine) = way::narrow(1);
        let mut outbox = Outbox::new(out);
        outbox.push(lost(0)).unwrap();
        outbox.push(lost(1)).unwrap();
        drop(engine);
        assert_eq!(outbox.flush().await, Err(EngineGone));
    }
}
