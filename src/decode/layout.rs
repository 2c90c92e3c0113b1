//! Where a value stands in a fixed binary layout: the paths of `format = "binary"`.
//!
//! `OFFSET:TYPE`, or `OFFSET:TYPE[BITS]`. The offset counts bytes from 0, below zero from the end. Types: `u`, `i` (two's
//! complement) and `s` (highest bit is the sign) with 8 to 64 bits, `f32` and `f64`, `bcd8` to `bcd64` (two digits a byte),
//! `text1` to `text64` (ASCII, so many bytes). More than one byte needs its order: `be` or `le`, and for four also `cdab`
//! and `badc`. Bits are `[5]` or `[0-3]`, 0 the least significant. `2:u16le`, `0:i8`, `6:f32be`, `-4:u8[0-3]`.

use super::value::Raw;

/// Widest whole number, bits, and longest text, bytes.
const BITS_MAX: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unsigned,
    Signed,
    SignAndMagnitude,
    Float,
    Decimal,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Big,
    Little,
    /// Words least significant first, bytes in a word most significant first.
    Cdab,
    /// The other way round.
    Badc,
}

/// A value's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    at: isize,
    bytes: usize,
    kind: Kind,
    order: Order,
    /// The lowest bit and how many.
    bits: Option<(u32, u32)>,
}

/// Reads a path; the error says what is wrong with it.
///
/// # Errors
///
/// What is wrong, in words.
pub fn parse(path: &str) -> Result<Place, String> {
    let wrong = |why: &str| format!("`{path}` is no place in a frame: {why}");
    let (at, rest) = path.split_once(':').ok_or_else(|| wrong("expected OFFSET:TYPE, as in \"2:u16be\""))?;
    let at: isize = at
        .trim()
        .parse()
        .ok()
        .filter(|at: &isize| at.unsigned_abs() <= 65_536)
        .ok_or_else(|| wrong("before the colon belongs the offset in bytes, from 0, or below zero from the end"))?;
    let (what, bits) = match rest.trim().split_once('[') {
        Some((what, bits)) => (what.trim(), Some(bits)),
        None => (rest.trim(), None),
    };
    let digits_at = what.find(|c: char| c.is_ascii_digit()).unwrap_or(what.len());
    let (word, rest) = what.split_at(digits_at);
    let digits_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (size, order) = rest.split_at(digits_end);
    let kind = match word {
        "u" => Kind::Unsigned,
        "i" => Kind::Signed,
        "s" => Kind::SignAndMagnitude,
        "f" => Kind::Float,
        "bcd" => Kind::Decimal,
        "text" => Kind::Text,
        _ => {
            return Err(wrong(
                "types are u8 to u64, i8 to i64, s8 to s64, f32, f64, bcd8 to bcd64 and text1 to text64",
            ));
        }
    };
    let size: u32 = size.parse().map_err(|_| wrong("the type needs its number of bits (text: bytes)"))?;
    let fits = match kind {
        Kind::Text => (1..=BITS_MAX).contains(&size),
        Kind::Float => size == 32 || size == 64,
        _ => size.is_multiple_of(8) && (8..=BITS_MAX).contains(&size),
    };
    if !fits {
        return Err(wrong("this size is not possible: 8 to 64 bits in steps of 8, f32 or f64, text1 to text64"));
    }
    let bytes = if kind == Kind::Text { size as usize } else { size as usize / 8 };
    let order = match order {
        "" if bytes == 1 || kind == Kind::Text => Order::Big,
        "" => return Err(wrong("more than one byte needs an order: add `be` (most significant first) or `le`")),
        "be" => Order::Big,
        "le" => Order::Little,
        "cdab" if bytes == 4 => Order::Cdab,
        "badc" if bytes == 4 => Order::Badc,
        _ => return Err(wrong("orders are `be`, `le`, and for four bytes `cdab` and `badc`")),
    };
    let bits = match bits {
        None => None,
        Some(_) if matches!(kind, Kind::Float | Kind::Decimal | Kind::Text) => {
            return Err(wrong("bits can be taken of whole numbers only"));
        }
        Some(bits) => Some(
            read_bits(bits, size)
                .ok_or_else(|| wrong("bits are `[5]` or `[0-3]`, 0 the least significant, and within the number"))?,
        ),
    };
    Ok(Place { at, bytes, kind, order, bits })
}

fn read_bits(text: &str, size: u32) -> Option<(u32, u32)> {
    let text = text.strip_suffix(']')?;
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (low.trim().parse().ok()?, high.trim().parse().ok()?),
        None => {
            let only: u32 = text.trim().parse().ok()?;
            (only, only)
        }
    };
    (low <= high && high < size).then(|| (low, high - low + 1))
}

