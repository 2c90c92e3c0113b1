//! Binary mode (CloudEvents MQTT binding 1.0.2, section 3.1): attributes as texts beside the data.
//!
//! Owns the attributes' names and their texts; the caller puts them where its protocol has room. `datacontenttype` is not
//! among them, since MQTT 5 has a property of its own for it. Values are those of the structured form, as texts.

use uuid::Uuid;

use super::{Marks, SCHEMA_PREFIX, SOURCE_PREFIX, cbor, json, padded, schema_name};
use crate::config::model::Encoding;
use crate::event::{Event, rfc3339};

/// Every name that [`attributes`] can give.
pub const ATTRIBUTES: [&str; 14] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "dataschema",
    "sequence",
    "partitionkey",
    "correlationid",
    "severity",
    "clock",
    "backlog",
    "replayed",
];

/// Gives each attribute of an event to `put`, as name and value.
pub fn attributes(event: &Event, gateway: &str, marks: Marks, mut put: impl FnMut(&str, &str)) {
    let event_type = event.data.event_type();
    let mut id = Uuid::encode_buffer();
    put("specversion", "1.0");
    put("id", event.id.hyphenated().encode_lower(&mut id));
    put("source", &[SOURCE_PREFIX, gateway].concat());
    put("type", event_type);
    put("subject", &event.subject);
    put("time", rfc3339::format(event.time, &mut [0; rfc3339::TEXT_BYTES_MAX]));
    put("dataschema", &[SCHEMA_PREFIX, schema_name(event_type)].concat());
    put("sequence", padded(event.sequence, &mut [0; 20]));
    put("partitionkey", &event.subject);
    if let Some(correlation) = event.correlation {
        put("correlationid", correlation.hyphenated().encode_lower(&mut id));
    }
    put("severity", event.severity.as_str());
    put("clock", event.clock.as_str());
    put("backlog", if marks.backlog { "true" } else { "false" });
    if marks.replayed {
        put("replayed", "true");
    }
}

/// Encodes the data of an event alone into `out`, which is cleared first.
pub fn encode_data(event: &Event, encoding: Encoding, out: &mut Vec<u8>) {
    out.clear();
    match encoding {
        Encoding::Json => json::data(event, out),
        Encoding::Cbor => cbor::data(event, out),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;
    use crate::event::samples::any_event;
    use crate::event::wire;

    proptest! {
        #[test]
        fn attributes_and_data_are_those_of_the_structured_form(event in any_event(), replayed in any::<bool>()) {
            let mut whole = Vec::new();
            if replayed {
                wire::encode_replayed(&event, "gw", Encoding::Json, &mut whole);
            } else {
                wire::encode(&event, "gw", Encoding::Json, false, &mut whole);
            }
            let mut structured: Map<String, Value> = serde_json::from_slice(&whole).unwrap();
            let mut data = Vec::new();
            encode_data(&event, Encoding::Json, &mut data);
            prop_assert_eq!(serde_json::from_slice::<Value>(&data).unwrap(), structured.remove("data").unwrap());
            encode_data(&event, Encoding::Cbor, &mut data);
            prop_assert!(ciborium::from_reader::<ciborium::Value, _>(&data[..]).unwrap().is_map());
            structured.remove("datacontenttype").unwrap();
            let mut seen = Map::new();
            attributes(&event, "gw", Marks { backlog: replayed, replayed }, |name, value| {
                assert!(ATTRIBUTES.contains(&name), "{name}");
                let value = match name {
                    "backlog" | "replayed" => Value::Bool(value == "true"),
                    _ => Value::from(value),
                };
                assert!(seen.insert(name.to_owned(), value).is_none());
            });
            prop_assert_eq!(seen, structured);
        }
    }
}
