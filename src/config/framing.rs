//! `framing`: how a port's bytes are cut into messages.

use std::time::Duration;

use super::keys::{CHECKSUM, FRAMING};
use super::model::{Block, BlockLength, CHECKSUMS, Checksum, Common, Framing};
use super::section::Section;
use super::text::{text, wrong_type};
use super::tree::{Context, Data, Entry};

const BYTES_DEFAULT: usize = 12 << 10;

/// Longest sequence of bytes that marks a start or an end, or is sent to a device.
const MARK_BYTES_MAX: usize = 64;

#[derive(Clone, Copy)]
enum By {
    Line,
    Delimiter,
    Length,
    Start,
    Gap,
    Slip,
    Hdlc,
    Cobs,
    P1,
    Sml,
    VeDirect,
}

const WAYS: [(&str, By); 11] = [
    ("line", By::Line),
    ("delimiter", By::Delimiter),
    ("length", By::Length),
    ("start", By::Start),
    ("gap", By::Gap),
    ("slip", By::Slip),
    ("hdlc", By::Hdlc),
    ("cobs", By::Cobs),
    ("p1", By::P1),
    ("sml", By::Sml),
    ("vedirect", By::VeDirect),
];

/// Types of a length field: bytes, and whether the most significant comes first.
const LENGTH_TYPES: [(&str, (usize, bool)); 5] =
    [("u8", (1, true)), ("u16be", (2, true)), ("u16le", (2, false)), ("u32be", (4, true)), ("u32le", (4, false))];

/// Reads `framing` of a serial source; lines when left out.
pub fn read(ctx: &mut Context<'_>, section: &Section<'_>) -> Option<Framing> {
    let Some(entry) = section.entry("framing") else {
        return Some(Framing::Line { max_bytes: BYTES_DEFAULT, keep_first: false });
    };
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`framing`", "a table such as { by = \"line\" }");
        return None;
    };
    let framing = Section::new(ctx, &FRAMING, entry.value.spot, &[entries]);
    let by = framing.choice(ctx, "by", &WAYS);
    let word = by.and_then(|_| framing.entry("by")).and_then(|entry| match &entry.value.data {
        Data::Text(word) => Some(word.as_str()),
        _ => None,
    });
    match word {
        Some(word) => framing.check_variant(ctx, word),
        None => framing.require(ctx, "by"),
    }
    let max_bytes = framing.size(ctx, "max_bytes", 16..=1 << 20);
    let max_bytes = max_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(BYTES_DEFAULT);
    let keep =
        |ctx: &mut Context<'_>, name| framing.choice(ctx, name, &[("drop", false), ("keep", true)]).unwrap_or(false);
    let keep_first_line = keep(ctx, "first_line");
    let keep_first = keep(ctx, "first_frame");
    let unchecked = keep(ctx, "unchecked");
    let checksum = framing.entry("checksum").map(|entry| checksum(ctx, entry));
    let gap = framing.duration(ctx, "gap", Duration::from_millis(1)..=Duration::from_secs(60));
    if matches!(by, Some(By::Gap)) {
        framing.require(ctx, "gap");
    }
    let delimiter = mark(ctx, &framing, "delimiter");
    let block = matches!(by, Some(By::Start | By::Length)).then(|| block(ctx, &framing, max_bytes));
    // Whatever was wrong with it has been reported; a frame must not pass unchecked for it.
    let checksum = match checksum {
        Some(None) => return None,
        Some(found) => found,
        None => None,
    };
    let common = Common { max_bytes, keep_first, checksum };
    Some(match by? {
        By::Line => Framing::Line { max_bytes, keep_first: keep_first_line },
        By::Delimiter => Framing::Delimiter { delimiter: delimiter?, common },
        By::Length | By::Start => Framing::Block(Block { gap, checksum, ..block?? }),
        By::Gap => Framing::Gap { gap: gap?, common },
        By::Slip => Framing::Slip(common),
        By::Hdlc => Framing::Hdlc(common),
        By::Cobs => Framing::Cobs(common),
        By::P1 => Framing::P1 { max_bytes, unchecked },
        By::Sml => Framing::Sml { max_bytes },
        By::VeDirect => Framing::VeDirect { max_bytes },
    })
}

/// A sequence of bytes: a text that stands for itself, or a list of numbers.
pub fn mark(ctx: &mut Context<'_>, section: &Section<'_>, name: &'static str) -> Option<Vec<u8>> {
    let entry = section.entry(name)?;
    let bytes = match &entry.value.data {
        Data::Text(_) => text(ctx, &entry.value, &format!("`{name}`"))?.value.into_bytes(),
        Data::List(items) => {
            let byte = |item: &super::tree::Node| match item.data {
                Data::Integer(Some(number)) => u8::try_from(number).ok(),
                _ => None,
            };
            match items.iter().map(byte).collect::<Option<Vec<u8>>>() {
                Some(bytes) => bytes,
                None => {
                    ctx.error(entry.value.spot, format!("`{name}` holds what is no byte"))
                        .label("expected numbers from 0 to 255, as in [0xAA, 0xC0]");
                    return None;
                }
            }
        }
        _ => {
            wrong_type(
                ctx,
                &entry.value,
                &format!("`{name}`"),
                "a text such as \"\\r\\n\", or bytes such as [0xAA, 0xC0]",
            );
            return None;
        }
    };
    if bytes.is_empty() || bytes.len() > MARK_BYTES_MAX {
        ctx.error(entry.value.spot, format!("`{name}` is {} bytes long", bytes.len()))
            .label(format!("1 to {MARK_BYTES_MAX}"));
        return None;
    }
    Some(bytes)
}

