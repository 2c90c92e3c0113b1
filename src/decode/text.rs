//! What a payload's bytes are as text, before any format looks at it.
//!
//! Owns the marks around a text that are none of it, the character set, and that a text can be several JSON documents.

use super::Format;
use super::name::Refusal;
use super::sink::Sink;

/// A text without the mark that some editors and loggers put before it, and without the zeros that end it in the memory
/// of a C program; empty where it is blank.
pub(super) fn text_bytes(payload: &[u8]) -> &[u8] {
    let mut payload = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    while let Some(before) = payload.strip_suffix(b"\0") {
        payload = before;
    }
    if payload.trim_ascii().is_empty() { &[] } else { payload }
}

/// ISO 8859-1: every byte is the character of its number.
pub(super) fn latin1(payload: &[u8]) -> String {
    payload.iter().map(|byte| char::from(*byte)).collect()
}

/// Reads a text, which may be several documents, one a line.
pub(super) fn read_text(
    format: &mut dyn Format,
    payload: &str,
    is_json: bool,
    sink: &mut Sink<'_>,
) -> Result<(), Refusal> {
    if !is_json || !is_json_lines(payload) {
        return format.read(payload, sink);
    }
    for line in payload.lines().filter(|line| !line.trim().is_empty()) {
        if !format.read_plain(line.as_bytes(), sink)
            && let Err((reject, what)) = format.read(line, sink)
        {
            sink.refuse(reject, what);
        }
    }
    Ok(())
}

/// Whether a payload is several documents, one a line. A document that is laid out over lines has none that is one alone.
fn is_json_lines(payload: &str) -> bool {
    let mut lines = payload.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_document = |line: &str| line.starts_with('{') && line.ends_with('}');
    payload.trim_ascii().contains('\n') && lines.all(is_document)
}
