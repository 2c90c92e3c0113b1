//! A jq expression that somebody wrote, and a document for it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::config::model::Format;
use tidegate::decode::Decoder;
use tidegate_fuzz::{BETWEEN, decoding, sources, split, watched};

fuzz_target!(|input: &[u8]| watched(|| {
    let mut parts = split(input, &BETWEEN);
    let Some(Ok(expression)) = parts.next().map(std::str::from_utf8) else { return };
    let mut source = sources::load("decode = { format = \"jq\", expression = \".\" }");
    source.decode.format = Format::Jq { expression: expression.into() };
    let Ok(mut decoder) = Decoder::new(&source) else { return };
    for document in parts.take(4) {
        decoding::decode(&mut decoder, Some("a/b"), document, false);
    }
}));
