//! One message on its way from an event to bytes: topic, payload and properties.
//!
//! Owns the checks that need no connection, and buffers that serve one event after the other. Pure.

use zstd::bulk::Compressor;

use super::super::link::codec::{self, put_content_type, put_expiry, put_is_text, put_user_property};
use crate::config::model::{Compression, Encoding, Mode, Protocol, Upstream};
use crate::event::wire::{Marks, TopicRules};
use crate::event::{Event, wire};
use crate::forward::batch;

/// A buffer that one large event has blown up is given back beyond this, bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// zstd's own default: higher levels take several times as long for a few percent.
const LEVEL: i32 = 3;

/// What tells an MQTT 5 consumer that a payload is compressed; with 3.1.1 it goes by the frame's magic number.
const CONTENT_ENCODING: (&str, &str) = ("content-encoding", "zstd");

/// What [`CONTENT_ENCODING`] takes as a user property: its identifier, two lengths, and the texts.
const ENCODING_BYTES_MAX: usize = 5 + CONTENT_ENCODING.0.len() + CONTENT_ENCODING.1.len();

/// The message drafted last.
pub(super) struct Draft {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// The payload before it was compressed, bytes.
    pub(super) encoded_bytes: usize,
    /// Of this message.
    pub(super) properties: Vec<u8>,
    /// Of a status.
    pub(super) status_properties: Vec<u8>,
    /// What every event has that goes alone.
    event_properties: Vec<u8>,
    /// What every batch has.
    batch_properties: Vec<u8>,
    compressor: Option<Compressor<'static>>,
    packed: Vec<u8>,
    is_v5: bool,
    /// What the kind of broker takes.
    rules: TopicRules,
    payload_bytes_max: usize,
}

impl Draft {
    /// For the events of one connection.
    pub(super) fn new(upstream: &Upstream) -> Self {
        let mut status_properties = Vec::new();
        let is_v5 = upstream.protocol == Protocol::V5;
        if is_v5 {
            put_content_type(&mut status_properties, "application/json");
            put_is_text(&mut status_properties);
        }
        let event_type = match upstream.mode {
            Mode::Structured => wire::content_type(upstream.encoding),
            Mode::Binary => wire::data_content_type(upstream.encoding),
        };
        let is_compressed = upstream.compression == Compression::Zstd;
        Self {
            topic: String::new(),
            payload: Vec::new(),
            encoded_bytes: 0,
            properties: Vec::new(),
            status_properties,
            event_properties: fixed_properties(upstream, event_type),
            batch_properties: fixed_properties(upstream, batch::content_type(upstream.encoding)),
            // Should it not get its memory, payloads go plain.
            compressor: if is_compressed { Compressor::new(LEVEL).ok() } else { None },
            packed: Vec::new(),
            is_v5,
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
        self.properties.clear();
        self.properties.extend_from_slice(&self.event_properties);
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

    /// Drafts a batch from its payload, which is left with another buffer.
    pub(super) fn batch(&mut self, topic: &str, payload: &mut Vec<u8>) {
        self.topic.clear();
        self.topic.push_str(topic);
        self.properties.clear();
        self.properties.extend_from_slice(&self.batch_properties);
        std::mem::swap(&mut self.payload, payload);
    }

    /// The most bytes that a batch's payload may have, if a packet may have `packet_bytes_max`.
    pub(super) fn batch_bytes_max(&self, topic: &str, packet_bytes_max: Option<usize>) -> usize {
        let head = codec::PUBLISH_HEAD_BYTES_MAX + topic.len() + self.batch_properties.len() + ENCODING_BYTES_MAX;
        packet_bytes_max.map_or(self.payload_bytes_max, |max| self.payload_bytes_max.min(max.saturating_sub(head)))
    }

    /// Compresses the payload where that makes it shorter, if it is to be compressed.
    pub(super) fn compress(&mut self) {
        self.encoded_bytes = self.payload.len();
        let Some(compressor) = &mut self.compressor else { return };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.payload.len()));
        let is_shorter = compressor
            .compress_to_buffer(&self.payload, &mut self.packed)
            .is_ok_and(|length| length < self.payload.len());
        if is_shorter {
            std::mem::swap(&mut self.payload, &mut self.packed);
            if self.is_v5 {
                put_user_property(&mut self.properties, CONTENT_ENCODING.0, CONTENT_ENCODING.1);
            }
        }
        if self.packed.capacity() > KEPT_BYTES_MAX {
            self.packed = Vec::new();
        }
    }
}

/// What every message of a kind has.
fn fixed_properties(upstream: &Upstream, content_type: &str) -> Vec<u8> {
    let mut properties = Vec::new();
    if upstream.protocol == Protocol::V5 {
        put_content_type(&mut properties, content_type);
        // A compressed payload is no text.
        if upstream.encoding == Encoding::Json && upstream.compression == Compression::None {
            put_is_text(&mut properties);
        }
        if let Some(expiry) = upstream.message_expiry {
            put_expiry(&mut properties, u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX).max(1));
        }
        for (name, value) in &upstream.user_properties {
            put_user_property(&mut properties, name, value);
        }
    }
    properties
}
