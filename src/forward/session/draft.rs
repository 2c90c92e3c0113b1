//! One message on its way from an event to bytes: topic, payload and properties.
//!
//! Owns the checks that need no connection, and buffers that serve one event after the other. Pure.

use super::super::link::codec::{put_content_type, put_expiry, put_is_text, put_user_property};
use crate::config::model::{Encoding, Mode, Protocol, Upstream};
use crate::event::wire::{Marks, TopicRules};
use crate::event::{Event, wire};

/// A buffer that one large event has blown up is given back beyond this, bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// The message drafted last.
pub(super) struct Draft {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// Of this event.
    pub(super) properties: Vec<u8>,
    /// Of a status.
    pub(super) status_properties: Vec<u8>,
    /// What every event has; the beginning of `properties`.
    fixed: usize,
    /// What the kind of broker takes.
    rules: TopicRules,
    payload_bytes_max: usize,
}

impl Draft {
    /// For the events of one connection.
    pub(super) fn new(upstream: &Upstream) -> Self {
        let (mut properties, mut status_properties) = (Vec::new(), Vec::new());
        if upstream.protocol == Protocol::V5 {
            put_content_type(
                &mut properties,
                match upstream.mode {
                    Mode::Structured => wire::content_type(upstream.encoding),
                    Mode::Binary => wire::data_content_type(upstream.encoding),
                },
            );
            if upstream.encoding == Encoding::Json {
                put_is_text(&mut properties);
            }
            if let Some(expiry) = upstream.message_expiry {
                put_expiry(&mut properties, u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX).max(1));
            }
            for (name, value) in &upstream.user_properties {
                put_user_property(&mut properties, name, value);
            }
            put_content_type(&mut status_properties, "application/json");
            put_is_text(&mut status_properties);
        }
        let fixed = properties.len();
        Self {
            topic: String::new(),
            payload: Vec::new(),
            properties,
            status_properties,
            fixed,
            rules: upstream.profile.topic_rules(),
            payload_bytes_max: upstream.payload_bytes_max.min(upstream.profile.payload_bytes_max()),
        }
    }

    /// What the message drafted last counts against a limit of bytes.
    pub(super) fn bytes(&self) -> usize {
        self.topic.len() + self.properties.len() + self.payload.len()
    }

    /// Drafts an event, or says why it cannot be sent. Returns whether the topic holds a changed name.
    pub(super) fn event(
        &mut self,
        event: &Event,
        gateway: &str,
        upstream: &Upstream,
        marks: Marks,
    ) -> Result<bool, String> {
        let topic = &mut self.topic;
        let changed = wire::topic(&upstream.topic, event, gateway, &self.rules, topic)
            .map_err(|error| format!("no valid topic: {error}"))?;
        if self.payload.capacity() > KEPT_BYTES_MAX {
            self.payload = Vec::new();
        }
        self.properties.truncate(self.fixed);
        match upstream.mode {
            Mode::Structured if marks.replayed => {
                wire::encode_replayed(event, gateway, upstream.encoding, &mut self.payload)
            }
            Mode::Structured => wire::encode(event, gateway, upstream.encoding, marks.backlog, &mut self.payload),
            Mode::Binary => {
                let properties = &mut self.properties;
                wire::attributes(event, gateway, marks, |name, value| put_user_property(properties, name, value));
                wire::encode_data(event, upstream.encoding, &mut self.payload);
            }
        }
        if self.payload.len() > self.payload_bytes_max {
            return Err(format!(
                "the payload has {} bytes, more than `payload_bytes_max` ({})",
                self.payload.len(),
                self.payload_bytes_max
            ));
        }
        Ok(changed)
    }
}
