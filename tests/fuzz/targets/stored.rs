//! Events and alarm records as the store keeps them. What can be read is written again and read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::event::stored::{decode_events, decode_records, encode_events, encode_records};
use tidegate_fuzz::watched;

fuzz_target!(|input: &[u8]| watched(|| {
    if let Ok(events) = decode_events(input) {
        let again = decode_events(&encode_events(&events)).expect("what was written is read");
        // Compared as text: a value that is no number equals nothing.
        assert_eq!(format!("{again:?}"), format!("{events:?}"));
    }
    if let Ok(records) = decode_records(input) {
        let again = decode_records(&encode_records(&records)).expect("what was written is read");
        assert_eq!(format!("{again:?}"), format!("{records:?}"));
    }
}));
