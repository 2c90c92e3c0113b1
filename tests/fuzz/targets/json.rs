//! Messages in JSON, presets, jq, Homie and SenML: see `tidegate_fuzz::decoding`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::{decoding, sources, watched};

fuzz_target!(|input: &[u8]| watched(|| decoding::messages(input, sources::JSON)));
