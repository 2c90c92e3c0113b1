//! Sums, exclusive ors and cyclic redundancy checks at the place where a frame has them.
//!
//! CRCs are computed bit by bit: at the speed of a serial line a table would save nothing that can be measured.
//! Parameters follow the usual catalogue form (width, polynomial, initial value, reflection, final exclusive or).

use crate::config::model::{Checksum, ChecksumKind, Crc};
use crate::decode::packed::hex;

/// Most bytes of a frame quoted in a message to people.
const QUOTED_BYTES_MAX: usize = 16;

/// The checksum of some bytes.
pub(super) fn compute(kind: ChecksumKind, bytes: &[u8]) -> u32 {
    let sum = || bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    match kind {
        ChecksumKind::Sum8 => sum() & 0xff,
        ChecksumKind::Sum8Negated => sum().wrapping_neg() & 0xff,
        ChecksumKind::Sum8Inverted => !sum() & 0xff,
        ChecksumKind::Sum16 => sum() & 0xffff,
        ChecksumKind::Sum16Negated => sum().wrapping_neg() & 0xffff,
        ChecksumKind::Fletcher8 => {
            let (first, second) = bytes.iter().fold((0_u8, 0_u8), |(first, second), byte| {
                let first = first.wrapping_add(*byte);
                (first, second.wrapping_add(first))
            });
            u32::from(first) << 8 | u32::from(second)
        }
        ChecksumKind::Crc16Voltronic => {
            let crc = cyclic(Crc { width: 16, poly: 0x1021, init: 0, reflected: false, xor_out: 0 }, bytes);
            let shifted = |byte: u32| byte + u32::from(matches!(byte, 0x28 | 0x0d | 0x0a));
            shifted(crc >> 8) << 8 | shifted(crc & 0xff)
        }
        ChecksumKind::Sum6 => (sum() & 0x3f) + 0x20,
        ChecksumKind::Xor8 => u32::from(bytes.iter().fold(0, |all, byte| all ^ byte)),
        ChecksumKind::Crc(crc) => cyclic(crc, bytes),
    }
}

fn cyclic(crc: Crc, bytes: &[u8]) -> u32 {
    let mask = u32::MAX >> (32 - crc.width);
    let mut register = crc.init;
    if crc.reflected {
        let poly = crc.poly.reverse_bits() >> (32 - crc.width);
        for byte in bytes {
            register ^= u32::from(*byte);
            for _ in 0..8 {
                register = if register & 1 == 1 { register >> 1 ^ poly } else { register >> 1 };
            }
        }
    } else {
        let top = 1 << (crc.width - 1);
        for byte in bytes {
            register ^= u32::from(*byte) << (crc.width - 8);
            for _ in 0..8 {
                register = if register & top == 0 { register << 1 } else { register << 1 ^ crc.poly };
            }
        }
    }
    (register ^ crc.xor_out) & mask
}

/// The frame, without a checksum at its end, or what is wrong with it.
pub(super) fn verify<'f>(checksum: &Checksum, frame: &'f [u8]) -> Result<&'f [u8], String> {
    let bytes = checksum.kind.bytes();
    let width = if checksum.hex { bytes * 2 } else { bytes };
    let position = |at: isize| match usize::try_from(at) {
        Ok(at) => Some(at),
        Err(_) => frame.len().checked_sub(at.unsigned_abs()),
    };
    let at = match checksum.at {
        Some(at) => position(at),
        None => frame.len().checked_sub(width),
    };
    let to = match checksum.to {
        Some(to) => position(to),
        None => at,
    };
    let covered = position(checksum.from).zip(to).and_then(|(from, to)| frame.get(from..to));
    let found = at.and_then(|at| frame.get(at..at + width));
    let (Some(at), Some(covered), Some(found)) = (at, covered, found) else {
        return Err(format!("{} bytes are too few to hold the checksum: {}", frame.len(), dump(frame)));
    };
    let computed = if checksum.over_hex {
        let digits = std::str::from_utf8(covered).ok().and_then(hex);
        let digits = digits.ok_or_else(|| format!("no hexadecimal digits where they should be: {}", dump(frame)))?;
        compute(checksum.kind, &digits)
    } else {
        compute(checksum.kind, covered)
    };
    if value(found, checksum) != Some(computed) {
        let digits = bytes * 2;
        return Err(format!("the checksum is {}, the bytes give {computed:0digits$X}: {}", dump(found), dump(frame)));
    }
    Ok(if at + width == frame.len() { &frame[..at] } else { frame })
}

/// The checksum as it stands in the frame.
fn value(found: &[u8], checksum: &Checksum) -> Option<u32> {
    if checksum.hex {
        let text = std::str::from_utf8(found).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let value = u32::from_str_radix(text, 16).ok()?;
        return Some(if checksum.little_endian { swapped(value, found.len() / 2) } else { value });
    }
    let push = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
    Some(if checksum.little_endian { found.iter().rev().fold(0, push) } else { found.iter().fold(0, push) })
}

