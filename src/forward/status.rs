//! The gateway's own sign of life upstream: a retained message on `status_topic`, `tidegate/<gateway>/status` unless
//! configured.
//!
//! Owns the texts: `online` (birth, after each connect), `offline` with reason `lost` (last will, published by the
//! broker), and `offline` with reasons `stopped`, `moved` and `scheduled` (said by ourselves before we go: for good, to
//! another broker, or until the next call). UTF-8 JSON. Never
//! sends anything.

use serde::Serialize;

use crate::clock::WallTime;

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Status<'a> {
    Online { version: &'a str, time: String, waiting: u64 },
    Offline { reason: &'a str, version: &'a str, time: String },
}

/// We are here, and `waiting` events are about to come.
pub fn online(time: WallTime, waiting: u64) -> Vec<u8> {
    encode(&Status::Online { version: env!("CARGO_PKG_VERSION"), time: time.to_string(), waiting })
}

/// What the broker is to say when it loses us; `connected` is when this connection was made.
pub fn lost(connected: WallTime) -> Vec<u8> {
    encode(&Status::Offline { reason: "lost", version: env!("CARGO_PKG_VERSION"), time: connected.to_string() })
}

/// We are going.
pub fn stopped(time: WallTime) -> Vec<u8> {
    encode(&Status::Offline { reason: "stopped", version: env!("CARGO_PKG_VERSION"), time: time.to_string() })
}

/// We are going to another broker.
pub fn moved(time: WallTime) -> Vec<u8> {
    encode(&Status::Offline { reason: "moved", version: env!("CARGO_PKG_VERSION"), time: time.to_string() })
}

/// We go until the next scheduled call.
pub fn between_calls(time: WallTime) -> Vec<u8> {
    encode(&Status::Offline { reason: "scheduled", version: env!("CARGO_PKG_VERSION"), time: time.to_string() })
}

fn encode(status: &Status<'_>) -> Vec<u8> {
    serde_json::to_vec(status).expect("invariant: a map of texts and numbers is always JSON")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    #[test]
    fn the_texts_are_as_documented() {
        let time = WallTime::from_millis(1_767_225_600_000);
        let online: serde_json::Value = serde_json::from_slice(&online(time, 7)).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            online,
            serde_json::json!({"state": "online", "version": version, "time": "2026-01-01T00:00:00Z", "waiting": 7})
        );
        let said = [
            (lost(time), "lost"),
            (stopped(time), "stopped"),
            (moved(time), "moved"),
            (between_calls(time), "scheduled"),
        ];
        for (text, reason) in said {
            let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(text["state"], "offline");
            assert_eq!(text["reason"], reason);
            assert_eq!(text["time"], "2026-01-01T00:00:00Z");
        }
    }
}
