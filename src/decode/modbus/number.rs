//! From registers to one raw value: order of bytes, type, SunSpec's marks, powers of ten.
//!
//! Formats: the Modbus Application Protocol V1.1b3 (a register is two bytes, most significant first), IEEE 754, and the
//! SunSpec Information Model for "not implemented" and scale factors.

use super::Image;
use crate::config::model::{ByteOrder, Register, RegisterType, ScaleRegister};
use crate::decode::value::Raw;

/// Powers of ten that a SunSpec scale factor may name.
const SCALE_FACTOR_MAX: i16 = 10;

/// What stands in a quantity's registers.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// A value.
    Raw(Raw<'static>),
    /// The register with its power of ten was not read.
    Unread,
    /// SunSpec's mark for a point that the device does not have.
    NotImplemented,
    /// No number, with what was found.
    Refused(String),
}

/// Reads a quantity from its registers (as many as its type has).
pub(super) fn raw(register: &Register, words: &[u16], image: &Image) -> Found {
    let bits = assemble(words, register.order);
    if register.sunspec && is_not_implemented(register.kind, bits) {
        return Found::NotImplemented;
    }
    let raw = match register.kind {
        RegisterType::U16 | RegisterType::U32 | RegisterType::U64 => Raw::Unsigned(bits),
        RegisterType::I16 => Raw::Integer(i64::from(bits as u16 as i16)),
        RegisterType::I32 => Raw::Integer(i64::from(bits as u32 as i32)),
        RegisterType::I64 => Raw::Integer(bits as i64),
        RegisterType::F32 => Raw::Number(as_written(f32::from_bits(bits as u32))),
        RegisterType::F64 => Raw::Number(f64::from_bits(bits)),
        RegisterType::Bit(index) => Raw::Bool(bits.checked_shr(u32::from(index)).unwrap_or(0) & 1 == 1),
        RegisterType::Bits(mask) => {
            Raw::Unsigned((bits & u64::from(mask)).checked_shr(mask.trailing_zeros()).unwrap_or(0))
        }
        RegisterType::Bcd16 | RegisterType::Bcd32 => match decimal(bits) {
            Some(number) => Raw::Unsigned(number),
            None => return Found::Refused(format!("0x{bits:X} is no binary-coded decimal")),
        },
    };
    match register.scale_register {
        None => Found::Raw(raw),
        Some(scale) => scaled(&raw, scale, image),
    }
}

/// The value's bytes in their places, most significant first; at most four registers.
fn assemble(words: &[u16], order: ByteOrder) -> u64 {
    let mut bytes = [0_u8; 8];
    let size = 2 * words.len().min(4);
    for (number, byte) in words.iter().flat_map(|word| word.to_be_bytes()).take(size).enumerate() {
        if let Some(place) = bytes[..size].get_mut(usize::from(order.0[number])) {
            *place = byte;
        }
    }
    bytes[..size].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A single-precision number as the decimal number it stands for: 21.1, not 21.100000381469727.
fn as_written(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}

/// Whether the device says by this that it has no such point.
fn is_not_implemented(kind: RegisterType, bits: u64) -> bool {
    match kind {
        RegisterType::I16 => bits == 0x8000,
        RegisterType::U16 | RegisterType::Bits(_) | RegisterType::Bit(_) | RegisterType::Bcd16 => bits == 0xFFFF,
        RegisterType::I32 => bits == 0x8000_0000,
        RegisterType::U32 | RegisterType::Bcd32 => bits == 0xFFFF_FFFF,
        RegisterType::I64 => bits == 1 << 63,
        RegisterType::U64 => bits == u64::MAX,
        RegisterType::F32 => f32::from_bits(bits as u32).is_nan(),
        RegisterType::F64 => f64::from_bits(bits).is_nan(),
    }
}

/// Each half byte a decimal digit; `None` where one is not.
fn decimal(bits: u64) -> Option<u64> {
    (0..16).rev().try_fold(0_u64, |number, digit| {
        let digit = bits >> (4 * digit) & 0xF;
        (digit <= 9).then(|| number * 10 + digit)
    })
}

fn scaled(raw: &Raw<'_>, scale: ScaleRegister, image: &Image) -> Found {
    let Some(words) = image.get(scale.table, scale.address, 1) else { return Found::Unread };
    let power = assemble(words, scale.order) as u16 as i16;
    if power == i16::MIN {
        return Found::NotImplemented;
    }
    if !(-SCALE_FACTOR_MAX..=SCALE_FACTOR_MAX).contains(&power) {
        return Found::Refused(format!(
            "its scale register holds {power}, and a power of ten is -{SCALE_FACTOR_MAX} to {SCALE_FACTOR_MAX}"
        ));
    }
    let number = match *raw {
        Raw::Integer(whole) => whole as f64,
        Raw::Unsigned(whole) => whole as f64,
        Raw::Number(number) => number,
        _ => return Found::Refused("a state has no power of ten".to_owned()),
    };
    // Dividing rounds once: 12345 / 10 is 1234.5, 12345 * 0.1 is not.
    let ten = 10_f64.powi(i32::from(power.unsigned_abs()));
    Found::Raw(Raw::Number(if power < 0 { number / ten } else { number * ten }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_usual_orders_are_told_apart() {
        // 21.5 is 0x41AC0000: A=41, B=AC, C=00, D=00.
        for (words, reversed, bytes) in [
            ([0x41AC, 0x0000], false, false),
            ([0x0000, 0x41AC], true, false),
            ([0xAC41, 0x0000], false, true),
            ([0x0000, 0xAC41], true, true),
        ] {
            assert_eq!(assemble(&words, ByteOrder::of(2, reversed, bytes)), 0x41AC_0000, "{words:x?}");
        }
        let long = [0x7788, 0x5566, 0x3344, 0x1122];
        assert_eq!(assemble(&long, ByteOrder::of(4, true, false)), 0x1122_3344_5566_7788);
        assert_eq!(assemble(&[0x3412], ByteOrder::of(1, true, true)), 0x1234);
    }

    #[test]
    fn binary_coded_decimals_are_digits_or_refused() {
        assert_eq!(decimal(0x1234), Some(1234));
        assert_eq!(decimal(0x0099_9999), Some(999_999));
        assert_eq!(decimal(0x12A4), None);
    }

    #[test]
    fn a_single_precision_number_reads_as_the_meter_shows_it() {
        assert_eq!(as_written(21.1), 21.1);
        assert!(as_written(f32::NAN).is_nan());
        assert_eq!(as_written(f32::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(as_written(f32::MAX), 340_282_350_000_000_000_000_000_000_000_000_000_000.0);
    }
}