fn swapped(value: u32, bytes: usize) -> u32 {
    value.swap_bytes() >> (32 - 8 * bytes as u32)
}

/// Bytes as they may be shown to people.
pub(super) fn dump(bytes: &[u8]) -> String {
    let mut text: Vec<String> = bytes.iter().take(QUOTED_BYTES_MAX).map(|byte| format!("{byte:02X}")).collect();
    if bytes.len() > QUOTED_BYTES_MAX {
        text.push("..".to_owned());
    }
    text.join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::config::model::CHECKSUMS;

    fn kind(word: &str) -> ChecksumKind {
        CHECKSUMS.iter().find(|(other, _)| *other == word).unwrap().1
    }

    #[test]
    fn every_kind_gives_its_catalogues_check_value() {
        // The check value of a catalogue is that of the nine digits.
        for (word, check) in [
            ("sum8", 0xdd),
            ("sum8-negated", 0x23),
            ("sum8-inverted", 0x22),
            ("sum16", 0x01dd),
            ("sum16-negated", 0xfe23),
            ("sum6-printable", 0x3d),
            ("fletcher8", 0xdd15),
            ("crc16-voltronic", 0x31c3),
            ("xor8", 0x31),
            ("crc8", 0xf4),
            ("crc8-maxim", 0xa1),
            ("crc8-sensirion", 0xf7),
            ("crc16-modbus", 0x4b37),
            ("crc16-arc", 0xbb3d),
            ("crc16-ccitt-false", 0x29b1),
            ("crc16-xmodem", 0x31c3),
            ("crc16-kermit", 0x2189),
            ("crc16-x25", 0x906e),
            ("crc32", 0xcbf4_3926),
            ("crc32-mpeg2", 0x0376_e6e7),
            ("crc32c", 0xe306_9283),
        ] {
            assert_eq!(compute(kind(word), b"123456789"), check, "{word}");
        }
    }

    #[test]
    fn a_checksum_is_found_at_its_place_in_its_order_and_cut_off_at_the_end() {
        let modbus = Checksum::usual(kind("crc16-modbus"));
        assert_eq!(verify(&modbus, b"123456789\x37\x4b"), Ok(b"123456789".as_slice()));
        let big = Checksum { little_endian: false, ..modbus };
        assert_eq!(verify(&big, b"123456789\x4b\x37"), Ok(b"123456789".as_slice()));
        let hex = Checksum { hex: true, ..big };
        assert_eq!(verify(&hex, b"1234567894b37"), Ok(b"123456789".as_slice()));
        assert_eq!(verify(&Checksum { little_endian: true, ..hex }, b"123456789374B"), Ok(b"123456789".as_slice()));
        let inside = Checksum { from: 1, at: Some(-2), ..Checksum::usual(kind("sum8")) };
        assert_eq!(verify(&inside, b"\xaa\x01\x02\x03\xab"), Ok(b"\xaa\x01\x02\x03\xab".as_slice()));
        let wrong = verify(&inside, b"\xaa\x01\x02\x04\xab").unwrap_err();
        assert_eq!(wrong, "the checksum is 04, the bytes give 03: AA 01 02 04 AB");
    }

    #[test]
    fn devices_own_examples_fit() {
        // The requests of Voltronic's protocol, one with a byte that is shifted; of Jiabaida's; a UBX poll.
        assert_eq!(compute(kind("crc16-voltronic"), b"QPIGS"), 0xb7a9);
        assert_eq!(compute(kind("crc16-voltronic"), b"QMOD"), 0x49c1);
        assert_eq!(compute(kind("sum16-negated"), &[0x03, 0x00]), 0xfffd);
        assert_eq!(compute(kind("fletcher8"), &[0x06, 0x01, 0x02, 0x00, 0x01, 0x07]), 0x113a);
        let xmodem = compute(kind("crc16-xmodem"), b"POP02");
        assert_eq!((xmodem, compute(kind("crc16-voltronic"), b"POP02")), (0xe20a, 0xe20b));
    }

    #[test]
    fn digits_may_be_summed_up_as_the_bytes_that_they_stand_for() {
        let ascii = Checksum { hex: true, over_hex: true, from: 1, ..Checksum::usual(kind("sum8-negated")) };
        assert_eq!(verify(&ascii, b":010300000002FA"), Ok(b":010300000002".as_slice()));
        assert!(verify(&ascii, b":010300000003FA").is_err());
        assert!(verify(&ascii, b":01030000000zFA").unwrap_err().contains("no hexadecimal digits"));
    }

    #[test]
    fn a_frame_that_is_too_short_for_its_checksum_is_refused() {
        for kind in CHECKSUMS {
            for (from, to, at) in [(0, None, None), (5, Some(2), Some(-9)), (-3, Some(isize::MAX), Some(isize::MAX))] {
                let checksum = Checksum { from, to, at, ..Checksum::usual(kind.1) };
                assert!(verify(&checksum, b"").is_err());
            }
        }
    }
}
