//! What a broker sends to the upstream link, in both versions of MQTT and however it comes in.
//!
//! The first byte says in which pieces; the rest is what comes. The version must not matter to where packets end.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tidegate::config::model::Protocol;
use tidegate::forward::link::codec::{Incoming, Malformed, take};
use tidegate_fuzz::watched;

/// Largest packet taken.
const PACKET_BYTES_MAX: usize = 4096;

fn packets(bytes: &[u8], piece: usize, protocol: Protocol) -> (Vec<Incoming>, Option<Malformed>) {
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match take(&mut buffer, protocol, PACKET_BYTES_MAX) {
                Ok(Some(packet)) => found.push(packet),
                Ok(None) => break,
                Err(malformed) => return (found, Some(malformed)),
            }
        }
        assert!(buffer.len() <= PACKET_BYTES_MAX + 5, "{} bytes without a packet", buffer.len());
    }
    (found, None)
}

fuzz_target!(|input: &[u8]| watched(|| {
    let [piece, bytes @ ..] = input else { return };
    for protocol in [Protocol::V311, Protocol::V5] {
        let whole = packets(bytes, PACKET_BYTES_MAX, protocol);
        assert_eq!(whole, packets(bytes, usize::from(*piece).max(1), protocol), "read differently in pieces");
    }
}));
