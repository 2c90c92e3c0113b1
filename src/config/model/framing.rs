//! How a serial port's bytes are cut into messages.

use std::time::Duration;

/// `framing`: how a byte stream is cut into messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Framing {
    /// `{ by = "line" }`: ends at CR, LF or CRLF; longer than `max_bytes` (default 12 KiB) is refused and counted; the
    /// first, possibly partial, line after opening is dropped unless `first_line = "keep"`.
    Line {
        /// `max_bytes`
        max_bytes: usize,
        /// `first_line = "keep"`
        keep_first: bool,
    },
    /// `{ by = "delimiter" }`: ends at a sequence of bytes.
    Delimiter {
        /// `delimiter`, not empty.
        delimiter: Vec<u8>,
        /// What all framings have.
        common: Common,
    },
    /// `{ by = "length" }` and `{ by = "start" }`: found by its start, length, end and checksum.
    Block(Block),
    /// `{ by = "gap" }`: ends when nothing comes for so long.
    Gap {
        /// `gap`
        gap: Duration,
        /// What all framings have.
        common: Common,
    },
    /// `{ by = "slip" }`: RFC 1055.
    Slip(Common),
    /// `{ by = "hdlc" }`: between 0x7E, with the escapes of RFC 1662.
    Hdlc(Common),
    /// `{ by = "cobs" }`: consistent overhead byte stuffing, frames end at a zero byte.
    Cobs(Common),
    /// `{ by = "p1" }`: a meter's telegram, `/` to `!` and its CRC.
    P1 {
        /// `max_bytes`
        max_bytes: usize,
        /// `unchecked = "keep"`: take telegrams without a CRC (DSMR 2 and 3).
        unchecked: bool,
    },
    /// `{ by = "sml" }`: a file of the Smart Message Language with its CRC.
    Sml {
        /// `max_bytes`
        max_bytes: usize,
    },
    /// `{ by = "vedirect" }`: a Victron text block with its checksum.
    VeDirect {
        /// `max_bytes`
        max_bytes: usize,
    },
}

/// What several framings have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// `max_bytes`: longer is refused and counted.
    pub max_bytes: usize,
    /// `first_frame = "keep"`: take the first frame after opening although it may have lost its beginning. One with a
    /// valid checksum is taken in any case.
    pub keep_first: bool,
    /// `checksum`
    pub checksum: Option<Checksum>,
}

/// A message that is known by its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// `start`: its first bytes; empty with `by = "length"`.
    pub start: Vec<u8>,
    /// How its end is found.
    pub length: BlockLength,
    /// `end`: its last bytes, or with [`BlockLength::UntilEnd`] those before the last `after_end`.
    pub end: Vec<u8>,
    /// `filler`: bytes that may stand between frames and are no refusal.
    pub filler: Vec<u8>,
    /// `gap`: what is unfinished after so long without a byte will not be finished.
    pub gap: Option<Duration>,
    /// `max_bytes`
    pub max_bytes: usize,
    /// `checksum`
    pub checksum: Option<Checksum>,
}

/// How long a [`Block`] is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BlockLength {
    /// `bytes`: all of it, start and end included.
    Bytes(usize),
    /// `length_at`, `length_as`, `length_add`: a field says how long it is.
    Field {
        /// Where the field is.
        at: usize,
        /// Its width, bytes: 1 to 4.
        width: usize,
        /// Whether its first byte is the most significant.
        big_endian: bool,
        /// What the field does not count: whole length = value + add.
        add: i64,
    },
    /// Until `end` and so many bytes (`after_end`) behind it.
    UntilEnd {
        /// Bytes behind the end mark, as a block check character.
        after: usize,
    },
}

/// A checksum: what it covers and where it stands. Positions below zero count from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// `kind`
    pub kind: ChecksumKind,
    /// `from`: the first byte covered. Default 0.
    pub from: isize,
    /// `to`: the first byte behind what is covered. Default where the checksum stands.
    pub to: Option<isize>,
    /// `at`: where it stands. Default the last bytes; there it is cut off the message.
    pub at: Option<isize>,
    /// `order = "little"`: its least significant byte comes first.
    pub little_endian: bool,
    /// `written = "hex"`: as hexadecimal digits.
    pub hex: bool,
    /// `over = "hex"`: what is covered are hexadecimal digits, and the bytes that they stand for are summed up.
    pub over_hex: bool,
}

