//! What the rules of a field make of raw values.

use super::*;

fn field() -> model::Field {
    model::Field::plain("t")
}

fn number(text: &str) -> Option<f64> {
    parse(text, false).map(Number::as_f64)
}

fn reject(field: &model::Field, raw: &Raw<'_>) -> Option<Reject> {
    match Rule::new(field).convert(raw, false) {
        Converted::Refused(reject, _) => Some(reject),
        _ => None,
    }
}

fn value(field: &model::Field, raw: &Raw<'_>) -> Option<Value> {
    match Rule::new(field).convert(raw, false) {
        Converted::Value(value, _) => Some(value),
        _ => None,
    }
}

#[test]
fn plain_decimal_numbers_are_read() {
    for (text, expected) in [
        ("21.5", 21.5),
        (" 21.5\r\n", 21.5),
        ("+21.5", 21.5),
        ("2.15e1", 21.5),
        ("2.15E+1", 21.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.25", -0.25),
        ("007", 7.0),
        ("-0", 0.0),
    ] {
        assert_eq!(number(text), Some(expected), "{text:?}");
    }
}

#[test]
fn anything_else_is_no_number() {
    for text in [
        "", " ", "+", ".", "-.", "e5", "1e", "1e+", "NaN", "nan", "inf", "-inf", "infinity", "1e999", "-1e999", "0x15",
        "21.5 C", "21,5", "1.234,5", "21.5.3", "null", "\"21.5\"", "--1", "1_000", "1 000", "\u{661}",
    ] {
        assert_eq!(number(text), None, "{text:?}");
    }
}

#[test]
fn a_decimal_comma_is_never_guessed_and_groups_are_strict() {
    let comma = |text| parse(text, true).map(Number::as_f64);
    assert_eq!(comma("21,5"), Some(21.5));
    assert_eq!(comma("1.234,5"), Some(1234.5));
    assert_eq!(comma("-0,25"), Some(-0.25));
    assert_eq!(comma("1.234.567"), Some(1_234_567.0));
    assert_eq!(comma("48"), Some(48.0));
    for text in ["21.5", "1.23,5", "1234.567,5", "1,2,3", "1,2.3", ".123", "", ","] {
        assert_eq!(comma(text), None, "{text:?}");
    }
}

#[test]
fn whole_numbers_beyond_f64_stay_exact() {
    let beyond = (1_i64 << 53) + 1;
    assert_eq!(value(&field(), &Raw::Integer(beyond)), Some(Value::Integer(beyond)));
    let text = beyond.to_string();
    assert_eq!(value(&field(), &Raw::Text(&text)), Some(Value::Integer(beyond)));
    assert_eq!(value(&field(), &Raw::Integer(1 << 53)), Some(Value::Number(9_007_199_254_740_992.0)));
    assert_eq!(value(&field(), &Raw::Integer(i64::MIN)), Some(Value::Integer(i64::MIN)));
    assert_eq!(value(&field(), &Raw::Unsigned(u64::MAX)), Some(Value::Number(18_446_744_073_709_551_615.0)));
}

#[test]
fn scale_and_offset_come_before_the_range_and_after_the_sentinels() {
    let mut field = field();
    field.scale = 0.1;
    field.offset = -40.0;
    field.valid_range = Some((-40.0, 85.0));
    field.ignore_values = vec![32_768.0];
    assert_eq!(value(&field, &Raw::Integer(0)), Some(Value::Number(-40.0)));
    assert_eq!(value(&field, &Raw::Integer(1250)), Some(Value::Number(85.0)));
    assert_eq!(reject(&field, &Raw::Integer(1251)), Some(Reject::OutOfRange));
    assert_eq!(Rule::new(&field).convert(&Raw::Integer(32_768), false), Converted::Ignored);
    field.scale = f64::MAX;
    assert_eq!(reject(&field, &Raw::Number(10.0)), Some(Reject::NotANumber));
}

#[test]
fn a_map_turns_texts_booleans_and_numbers_into_values() {
    let mut field = field();
    field.map = vec![
        ("ON".into(), Value::Number(1.0)),
        ("true".into(), Value::Text("open".into())),
        ("2".into(), Value::Bool(true)),
    ];
    assert_eq!(value(&field, &Raw::Text("ON")), Some(Value::Number(1.0)));
    assert_eq!(reject(&field, &Raw::Text("on")), Some(Reject::NotANumber));
    assert_eq!(value(&field, &Raw::Bool(true)), Some(Value::Text("open".into())));
    assert_eq!(value(&field, &Raw::Bool(false)), Some(Value::Bool(false)));
    assert_eq!(value(&field, &Raw::Integer(2)), Some(Value::Bool(true)));
    assert_eq!(value(&field, &Raw::Number(3.5)), Some(Value::Number(3.5)));
}

#[test]
fn a_text_is_kept_only_when_asked_for_and_only_if_short() {
    let mut field = field();
    assert_eq!(reject(&field, &Raw::Text("E04")), Some(Reject::NotANumber));
    field.text = true;
    assert_eq!(value(&field, &Raw::Text("E04")), Some(Value::Text("E04".into())));
    assert_eq!(value(&field, &Raw::Text("04")), Some(Value::Text("04".into())));
    assert_eq!(value(&field, &Raw::Integer(4)), Some(Value::Number(4.0)));
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(reject(&field, &Raw::Text(&long)), Some(Reject::TooLong));
}

#[test]
fn a_unit_glued_to_the_number_is_cut_off_and_kept() {
    let rule = Rule::new(&field());
    let bare = |text| rule.convert(&Raw::Bare { text, strip_unit: true }, false);
    for (text, expected, unit) in
        [("21.5C", 21.5, "C"), ("48%", 48.0, "%"), ("-3.2\u{b0}C", -3.2, "\u{b0}C"), ("5.1e2m3", 510.0, "m3")]
    {
        assert_eq!(bare(text), Converted::Value(Value::Number(expected), Some(unit.into())), "{text}");
    }
    for text in ["0x15", "21.5.3", "12:30", "2026-03-01", "C21", "1 000", "7thingamajigs-long"] {
        assert!(matches!(bare(text), Converted::Refused(Reject::NotANumber, _)), "{text}");
    }
    assert_eq!(bare(""), Converted::Nothing);
    let comma = rule.convert(&Raw::Bare { text: "21,5C", strip_unit: true }, true);
    assert_eq!(comma, Converted::Value(Value::Number(21.5), Some("C".into())));
}

#[test]
fn bits_of_a_number_and_hexadecimal_texts_are_read() {
    let mut field = field();
    field.written.bits = Some((2, 1));
    assert_eq!(value(&field, &Raw::Integer(0x14)), Some(Value::Number(1.0)));
    assert_eq!(value(&field, &Raw::Number(20.0)), Some(Value::Number(1.0)));
    assert_eq!(reject(&field, &Raw::Number(20.5)), Some(Reject::NotANumber));
    field.written = model::Written { hex: true, bits: Some((0, 16)), signed: true };
    for (text, expected) in [("0xFF9C", -100.0), ("7fff", 32_767.0), (" 0X8000", -32_768.0), ("10", 16.0)] {
        assert_eq!(value(&field, &Raw::Text(text)), Some(Value::Number(expected)), "{text}");
    }
    assert_eq!(value(&field, &Raw::Integer(10)), Some(Value::Number(16.0)), "digits that lost their quotes");
    assert_eq!(reject(&field, &Raw::Text("xyz")), Some(Reject::NotANumber));
    field.written = model::Written { hex: true, bits: Some((63, 1)), signed: false };
    assert_eq!(value(&field, &Raw::Text("8000000000000000")), Some(Value::Number(1.0)));
}

#[test]
fn texts_can_be_sentinels_and_an_empty_text_is_no_state() {
    let mut field = field();
    field.ignore_texts = vec!["---".into(), "unavailable".into()];
    let ignored = |raw: Raw<'_>| Rule::new(&field).convert(&raw, false) == Converted::Ignored;
    assert!(ignored(Raw::Text("---")) && ignored(Raw::Bare { text: "unavailable", strip_unit: false }));
    assert!(!ignored(Raw::Text("--")));
    field.text = true;
    assert_eq!(Rule::new(&field).convert(&Raw::Text(""), false), Converted::Nothing);
}

#[test]
fn numbers_are_read_as_people_write_them() {
    let rule = Rule::new(&field());
    let read = |text, comma| match rule.convert(&Raw::Bare { text, strip_unit: true }, comma) {
        Converted::Value(Value::Number(number), unit) => Some((number, unit.as_deref().unwrap_or_default().to_owned())),
        _ => None,
    };
    assert_eq!(read("\u{2212}3.5", false), Some((-3.5, String::new())));
    assert_eq!(read("\u{2212}3.5\u{a0}\u{b0}C", false), Some((-3.5, "\u{b0}C".to_owned())));
    assert_eq!(read("1\u{a0}013,2 hPa", true), Some((1013.2, "hPa".to_owned())));
    assert_eq!(read("1 013,2", true), Some((1013.2, String::new())));
    assert_eq!(read("1 01,2", true), None);
}

#[test]
fn the_short_way_of_numbers_ends_where_the_long_one_does() {
    let state = |key: &str, value| (key.into(), value);
    let on = vec![state("true", Value::Number(1.0)), state("1", Value::Number(7.0)), state("false", Value::Bool(true))];
    let fields = [
        (true, field()),
        (true, model::Field { scale: 0.1, offset: -3.0, ..field() }),
        (true, model::Field { scale: 1e300, valid_range: Some((-1e302, 1e302)), ..field() }),
        (true, model::Field { valid_range: Some((0.0, 100.0)), ..field() }),
        (true, model::Field { scale: 0.0, ..field() }),
        (false, model::Field { ignore_values: vec![1.0], ..field() }),
        (false, model::Field { map: on, ..field() }),
        (false, model::Field { written: model::Written { hex: true, ..Default::default() }, ..field() }),
        (false, model::Field { written: model::Written { bits: Some((0, 4)), ..Default::default() }, ..field() }),
    ];
    let beyond = (1_i64 << 53) + 1;
    let integers = [0, 1, -1, 50, beyond - 1, beyond, -beyond, i64::MIN, i64::MAX].map(Raw::Integer);
    let reals = [-0.0, 0.5, -1.0, 1e10, f64::MAX, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY].map(Raw::Number);
    let rest = [Raw::Bool(true), Raw::Bool(false), Raw::Unsigned(u64::MAX), Raw::Null, Raw::Text("1"), Raw::Composite];
    for (taken, field) in fields {
        let rule = Rule::new(&field);
        assert_eq!(rule.number_alone(&Raw::Number(0.5)).is_some(), taken, "{field:?}");
        for raw in integers.iter().chain(&reals).chain(&rest) {
            let Some(number) = rule.number_alone(raw) else { continue };
            match rule.convert(raw, false) {
                Converted::Value(Value::Number(same), None) => assert_eq!(number.to_bits(), same.to_bits(), "{raw:?}"),
                other => panic!("{raw:?} by {field:?}: {number} and {other:?}"),
            }
        }
    }
}