fn block(ctx: &mut Context<'_>, framing: &Section<'_>, max_bytes: usize) -> Option<Block> {
    let start = mark(ctx, framing, "start");
    let end = mark(ctx, framing, "end");
    if (framing.has("start") && start.is_none()) || (framing.has("end") && end.is_none()) {
        return None;
    }
    let (start, end) = (start.unwrap_or_default(), end.unwrap_or_default());
    let bytes = framing.integer::<usize>(ctx, "bytes", 1..=1 << 20);
    let at = framing.integer::<usize>(ctx, "length_at", 0..=1023);
    let field = framing.choice(ctx, "length_as", &LENGTH_TYPES).unwrap_or((1, true));
    let add = framing.integer::<i64>(ctx, "length_add", -65_536..=65_536).unwrap_or(0);
    let after = framing.integer::<usize>(ctx, "after_end", 0..=64).unwrap_or(0);
    for name in ["length_as", "length_add"] {
        if framing.has(name) && framing.lacks(ctx, "length_at") {
            ctx.error(framing.spot(name), format!("`{name}` has no meaning without `length_at`"));
        }
    }
    let length = match (framing.has("bytes"), framing.has("length_at"), end.is_empty()) {
        (true, true, _) => {
            ctx.error(framing.spot("length_at"), "`bytes` and `length_at` both say how long a frame is")
                .help("remove one of them");
            return None;
        }
        (true, false, _) => BlockLength::Bytes(bytes?),
        (false, true, _) => BlockLength::Field { at: at?, width: field.0, big_endian: field.1, add },
        (false, false, false) => BlockLength::UntilEnd { after },
        (false, false, true) => {
            if framing.lacks(ctx, "bytes") {
                ctx.error(framing.head, "nothing says where a frame ends")
                    .label("give `bytes`, `length_at` (the place of a length field), or `end`");
            }
            return None;
        }
    };
    if framing.has("after_end") && !matches!(length, BlockLength::UntilEnd { .. }) {
        ctx.error(framing.spot("after_end"), "`after_end` has no meaning where the length is known");
    }
    if let BlockLength::Bytes(bytes) = length
        && (bytes > max_bytes || bytes < start.len() + end.len())
    {
        ctx.error(framing.spot("bytes"), format!("a frame cannot be {bytes} bytes long")).label(format!(
            "at least `start` and `end` ({}), at most `max_bytes` ({max_bytes})",
            start.len() + end.len()
        ));
        return None;
    }
    let filler = if framing.has("filler") { mark(ctx, framing, "filler")? } else { b"\r\n".to_vec() };
    Some(Block { start, length, end, filler, gap: None, max_bytes, checksum: None })
}

/// `checksum`: a word, or a table.
fn checksum(ctx: &mut Context<'_>, entry: &Entry) -> Option<Checksum> {
    let entries = match &entry.value.data {
        Data::Table(entries) => entries,
        Data::Text(_) => {
            let word = text(ctx, &entry.value, "`checksum`")?;
            let kind = CHECKSUMS.iter().find(|(name, _)| *name == word.value).map(|(_, kind)| *kind);
            if kind.is_none() {
                let words = CHECKSUMS.map(|(word, _)| word);
                let near = super::suggest::nearest(&word.value.to_ascii_lowercase(), words.iter().copied());
                ctx.error(word.spot, "there is no such checksum")
                    .label(near.map_or_else(String::new, |near| format!("did you mean \"{near}\"?")))
                    .help(format!("expected {}", super::suggest::one_of(&words, "\"")));
            }
            return kind.map(Checksum::usual);
        }
        _ => {
            wrong_type(ctx, &entry.value, "`checksum`", "a word such as \"crc16-modbus\", or a table { kind = .. }");
            return None;
        }
    };
    let section = Section::new(ctx, &CHECKSUM, entry.value.spot, &[entries]);
    section.require(ctx, "kind");
    let kind = section.choice(ctx, "kind", &CHECKSUMS);
    let position = |ctx: &mut Context<'_>, name| section.integer::<isize>(ctx, name, -65_536..=65_536);
    let (from, to, at) = (position(ctx, "from"), position(ctx, "to"), position(ctx, "at"));
    let little = section.choice(ctx, "order", &[("big", false), ("little", true)]);
    let hex = section.choice(ctx, "written", &[("bytes", false), ("hex", true)]).unwrap_or(false);
    let over_hex = section.choice(ctx, "over", &[("bytes", false), ("hex", true)]).unwrap_or(false);
    let usual = Checksum::usual(kind?);
    let little_endian = little.unwrap_or(usual.little_endian && !hex);
    Some(Checksum { from: from.unwrap_or(0), to, at, little_endian, hex, over_hex, ..usual })
}