/// How a checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumKind {
    /// Sum of the bytes, lowest 8 bits.
    Sum8,
    /// What makes that sum 0 (two's complement): MH-Z19, LRC.
    Sum8Negated,
    /// Its bits inverted (one's complement).
    Sum8Inverted,
    /// Sum of the bytes, lowest 16 bits.
    Sum16,
    /// What makes that sum 0 (two's complement).
    Sum16Negated,
    /// Two sums of 8 bits, the second one of the first's values, the first one first: RFC 1145, u-blox.
    Fletcher8,
    /// CRC-16/XMODEM, where bytes that would be `(`, CR or LF are one more: inverters of Voltronic.
    Crc16Voltronic,
    /// Sum of the bytes, lowest 6 bits, plus 0x20: a printable character, as French meters send it (Téléinformation).
    Sum6,
    /// All bytes by exclusive or.
    Xor8,
    /// A cyclic redundancy check.
    Crc(Crc),
}

/// The parameters of a cyclic redundancy check, as the catalogues give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc {
    /// Bits: 8, 16 or 32.
    pub width: u32,
    /// Polynomial, most significant bit first, without the leading one.
    pub poly: u32,
    /// Register at the start.
    pub init: u32,
    /// Whether bits are taken and given least significant first.
    pub reflected: bool,
    /// Exclusive or at the end.
    pub xor_out: u32,
}

const fn crc(width: u32, poly: u32, init: u32, reflected: bool, xor_out: u32) -> ChecksumKind {
    ChecksumKind::Crc(Crc { width, poly, init, reflected, xor_out })
}

/// All kinds, by the word in `kind`.
pub const CHECKSUMS: [(&str, ChecksumKind); 21] = [
    ("sum8", ChecksumKind::Sum8),
    ("sum8-negated", ChecksumKind::Sum8Negated),
    ("sum8-inverted", ChecksumKind::Sum8Inverted),
    ("sum16", ChecksumKind::Sum16),
    ("sum16-negated", ChecksumKind::Sum16Negated),
    ("sum6-printable", ChecksumKind::Sum6),
    ("fletcher8", ChecksumKind::Fletcher8),
    ("crc16-voltronic", ChecksumKind::Crc16Voltronic),
    ("xor8", ChecksumKind::Xor8),
    ("crc8", crc(8, 0x07, 0, false, 0)),
    ("crc8-maxim", crc(8, 0x31, 0, true, 0)),
    ("crc8-sensirion", crc(8, 0x31, 0xff, false, 0)),
    ("crc16-modbus", crc(16, 0x8005, 0xffff, true, 0)),
    ("crc16-arc", crc(16, 0x8005, 0, true, 0)),
    ("crc16-ccitt-false", crc(16, 0x1021, 0xffff, false, 0)),
    ("crc16-xmodem", crc(16, 0x1021, 0, false, 0)),
    ("crc16-kermit", crc(16, 0x1021, 0, true, 0)),
    ("crc16-x25", crc(16, 0x1021, 0xffff, true, 0xffff)),
    ("crc32", crc(32, 0x04c1_1db7, 0xffff_ffff, true, 0xffff_ffff)),
    ("crc32-mpeg2", crc(32, 0x04c1_1db7, 0xffff_ffff, false, 0)),
    ("crc32c", crc(32, 0x1edc_6f41, 0xffff_ffff, true, 0xffff_ffff)),
];

impl ChecksumKind {
    /// Its width in bytes, before it is written in hexadecimal digits.
    pub fn bytes(self) -> usize {
        match self {
            Self::Sum8 | Self::Sum8Negated | Self::Sum8Inverted | Self::Sum6 | Self::Xor8 => 1,
            Self::Sum16 | Self::Sum16Negated | Self::Fletcher8 | Self::Crc16Voltronic => 2,
            Self::Crc(crc) => (crc.width / 8) as usize,
        }
    }

    /// Whether its least significant byte is usually sent first.
    pub fn is_usually_little_endian(self) -> bool {
        matches!(self, Self::Crc(crc) if crc.reflected)
    }
}

impl Checksum {
    /// The usual place and order of a kind.
    pub fn usual(kind: ChecksumKind) -> Self {
        let little_endian = kind.is_usually_little_endian();
        Self { kind, from: 0, to: None, at: None, little_endian, hex: false, over_hex: false }
    }
}
