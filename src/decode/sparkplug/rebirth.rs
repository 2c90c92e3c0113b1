//! Asking a Sparkplug node for its birth: whose is missing, and the command.
//!
//! Owns the bytes: a payload with its time and one metric, `Node Control/Rebirth` = true (Boolean, datatype 11), without
//! a sequence number, to `spBv1.0/GROUP/NCMD/NODE`, QoS 0 and not retained (Sparkplug 3.0, chapters 5 and 6).

use crate::clock::WallTime;

/// What a message told of the birth of its node, `group/node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It was never seen, or messages after it are missing: it is to be asked for.
    Missing(Box<str>),
    /// It came, what was missing came late, or the node is gone and will begin with its birth.
    Settled(Box<str>),
}

/// The metric that asks.
const METRIC: &[u8] = b"Node Control/Rebirth";

/// The topic and payload that ask `group/node` for its birth; `None` where that is no node's name.
pub fn request(node: &str, now: WallTime) -> Option<(String, Vec<u8>)> {
    let (group, node) = node.split_once('/')?;
    let mut metric = vec![0x0a, METRIC.len() as u8];
    metric.extend_from_slice(METRIC);
    // datatype = Boolean, boolean_value = true
    metric.extend_from_slice(&[0x20, 11, 0x70, 1]);
    let mut payload = vec![0x08];
    varint(u64::try_from(now.0 / 1_000_000).unwrap_or(0), &mut payload);
    payload.extend_from_slice(&[0x12, metric.len() as u8]);
    payload.extend_from_slice(&metric);
    Some((format!("spBv1.0/{group}/NCMD/{node}"), payload))
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::super::protobuf::{self, Scalar};
    use super::*;

    #[test]
    fn the_request_is_a_payload_of_one_true_metric_without_a_sequence_number() {
        let (topic, bytes) = request("plant/mixer", WallTime::from_secs(1_772_366_400)).unwrap();
        assert_eq!(topic, "spBv1.0/plant/NCMD/mixer");
        let payload = protobuf::read(&bytes).unwrap();
        assert_eq!((payload.timestamp, payload.seq, payload.metrics.len()), (Some(1_772_366_400_000), None, 1));
        let metric = &payload.metrics[0];
        assert_eq!((metric.name, metric.datatype), (Some("Node Control/Rebirth"), 11));
        assert_eq!(metric.value, Some(Scalar::Bool(true)));
    }
}
