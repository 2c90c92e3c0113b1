//! The way from the sources to the engine: a channel that is bounded in messages, and in the readings of long ones.
//!
//! Owns both bounds. A message with few readings is bounded by its place in the channel and pays for nothing else; one
//! with more than [`SHORT_READINGS_MAX`] takes room by its readings as well, and gives it back when the engine has
//! stepped through them. So what waits is bounded whatever the devices send, on both sides of the channel: its
//! receiver may take out all that is in it. Who finds no room waits: back-pressure, as with a channel that is full.

use std::sync::Arc;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::FromSource;

/// Messages that wait between the sources and the engine. A turn's worth: more would only hide a slow store from the
/// sources.
const MESSAGES_WAITING_MAX: usize = 512;

/// A message with so many readings is short: its place in the channel is all the room it takes.
const SHORT_READINGS_MAX: usize = 16;

/// Most readings of long messages that wait: as many as those of a channel full of short ones. About a megabyte.
const READINGS_WAITING_MAX: usize = MESSAGES_WAITING_MAX * SHORT_READINGS_MAX;

/// The engine is gone; there is nobody to read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineGone;

/// The room that a long message takes; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Room(Option<OwnedSemaphorePermit>);

/// A source's end of the way. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ToEngine {
    out: mpsc::Sender<FromSource>,
    readings: Arc<Semaphore>,
}

/// The way: the sources' end and the engine's.
pub fn way() -> (ToEngine, mpsc::Receiver<FromSource>) {
    narrow(MESSAGES_WAITING_MAX)
}

/// The same with another number of messages.
pub(super) fn narrow(messages: usize) -> (ToEngine, mpsc::Receiver<FromSource>) {
    let (out, inbox) = mpsc::channel(messages);
    (ToEngine { out, readings: Arc::new(Semaphore::new(READINGS_WAITING_MAX)) }, inbox)
}

impl ToEngine {
    /// Sends a message when there is room for it.
    pub(super) async fn send(&self, mut item: FromSource) -> Result<(), EngineGone> {
        self.weigh(&mut item).await;
        self.out.send(item).await.map_err(|_| EngineGone)
    }

    /// Sends a message if there is room for it now.
    pub(super) fn try_send(&self, mut item: FromSource) -> Result<(), TrySendError<FromSource>> {
        if let Some((room, readings)) = wanted(&mut item) {
            let Ok(permit) = Arc::clone(&self.readings).try_acquire_many_owned(readings) else {
                return Err(TrySendError::Full(item));
            };
            room.0 = Some(permit);
        }
        self.out.try_send(item)
    }

    /// Waits for the room that a long message takes by its readings, and gives it to the message; at once where it has it
    /// already or needs none. Cancel-safe.
    pub(super) async fn weigh(&self, item: &mut FromSource) {
        if let Some((room, readings)) = wanted(item) {
            // It is never closed; without room the message would only go uncounted.
            room.0 = Arc::clone(&self.readings).acquire_many_owned(readings).await.ok();
        }
    }

    /// Waits for a place in the channel. Cancel-safe.
    pub(super) async fn place(&self) -> Result<mpsc::Permit<'_, FromSource>, EngineGone> {
        self.out.reserve().await.map_err(|_| EngineGone)
    }
}

/// The room that a message has still to take, and how much.
fn wanted(item: &mut FromSource) -> Option<(&mut Room, u32)> {
    match item {
        FromSource::Readings { readings, room, .. } if readings.len() > SHORT_READINGS_MAX && room.0.is_none() => {
            // One that is larger than all there is takes all there is.
            let readings = u32::try_from(readings.len().min(READINGS_WAITING_MAX)).unwrap_or(u32::MAX);
            Some((room, readings))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::clock::{BootTime, WallTime};
    use crate::reading::{Reading, SensorId, TimeSource, Value};

    fn message(readings: usize) -> FromSource {
        let reading = Reading {
            sensor: SensorId::new("s/a/t"),
            value: Value::Number(1.0),
            unit: None,
            time: WallTime::default(),
            time_source: TimeSource::Arrival,
            fresh: true,
            attributes: None,
        };
        let (arrived, room) = (BootTime::default(), Room::default());
        FromSource::Readings { readings: vec![reading; readings], arrived, ack: None, room }
    }

    /// How many messages of so many readings there is room for.
    fn fits(out: &ToEngine, readings: usize) -> usize {
        (0..).take_while(|_| out.try_send(message(readings)).is_ok()).count()
    }

    #[test]
    fn short_messages_are_bounded_by_their_number_and_long_ones_by_their_readings() {
        for (readings, most) in [(1, 512), (SHORT_READINGS_MAX, 512), (17, 481), (1_000, 8), (100_000, 1)] {
            let (out, _engine) = way();
            assert_eq!(fits(&out, readings), most, "of {readings} readings");
        }
    }

    #[test]
    fn a_short_message_finds_room_where_a_long_one_does_not() {
        let (out, mut engine) = way();
        assert_eq!(fits(&out, 1_000), 8);
        out.try_send(message(1)).unwrap();
        // Out of the channel is not done with: the engine has it in its hands.
        let first = engine.try_recv().unwrap();
        assert_eq!(fits(&out, 1_000), 0);
        drop(first);
        assert_eq!(fits(&out, 1_000), 1);
    }

    #[tokio::test]
    async fn who_waits_for_room_gets_it_when_the_engine_is_done_with_another_message() {
        let (out, mut engine) = way();
        out.send(message(READINGS_WAITING_MAX)).await.unwrap();
        let sending = tokio::spawn({
            let out = out.clone();
            async move { out.send(message(1_000)).await }
        });
        tokio::task::yield_now().await;
        assert!(!sending.is_finished());
        drop(engine.recv().await.unwrap());
        sending.await.unwrap().unwrap();
        drop(engine);
        assert_eq!(out.send(message(1_000)).await, Err(EngineGone));
    }
}
