//! The keys of `framing`.

use super::{KeyTable, required, with_default};

/// `framing`
pub static FRAMING: KeyTable =
    KeyTable {
        title: "framing",
        noun: "framing",
        selector: "by",
        meaning: "How a serial port's bytes are cut into messages, as in `framing = { by = \"line\" }`.",
        keys: &[
            required("by", "\"line\"", "Lines that end at CR, LF or CRLF.").near(&["type", "kind", "mode"]),
            with_default("max_bytes", "size, 16 B to 1 MiB", "\"12KiB\"", "A longer line is refused and counted.")
                .near(&["max_length", "max", "limit", "bytes_max"]),
            with_default(
                "first_line",
                "\"drop\" or \"keep\"",
                "\"drop\"",
                "The first line after opening may have lost its beginning; drop it, or keep it.",
            )
            .near(&["first", "keep_first", "skip_first"]),
        ],
    };
