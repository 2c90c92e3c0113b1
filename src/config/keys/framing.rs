//! The keys of `framing` and of its `checksum`.

use super::{KeyTable, optional, required, with_default};

/// The ways whose frames can be checked as a whole.
const CHECKED: &[&str] = &["delimiter", "length", "start", "gap", "slip", "hdlc", "cobs"];
const BLOCK: &[&str] = &["length", "start"];
const START: &[&str] = &["start"];

/// `framing`
pub static FRAMING: KeyTable = KeyTable {
    title: "framing",
    noun: "framing",
    selector: "by",
    meaning: "How a serial port's bytes are cut into messages, as in `framing = { by = \"line\" }`. After garbage each way \
              finds back by itself; what fits nothing is refused and counted. Bytes (`start`, `end`, `delimiter`) are \
              written as a text, or as a list: `[0xAA, 0xC0]`.",
    keys: &[
        required(
            "by",
            "\"line\", \"delimiter\", \"length\", \"start\", \"gap\", \"slip\", \"hdlc\", \"cobs\", \"p1\", \"sml\" or \"vedirect\"",
            "`line`: ends at CR, LF or CRLF. `delimiter`: ends at any bytes. `length`: always the same length. `start`: \
             begins with known bytes, then a length or an end. `gap`: ends at a pause. `slip`: RFC 1055. `hdlc`: between 0x7E, escaped by 0x7D. `cobs`: ends at \
             a zero byte. `p1`: a smart meter's telegram. `sml`: a German meter's binary file. `vedirect`: a Victron text block.",
        )
        .near(&["type", "kind", "mode"]),
        with_default("max_bytes", "size, 16 B to 1 MiB", "\"12KiB\"", "A longer frame is refused and counted.")
            .near(&["max_length", "max", "limit", "bytes_max"]),
        with_default(
            "first_line",
            "\"drop\" or \"keep\"",
            "\"drop\"",
            "The first line after opening may have lost its beginning; drop it, or keep it.",
        )
        .near(&["first", "keep_first", "skip_first"])
        .only(&["line"]),
        with_default(
            "first_frame",
            "\"drop\" or \"keep\"",
            "\"drop\"",
            "The same for other frames. One whose checksum fits is kept in any case.",
        )
        .near(&["first", "keep_first", "skip_first"])
        .only(&["delimiter", "gap", "slip", "hdlc", "cobs"]),
        required("delimiter", "sequence of bytes", "What a frame ends with; it is cut off.")
            .near(&["separator", "end", "terminator"])
            .only(&["delimiter"]),
        required("start", "sequence of bytes", "What every frame begins with.")
            .near(&["header", "prefix", "sync", "begin"])
            .only(START),
        optional("end", "sequence of bytes", "none", "What every frame ends with. With `start` and `end` alone the message is what stands between them; where the length is \
             known both stay in it, and places count from its first byte.")
            .near(&["tail", "suffix", "terminator"])
            .only(BLOCK),
        with_default("after_end", "0 to 64", "0", "Bytes of the frame behind `end`, as a check character.").only(START),
        optional("filler", "sequence of bytes", "CR and LF", "Bytes that may stand between frames; any others there are refused and counted.")
            .near(&["between", "padding", "ignore", "idle"])
            .only(BLOCK),
        optional("bytes", "whole number, up to 1048576", "needs `length_at` or `end`", "Length of a frame, all of it.")
            .near(&["length", "size", "len"])
            .only(BLOCK),
        optional("length_at", "0 to 1023", "none", "Where in the frame its length stands, counted from 0.")
            .near(&["length_offset", "len_at"])
            .only(START),
        with_default(
            "length_as",
            "\"u8\", \"u16be\", \"u16le\", \"u32be\" or \"u32le\"",
            "\"u8\"",
            "How the length is written.",
        )
        .near(&["length_type"])
        .only(START),
        with_default(
            "length_add",
            "whole number, -65536 to 65536",
            "0",
            "What that length does not count: whole frame = length + this.",
        )
        .near(&["length_extra", "overhead"])
        .only(START),
        optional(
            "gap",
            "duration, 1 ms to 60 s",
            "none; required by \"gap\"",
            "A pause this long ends a frame (`gap`), or gives an unfinished one up (`start`, `length`). USB adapters hold \
             bytes back for up to 16 ms: give 50 ms or more.",
        )
        .near(&["timeout", "pause", "idle"])
        .only(&["gap", "length", "start"]),
        optional(
            "checksum",
            "word or table",
            "none",
            "What a frame is checked by, see `checksum`; a word alone means the usual place: the frame's last bytes.",
        )
        .near(&["crc", "check", "bcc", "lrc"])
        .only(CHECKED),
        with_default(
            "unchecked",
            "\"drop\" or \"keep\"",
            "\"drop\"",
            "Telegrams without a CRC, as meters of DSMR 2 and 3 send them.",
        )
        .only(&["p1"]),
    ],
};

/// `checksum`
pub static CHECKSUM: KeyTable = KeyTable {
    title: "checksum",
    noun: "a checksum",
    selector: "",
    meaning: "What protects a frame, as in `checksum = \"crc16-modbus\"` or `checksum = { kind = \"sum8\", from = 2, at = -2 }`. \
              Positions count from 0, or below zero from the frame's end. At the frame's end, or right before its `end`, it is cut off the message.",
    keys: &[
        required(
            "kind",
            "one of the names",
            "`sum8`, `sum8-negated` (two's complement, LRC), `sum8-inverted`, `sum16`, `sum16-negated`, `sum6-printable` (six bits plus 0x20: Téléinformation), `xor8`, `crc8`, `crc8-maxim`, \
             `crc8-sensirion`, `crc16-modbus`, `crc16-arc`, `crc16-ccitt-false`, `crc16-xmodem`, `crc16-kermit`, \
             `crc16-x25`, `crc16-voltronic`, `fletcher8` (u-blox), `crc32`, `crc32-mpeg2`, `crc32c`.",
        )
        .near(&["type", "algorithm", "by"]),
        with_default("from", "position", "0", "First byte covered."),
        optional("to", "position", "where the checksum stands", "First byte that is not covered any more."),
        optional("at", "position", "the last bytes", "Where it stands.").near(&["offset", "position"]),
        optional(
            "order",
            "\"big\" or \"little\"",
            "as usual: \"little\" for reflected CRCs (modbus, arc, kermit, x25, crc32, crc32c), else \"big\"",
            "Whether its most or its least significant byte comes first.",
        )
        .near(&["endian", "byte_order"]),
        with_default("over", "\"bytes\" or \"hex\"", "\"bytes\"", "Of the bytes as they come, or of those that the hexadecimal digits stand for (Modbus ASCII).")
            .near(&["of", "covers"]),
        with_default("written", "\"bytes\" or \"hex\"", "\"bytes\"", "As bytes, or as hexadecimal digits.")
            .near(&["as", "encoding"]),
    ],
};