impl Place {
    /// The value there; `None` where the frame does not reach so far.
    pub(super) fn read<'f>(&self, frame: &'f [u8]) -> Option<Raw<'f>> {
        let at = match usize::try_from(self.at) {
            Ok(at) => at,
            Err(_) => frame.len().checked_sub(self.at.unsigned_abs())?,
        };
        let bytes = frame.get(at..at.checked_add(self.bytes)?)?;
        Some(match self.kind {
            Kind::Text => text(bytes),
            Kind::Decimal => decimal(self.whole(bytes), self.bytes),
            Kind::Float if self.bytes == 4 => Raw::Number(f64::from(f32::from_bits(self.whole(bytes) as u32))),
            Kind::Float => Raw::Number(f64::from_bits(self.whole(bytes))),
            kind => {
                let width = self.bytes as u32 * 8;
                let (low, count) = self.bits.unwrap_or((0, width));
                let value = self.whole(bytes) >> low & u64::MAX >> (64 - count);
                match kind {
                    Kind::Signed => Raw::Integer((value << (64 - count)).cast_signed() >> (64 - count)),
                    Kind::SignAndMagnitude => {
                        let sign = 1 << (count - 1);
                        let magnitude = (value & (sign - 1)).cast_signed();
                        Raw::Integer(if value & sign == 0 { magnitude } else { -magnitude })
                    }
                    _ => Raw::Unsigned(value),
                }
            }
        })
    }

    fn whole(&self, bytes: &[u8]) -> u64 {
        let push = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match (self.order, bytes) {
            (Order::Cdab, &[c, d, a, b]) | (Order::Badc, &[b, a, d, c]) => [a, b, c, d].iter().fold(0, push),
            (Order::Little, _) => bytes.iter().rev().fold(0, push),
            _ => bytes.iter().fold(0, push),
        }
    }
}

/// Binary coded decimals; digits above 9 make no number.
fn decimal<'f>(value: u64, bytes: usize) -> Raw<'f> {
    let mut number = 0_u64;
    for digit in (0..bytes * 2).rev().map(|place| value >> (place * 4) & 0xf) {
        if digit > 9 {
            return Raw::Text("digits above 9");
        }
        number = number * 10 + digit;
    }
    Raw::Unsigned(number)
}

/// Text, without the zeros and blanks that fill it up.
fn text(bytes: &[u8]) -> Raw<'_> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => Raw::Bare { text: text.trim(), strip_unit: false },
        Err(_) => Raw::Text("not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    const FRAME: [u8; 10] = [0x01, 0x02, 0xff, 0x83, 0x41, 0xac, 0x00, 0x00, 0x42, 0x99];

    fn read(path: &str) -> Option<Raw<'static>> {
        parse(path).unwrap().read(&FRAME)
    }

    #[test]
    fn whole_numbers_are_read_in_their_width_sign_and_order() {
        assert_eq!(read("0:u8"), Some(Raw::Unsigned(1)));
        assert_eq!(read("0:u16be"), Some(Raw::Unsigned(0x0102)));
        assert_eq!(read("0:u16le"), Some(Raw::Unsigned(0x0201)));
        assert_eq!(read("0:u24be"), Some(Raw::Unsigned(0x01_02ff)));
        assert_eq!(read("2:i16be"), Some(Raw::Integer(-125)));
        assert_eq!(read("2:i8"), Some(Raw::Integer(-1)));
        assert_eq!(read("3:s8"), Some(Raw::Integer(-3)));
        assert_eq!(read("2:u64be"), Some(Raw::Unsigned(0xff83_41ac_0000_4299)));
        assert_eq!(read("2:i64be"), Some(Raw::Integer(0xff83_41ac_0000_4299_u64.cast_signed())));
        assert_eq!(read("-2:u8"), Some(Raw::Unsigned(0x42)));
    }

    #[test]
    fn floats_decimals_texts_and_bits_are_read() {
        assert_eq!(read("4:f32be"), Some(Raw::Number(21.5)));
        assert_eq!(parse("0:f32cdab").unwrap().read(&[0, 0, 0x41, 0xac]), Some(Raw::Number(21.5)));
        assert_eq!(parse("0:f32badc").unwrap().read(&[0xac, 0x41, 0, 0]), Some(Raw::Number(21.5)));
        assert_eq!(read("0:bcd16be"), Some(Raw::Unsigned(102)));
        assert_eq!(read("8:bcd16le"), Some(Raw::Unsigned(9_942)));
        assert!(matches!(read("2:bcd8"), Some(Raw::Text(_))));
        assert_eq!(parse("1:text4").unwrap().read(b"x 7\0z"), Some(Raw::Bare { text: "7", strip_unit: false }));
        assert_eq!(read("3:u8[7]"), Some(Raw::Unsigned(1)));
        assert_eq!(read("3:u8[0-1]"), Some(Raw::Unsigned(3)));
        assert_eq!(read("3:i8[0-1]"), Some(Raw::Integer(-1)));
    }

    #[test]
    fn a_place_beyond_the_frame_has_no_value() {
        for path in ["9:u16be", "10:u8", "-11:u8", "-1:u16le", "65536:u8"] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn paths_that_cannot_be_are_told_with_what_to_write() {
        for (path, words) in [
            ("temperature", "OFFSET:TYPE"),
            ("x:u8", "offset in bytes"),
            ("0:word", "types are"),
            ("0:u", "number of bits"),
            ("0:u12be", "not possible"),
            ("0:u16", "`be`"),
            ("0:u16cdab", "orders are"),
            ("0:u8[8]", "bits are"),
            ("0:f32be[1]", "whole numbers only"),
        ] {
            let why = parse(path).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_path_and_no_frame_panics(path in "-?[0-9]{1,6}:(u|i|s|f|bcd|text)[0-9]{0,2}(be|le|cdab|badc|)(\\[[0-9]{1,2}(-[0-9]{1,2})?\\]|)", frame: Vec<u8>) {
            if let Ok(place) = parse(&path) {
                let _ = place.read(&frame);
            }
        }
    }
}
