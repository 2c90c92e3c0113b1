//! Every type and order, SunSpec's marks and powers of ten, and units that answer anything.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::config::model::{ByteOrder, Field, RegisterType, ScaleRegister};
use crate::reading::Value;

fn register(kind: RegisterType) -> Register {
    Register {
        field: Field::plain("q"),
        table: Table::Holding,
        address: 10,
        kind,
        order: ByteOrder::BIG,
        sunspec: false,
        scale_register: None,
    }
}

fn unit(registers: Vec<Register>) -> ModbusUnit {
    ModbusUnit {
        id: 1,
        name: "u".into(),
        poll_interval: std::time::Duration::from_secs(1),
        timeout: std::time::Duration::from_secs(1),
        max_registers: 125,
        max_gap: 8,
        registers,
    }
}

fn image(first: u16, words: &[u16]) -> Image {
    let mut image = Image::default();
    image.put(Table::Holding, first, words.to_vec());
    image
}

fn decode(register: Register, image: &Image) -> Decoded {
    let mut out = Decoded::default();
    UnitDecoder::new("s", &unit(vec![register])).decode(image, WallTime(7), &mut out);
    out
}

/// The value of a register at 10.
fn value(register: Register, words: &[u16]) -> Value {
    let mut out = decode(register, &image(10, words));
    assert_eq!((out.readings.len(), out.rejects.len(), out.ignored), (1, 0, 0), "{out:?}");
    out.readings.remove(0).value
}

/// Whether it is passed over as no value.
fn is_ignored(register: Register, words: &[u16]) -> bool {
    let out = decode(register, &image(10, words));
    assert!(out.readings.is_empty());
    out.ignored == 1 && out.rejects.is_empty()
}

#[test]
fn a_reading_is_named_and_scaled_as_configured_and_has_the_time_of_arrival() {
    let mut power = register(RegisterType::I16);
    power.field = Field { unit: Some("W".into()), scale: 0.5, offset: 1.0, ..Field::plain("power") };
    let out = decode(power, &image(0, &[0; 12]));
    let reading = &out.readings[0];
    assert_eq!(reading.sensor.as_str(), "s/u/power");
    assert_eq!((reading.value.clone(), reading.unit.as_deref()), (Value::Number(1.0), Some("W")));
    assert_eq!((reading.time, reading.time_source, reading.fresh), (WallTime(7), TimeSource::Arrival, true));
}

#[test]
fn registers_that_were_not_read_yield_nothing_and_no_refusal() {
    for image in [Image::default(), image(9, &[1]), image(11, &[1]), image(0, &[1])] {
        let out = decode(register(RegisterType::U16), &image);
        assert!(out.readings.is_empty() && out.rejects.is_empty() && out.ignored == 0);
    }
    // Two answers that happen to be neighbours are of two moments.
    let mut split = image(10, &[1]);
    split.put(Table::Holding, 11, vec![2]);
    assert!(decode(register(RegisterType::U32), &split).readings.is_empty());
    let mut other = Image::default();
    other.put(Table::Input, 10, vec![1]);
    assert!(decode(register(RegisterType::U16), &other).readings.is_empty());
}

#[test]
fn sentinels_ranges_and_maps_go_by_the_rules_of_every_field() {
    let with = |change: &dyn Fn(&mut Field)| {
        let mut register = register(RegisterType::I16);
        change(&mut register.field);
        register
    };
    assert!(is_ignored(with(&|field| field.ignore_values = vec![-32_768.0]), &[0x8000]));
    let range = with(&|field| field.valid_range = Some((0.0, 10.0)));
    assert_eq!(decode(range, &image(10, &[11])).rejects[0].0, Reject::OutOfRange);
    let map = with(&|field| field.map = vec![("4".into(), Value::Text("running".into()))]);
    assert_eq!(value(map, &[4]), Value::Text("running".into()));
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for words in [[0x7FC0, 0], [0x7F80, 0], [0xFF80, 0]] {
        let out = decode(register(RegisterType::F32), &image(10, &words));
        assert_eq!((out.readings.len(), out.rejects[0].0), (0, Reject::NotANumber));
        assert!(out.rejects[0].1.starts_with("s/u/q: "), "{}", out.rejects[0].1);
    }
    let out = decode(register(RegisterType::Bcd16), &image(10, &[0x1A00]));
    assert!(out.rejects[0].1.contains("0x1A00 is no binary-coded decimal"), "{}", out.rejects[0].1);
}

#[test]
fn sunspec_marks_are_no_values_where_it_is_asked_for() {
    for (kind, words) in [
        (RegisterType::I16, &[0x8000][..]),
        (RegisterType::U16, &[0xFFFF]),
        (RegisterType::I32, &[0x8000, 0]),
        (RegisterType::U32, &[0xFFFF, 0xFFFF]),
        (RegisterType::I64, &[0x8000, 0, 0, 0]),
        (RegisterType::U64, &[0xFFFF; 4]),
        (RegisterType::F32, &[0x7FC0, 0]),
        (RegisterType::F64, &[0x7FF8, 0, 0, 0]),
    ] {
        assert!(is_ignored(Register { sunspec: true, ..register(kind) }, words), "{kind:?}");
        let plain = decode(register(kind), &image(10, words));
        assert_eq!((plain.ignored, plain.readings.len() + plain.rejects.len()), (0, 1), "{kind:?}");
    }
    let swapped = Register { sunspec: true, order: ByteOrder::of(2, true, true), ..register(RegisterType::I32) };
    assert!(is_ignored(swapped, &[0, 0x0080]), "the mark comes in the value's order");
}

