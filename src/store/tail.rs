//! The newest events in memory, so that a forwarder that keeps up never reads the disk.
//!
//! Owns the bounded queue. Holds only events that are on stable storage.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::{Event, EventData};
use crate::reading::Value;

/// Most events kept: four windows of the forwarder.
const EVENTS_MAX: usize = 1_024;

/// Most bytes kept, by [`weight`].
const BYTES_MAX: usize = 1024 * 1024;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Tail {
    events: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
}

impl Tail {
    /// Adds the next events in order.
    pub(super) fn extend(&mut self, events: impl IntoIterator<Item = Arc<Event>>) {
        for event in events {
            let weight = weight(&event);
            self.events.push_back((event, weight));
            self.bytes += weight;
            while self.events.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.events.len() > 1) {
                self.events.pop_front().inspect(|(_, weight)| self.bytes -= weight);
            }
        }
    }

    /// Forgets events up to and including `through`: nobody asks for them again.
    pub(super) fn forget(&mut self, through: u64) {
        while self.events.front().is_some_and(|(event, _)| event.sequence <= through) {
            self.events.pop_front().inspect(|(_, weight)| self.bytes -= weight);
        }
        if self.events.is_empty() && self.events.capacity() > EVENTS_MAX {
            self.events.shrink_to(EVENTS_MAX);
        }
    }

    /// The first event held.
    pub(super) fn first(&self) -> Option<u64> {
        self.events.front().map(|(event, _)| event.sequence)
    }

    /// Events from `from` on within the bounds, at least one if there is one.
    pub(super) fn read(&self, from: u64, max_events: usize, max_bytes: usize) -> Vec<Arc<Event>> {
        let start = self.events.partition_point(|(event, _)| event.sequence < from);
        let mut bytes = 0;
        self.events
            .range(start..)
            .take(max_events)
            .take_while(|(_, weight)| {
                bytes += weight;
                bytes <= max_bytes || bytes == *weight
            })
            .map(|(event, _)| Arc::clone(event))
            .collect()
    }
}

/// About how many bytes an event takes, stored or in memory: close enough to bound memory with.
pub(super) fn weight(event: &Event) -> usize {
    let text = |value: Option<&Value>| match value {
        Some(Value::Text(text)) => text.len(),
        _ => 0,
    };
    let data = match &event.data {
        EventData::Alarm(alarm) => {
            let attributes = alarm.attributes.as_ref().map_or(0, |all| all.iter().map(|(_, value)| json(value)).sum());
            let context: usize = alarm.context.iter().map(|sample| 32 + text(Some(&sample.value))).sum();
            size_of_val(&**alarm) + alarm.alarm.len() + text(alarm.value.as_ref()) + context + attributes
        }
        EventData::GatewayStarted(started) => started.version.len() + started.previous_stop.len(),
        EventData::EventsLost(lost) => lost.reason.len(),
        EventData::SourceLost(change) | EventData::SourceRestored(change) => change.source.len() + change.reason.len(),
    };
    size_of::<Event>() + event.subject.len() + data
}

fn json(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => 32 + text.len(),
        serde_json::Value::Array(items) => 32 + items.iter().map(json).sum::<usize>(),
        serde_json::Value::Object(map) => {
            32 + map.iter().map(|(key, value)| 32 + key.len() + json(value)).sum::<usize>()
        }
        _ => 32,
    }
}
