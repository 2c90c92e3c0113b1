//! What is made of payloads that are one number.

use super::*;

#[test]
fn a_plain_number_is_a_reading_and_all_else_is_refused() {
    let mut decode = decode(number(), vec![field("temp", "\u{b0}C")]);
    decode.device = level(1);
    let mut bench = Bench::new(decode);
    for (payload, value) in
        [("21.5", "21.5"), ("  21.5\r\n", "21.5"), ("+21.5", "21.5"), ("2.15e1", "21.5"), (".5", "0.5"), ("-0", "0")]
    {
        assert_eq!(bench.readings("plant/hall1/temp", payload), [format!("src/hall1/temp={value} \u{b0}C")]);
    }
    for payload in
        ["21,5", "1.234,5", "NaN", "inf", "1e999", "ON", "0x15", "21.5 \u{b0}C", "21.5.3", "null", "\"21.5\"", "true"]
    {
        assert_eq!(bench.rejects(payload), [Reject::NotANumber], "{payload}");
        assert!(bench.out.readings.is_empty());
    }
    assert_eq!(bench.rejects(""), [Reject::Empty]);
    assert_eq!(bench.rejects(b"\xff\xfe2"), [Reject::NotUtf8]);
    let (_, what) = bench.message("plant/hall1/temp", "ON", false).rejects[0].clone();
    assert_eq!(what, "temp: \"ON\" is no finite decimal number");
}

#[test]
fn a_number_with_a_decimal_comma_is_read_only_when_configured() {
    let mut decode = decode(number(), vec![field("temp", "")]);
    decode.decimal_comma = true;
    let mut bench = Bench::new(decode);
    assert_eq!(bench.readings("t", "1.234,5"), ["src/temp=1234.5"]);
    assert_eq!(bench.rejects("21.5"), [Reject::NotANumber]);
}

#[test]
fn the_quantity_of_a_number_can_be_a_level_of_the_topic() {
    let mut decode = decode(Format::Number { quantity: level(3) }, vec![]);
    decode.device = level(1);
    let mut bench = Bench::new(decode);
    assert_eq!(bench.readings("shellies/ht-1/sensor/temperature", "21.38"), ["src/ht-1/temperature=21.38"]);
    assert_eq!(bench.readings("shellies/ht-1/sensor/humidity", "48.5"), ["src/ht-1/humidity=48.5"]);
    assert_eq!(bench.readings("shellies/ht-1/sensor/temperature", "21.4"), ["src/ht-1/temperature=21.4"]);
    assert!(bench.readings("shellies/announce", "1").is_empty());
    assert_eq!(bench.out.rejects[0].0, Reject::BadName);
}

#[test]
fn in_band_error_values_are_refused_or_ignored() {
    let mut ranged = field("temperature", "");
    ranged.valid_range = Some((-40.0, 85.0));
    ranged.ignore_values = vec![999.0];
    let mut bench = Bench::new(decode(number(), vec![ranged]));
    assert_eq!(bench.rejects("-99.5"), [Reject::OutOfRange]);
    assert_eq!(bench.rejects("999.00"), []);
    assert_eq!((bench.out.ignored, bench.out.readings.len()), (1, 0));
}