#[test]
fn a_scale_register_is_a_power_of_ten() {
    let scaled = |power: i16, raw: u16| {
        let scale = ScaleRegister { table: Table::Holding, address: 11, order: ByteOrder::BIG };
        let register = Register { scale_register: Some(scale), ..register(RegisterType::I16) };
        decode(register, &image(10, &[raw, power as u16]))
    };
    for (power, raw, expected) in [(-1, 12_345_u16, 1234.5), (0, 5, 5.0), (2, 5, 500.0), (-2, 0xFFFF, -0.01)] {
        assert_eq!(scaled(power, raw).readings[0].value, Value::Number(expected), "{power}");
    }
    assert_eq!(scaled(i16::MIN, 1).ignored, 1, "not implemented");
    assert!(scaled(11, 1).rejects[0].1.contains("its scale register holds 11"));
    let absent = ScaleRegister { table: Table::Holding, address: 50, order: ByteOrder::BIG };
    let register = Register { scale_register: Some(absent), ..register(RegisterType::I16) };
    let out = decode(register, &image(10, &[1]));
    assert!(out.readings.is_empty() && out.rejects.is_empty(), "without its power of ten a number is none");
}

#[test]
fn whole_numbers_of_64_bits_are_exact() {
    assert_eq!(value(register(RegisterType::I64), &[0x7FFF, 0xFFFF, 0xFFFF, 0xFFFF]), Value::Integer(i64::MAX));
    assert_eq!(value(register(RegisterType::I64), &[0xFFFF; 4]), Value::Number(-1.0));
    assert_eq!(value(register(RegisterType::U64), &[0, 0, 0, 3]), Value::Number(3.0));
}

const KINDS: [RegisterType; 13] = [
    RegisterType::U16,
    RegisterType::I16,
    RegisterType::U32,
    RegisterType::I32,
    RegisterType::U64,
    RegisterType::I64,
    RegisterType::F32,
    RegisterType::F64,
    RegisterType::Bcd16,
    RegisterType::Bcd32,
    RegisterType::Bit(15),
    RegisterType::Bits(0xFFFF),
    RegisterType::Bits(0x00F0),
];

fn any_register() -> impl Strategy<Value = Register> {
    let scale = (any::<u16>(), any::<bool>()).prop_map(|(address, swapped)| ScaleRegister {
        table: Table::Holding,
        address,
        order: ByteOrder::of(1, false, swapped),
    });
    (0..KINDS.len(), any::<u16>(), any::<[u8; 8]>(), any::<bool>(), prop::option::of(scale)).prop_map(
        |(kind, address, order, sunspec, scale_register)| Register {
            address,
            order: ByteOrder(order),
            sunspec,
            scale_register,
            ..register(KINDS[kind])
        },
    )
}

proptest! {
    /// Sent by the letters of the order, read back by the order: the same value.
    #[test]
    fn every_type_comes_back_in_every_order(bits in any::<u64>(), kind in 0..8_usize, words: bool, bytes: bool) {
        let kind = KINDS[kind];
        let size = 2 * usize::from(kind.registers());
        let order = ByteOrder::of(kind.registers(), words, bytes);
        let big = bits.to_be_bytes();
        let big = &big[8 - size..];
        let sent: Vec<u16> = order.0[..size]
            .chunks(2)
            .map(|places| u16::from_be_bytes([big[usize::from(places[0])], big[usize::from(places[1])]]))
            .collect();
        let low = if size == 8 { bits } else { bits & ((1 << (8 * size)) - 1) };
        let expected = match kind {
            RegisterType::U16 | RegisterType::U32 | RegisterType::U64 => low as f64,
            RegisterType::I16 => f64::from(low as u16 as i16),
            RegisterType::I32 => f64::from(low as u32 as i32),
            RegisterType::I64 => low as i64 as f64,
            RegisterType::F32 => f64::from(f32::from_bits(low as u32)),
            _ => f64::from_bits(low),
        };
        let out = decode(Register { order, ..register(kind) }, &image(10, &sent));
        if expected.is_finite() {
            let found = out.readings[0].value.as_f64().unwrap();
            prop_assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found} for {expected}");
        } else {
            prop_assert_eq!(out.rejects.len(), 1);
        }
    }

    #[test]
    fn whatever_a_unit_answers_comes_out_finite_or_refused(
        registers in prop::collection::vec(any_register(), 1..20),
        blocks in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u16>(), 0..130)), 0..6),
    ) {
        let mut image = Image::default();
        for (first, words) in blocks {
            image.put(Table::Holding, first, words);
        }
        for register in &registers {
            image.put(Table::Holding, register.address, vec![0xFFFF; 4]);
        }
        let mut out = Decoded::default();
        UnitDecoder::new("s", &unit(registers.clone())).decode(&image, WallTime(0), &mut out);
        prop_assert!(out.readings.len() + out.rejects.len() + out.ignored as usize <= registers.len());
        for reading in &out.readings {
            prop_assert!(reading.value.as_f64().is_none_or(f64::is_finite));
        }
    }
}
