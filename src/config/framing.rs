//! `framing`: how a port's bytes are cut into messages.

use super::keys::FRAMING;
use super::model::Framing;
use super::section::Section;
use super::text::wrong_type;
use super::tree::{Context, Data};

const LINE_BYTES_DEFAULT: usize = 12 << 10;

/// Reads `framing` of a serial source; lines when left out.
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Framing> {
    let Some(entry) = section.entry("framing") else {
        return Some(Framing::Line { max_bytes: LINE_BYTES_DEFAULT, keep_first: false });
    };
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`framing`", "a table such as { by = \"line\" }");
        return None;
    };
    let framing = Section::new(ctx, &FRAMING, entry.value.spot, &[entries]);
    framing.require(ctx, "by");
    let by = framing.choice(ctx, "by", &[("line", ())]);
    let max_bytes = framing.size(ctx, "max_bytes", 16..=1 << 20);
    let keep_first = framing.choice(ctx, "first_line", &[("drop", false), ("keep", true)]).unwrap_or(false);
    by.map(|()| Framing::Line {
        max_bytes: max_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(LINE_BYTES_DEFAULT),
        keep_first,
    })
}
