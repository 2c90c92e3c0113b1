//! CloudEvents encodings.

use crate::config::model::{Encoding, EventPart, Template, TemplatePart};
use crate::event::Event;

/// Why an event has no topic.
#[derive(Debug)]
pub struct TopicError(String);

impl std::fmt::Display for TopicError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Encodes.
pub fn encode(event: &Event, gateway: &str, _encoding: Encoding, backlog: bool, out: &mut Vec<u8>) {
    let lost = match &event.data {
        super::EventData::GatewayStarted(started) => started.version.as_str(),
        _ => "",
    };
    let value = serde_json::json!({
        "specversion": "1.0", "id": event.id.to_string(), "source": format!("/tidegate/{gateway}"),
        "type": event.data.event_type(), "subject": &*event.subject, "sequence": event.sequence, "backlog": backlog,
        "data": { "version": lost },
    });
    serde_json::to_writer(out, &value).expect("invariant: JSON");
}

/// Topic.
pub fn topic(template: &Template, event: &Event, gateway: &str, out: &mut String) -> Result<(), TopicError> {
    for part in &template.0 {
        match part {
            TemplatePart::Text(text) => out.push_str(text),
            TemplatePart::Event(EventPart::Gateway) => out.push_str(gateway),
            TemplatePart::Event(EventPart::Severity) => out.push_str(event.severity.as_str()),
            TemplatePart::Event(EventPart::Sensor) => out.push_str(&event.subject),
            TemplatePart::Event(EventPart::Type) => out.push_str(event.data.event_type()),
            _ => return Err(TopicError("unknown part".to_owned())),
        }
    }
    Ok(())
}
