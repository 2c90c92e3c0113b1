//! What is made of lines of text: key-value pairs and CSV.

use super::*;

#[test]
fn key_value_lines_are_read_as_devices_print_them() {
    let mut decode = decode(key_value(), vec![field("t", "\u{b0}C"), field("h", "")]);
    decode.device = payload("node");
    let mut bench = Bench::new(decode);
    let line = "OK node=7 t=21.5 h=48% batt=2.97 rssi=-61";
    assert_eq!(bench.readings("t", line), ["src/7/t=21.5 \u{b0}C", "src/7/h=48 %"]);
    assert_eq!(bench.readings("t", "OK node=8 t= h=50"), ["src/8/h=50"]);
    assert_eq!(bench.readings("t", "OK node=9 t=21.5C t2=-7"), ["src/9/t=21.5 \u{b0}C"]);
    assert_eq!(bench.readings("t", "node:9,t:1;h:2"), ["src/9/t=1 \u{b0}C", "src/9/h=2"]);
    assert_eq!(bench.readings("t", "node: 9 t = 1.5 h =2 %"), ["src/9/t=1.5 \u{b0}C", "src/9/h=2"]);
    assert_eq!(bench.rejects("node=9 t=open h=2"), [Reject::NotANumber]);
    assert_eq!(bench.rejects("booting, please wait"), [Reject::Malformed]);
    assert_eq!(bench.rejects("node=9 x=1"), [Reject::MissingField]);
}

#[test]
fn key_value_without_fields_takes_every_number() {
    let mut every = decode(key_value(), vec![]);
    every.carry = vec!["seq".into(), "fw".into()];
    let mut bench = Bench::new(every);
    let readings = bench.readings("t", "a=1 mode=auto seq=12 fw=007 b=-2.5kPa a=3");
    assert_eq!(readings, ["src/a=3", "src/b=-2.5 kPa"]);
    let attributes = bench.out.readings[0].attributes.clone().unwrap();
    assert_eq!(*attributes, [(Arc::from("seq"), json!(12)), (Arc::from("fw"), json!("007"))]);
    let format = Format::KeyValue { separator: Some('|'), assign: Some('>'), strip_unit: false };
    let mut bench = Bench::new(decode(format, vec![]));
    assert_eq!(bench.readings("t", "a x>1|b>2C|c > 3"), ["src/a x=1", "src/c=3"]);
}

#[test]
fn a_comma_separates_pairs_unless_it_is_the_decimal_point() {
    let mut comma = decode(key_value(), vec![]);
    comma.decimal_comma = true;
    assert_eq!(Bench::new(comma).readings("t", "t=21,5C;h=48"), ["src/t=21.5 C", "src/h=48"]);
    assert_eq!(Bench::new(decode(key_value(), vec![])).readings("t", "t=21,h=48"), ["src/t=21", "src/h=48"]);
}

#[test]
fn a_number_with_a_decimal_comma_is_refused_where_nobody_said_what_the_comma_is() {
    let mut bench = Bench::new(decode(key_value(), vec![field("t", ""), field("p", "")]));
    assert_eq!(bench.rejects("t=61,5 p=1,8"), [Reject::NotANumber; 2]);
    assert!(bench.out.readings.is_empty(), "{:?}", bench.out.readings);
    let what = "t: \"61,5\" looks like a decimal comma; set decimal_comma = true, or separator = \",\"";
    assert_eq!(bench.out.rejects[0].1, what);
    for refused in ["t=61,5", "t: 61,5", "t = -61,5", "t=61,5C", "t=60 t=61,5", "t=61,5,7", "t=61,5;x=1"] {
        assert_eq!(bench.readings("t", refused), [""; 0], "{refused}");
        assert_eq!(bench.rejects(refused), [Reject::NotANumber], "{refused}");
    }
    for (taken, readings) in [
        ("t=61,p=1", &["src/t=61", "src/p=1"][..]),
        ("t=61, 5", &["src/t=61"]),
        ("t=61,,5", &["src/t=61"]),
        ("t=61,5=7", &["src/t=61"]),
        ("t=61,5p=7", &["src/t=61"]),
        ("x=61,5 t=2", &["src/t=2"]),
        ("t=61,5 t=62", &["src/t=62"]),
    ] {
        assert_eq!(bench.readings("t", taken), readings, "{taken}");
    }
    let format = Format::KeyValue { separator: Some(','), assign: None, strip_unit: true };
    assert_eq!(Bench::new(decode(format, vec![field("t", "")])).readings("t", "t=61,5"), ["src/t=61"]);
    let mut every = Bench::new(decode(key_value(), vec![]));
    assert_eq!(every.readings("t", "a=1 a=61,5 b=2 ip=10.0.0.1,24"), ["src/b=2"]);
    assert_eq!(every.out.rejects.len(), 1);
    let mut named = decode(key_value(), vec![field("t", "")]);
    named.device = payload("node");
    assert_eq!(Bench::new(named).readings("t", "node=7,3 t=4"), ["src/7/t=4"]);
}

#[test]
fn a_message_without_the_configured_fields_is_told_what_it_has() {
    let told = |format: Format, payload: &str| {
        let mut bench = Bench::new(decode(format, vec![field("temperature", ""), field("humidity", "")]));
        assert_eq!(bench.rejects(payload), [Reject::MissingField], "{payload}");
        bench.out.rejects.remove(0).1
    };
    let none = "none of the configured fields (temperature, humidity) is there";
    for (payload, has) in [
        (r#"{"Temperature": 21.5}"#, "; the message has Temperature (did you mean it?)"),
        (r#"{"a": {"b": 1}, "Humidty": 5, "c": "x"}"#, "; the message has a, Humidty, c (did you mean Humidty?)"),
        (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"hum":1,"g":1}"#, "; the message has a, b, c, d, e, .."),
        ("{}", ""),
        ("[1]", ""),
    ] {
        assert_eq!(told(Format::Json, payload), format!("{none}{has}"), "{payload}");
    }
    assert_eq!(
        told(key_value(), "node=7 temprature=21"),
        format!("{none}; the message has node, temprature (did you mean temprature?)")
    );
    let long = format!(r#"{{"\u001b[2J{}": 1}}"#, "x".repeat(5_000));
    let what = told(Format::Json, &long);
    assert!(what.len() < 200 && what.contains("\\u{1b}[2J") && !what.contains('\u{1b}'), "{what}");
    assert_eq!(told(Format::Json, &format!(r#"{{"x": "{}"}}"#, "y".repeat(20_000))), none);
    let mut wild = decode(Format::Json, vec![Field { path: "rooms.*.t".to_owned(), ..field("t", "") }]);
    wild.reach.skip = vec!["none".to_owned()];
    let mut bench = Bench::new(wild);
    assert_eq!(bench.rejects(r#"{"Rooms": {"a": {"t": 1}}}"#), [Reject::MissingField]);
    assert!(bench.out.rejects[0].1.ends_with("; the message has Rooms (did you mean it?)"), "{:?}", bench.out.rejects);
}

#[test]
fn csv_columns_are_strict_and_an_empty_cell_is_no_value() {
    let mut decode = decode(
        csv(&["id", "temp", "hum", "batt"]),
        vec![field("temp", "\u{b0}C"), field("hum", "%"), field("batt", "V")],
    );
    decode.device = payload("id");
    let mut bench = Bench::new(decode);
    let seven = ["src/7/temp=21.5 \u{b0}C", "src/7/hum=48 %", "src/7/batt=2.97 V"];
    assert_eq!(bench.readings("t", "7,21.50,48,2.97"), seven);
    assert_eq!(bench.readings("t", "8, -3.25 ,,3.01"), ["src/8/temp=-3.25 \u{b0}C", "src/8/batt=3.01 V"]);
    assert_eq!(bench.rejects("7,21.75,48,2.97,"), [Reject::Malformed]);
    assert_eq!(bench.out.rejects[0].1, "5 columns, expected 4");
    assert_eq!(bench.rejects("7,21.75"), [Reject::Malformed]);
    for comment in ["# debug: wifi lost", "  # indented", "#"] {
        assert_eq!(bench.rejects(comment), []);
        assert!(bench.out.readings.is_empty());
    }
    let several = bench.readings("t", "7,1,2,3\r\n# note\n8,4,5,6\n");
    assert_eq!(several.len(), 6);
    assert_eq!(bench.readings("t", "\"7\",\"21.50\",48,2.97"), seven);
}

#[test]
fn csv_with_semicolons_and_decimal_commas() {
    let columns = ["a", "b"].map(str::to_owned).to_vec();
    let mut decode = decode(Format::Csv { delimiter: b';', columns, header: false, comment: None }, vec![]);
    decode.decimal_comma = true;
    let mut bench = Bench::new(decode);
    assert_eq!(bench.readings("t", "21,5;1.234,5"), ["src/a=21.5", "src/b=1234.5"]);
    assert_eq!(bench.readings("t", "21,5;ok"), ["src/a=21.5"]);
}

#[test]
fn csv_columns_can_be_named_by_the_first_line_and_named_again() {
    let format = || Format::Csv { delimiter: b',', columns: vec![], header: true, comment: None };
    let mut bench = Bench::new(decode(format(), vec![field("temp", "")]));
    assert_eq!(bench.rejects("7,21.5"), [Reject::Malformed]);
    assert_eq!(bench.rejects("id,temp"), []);
    assert_eq!(bench.readings("t", "7,21.5"), ["src/temp=21.5"]);
    assert_eq!(bench.rejects("id,temp"), [], "a device that starts anew repeats its header");
    assert_eq!(bench.readings("t", "temp,id\n22.5,7"), ["src/temp=22.5"]);
    let mut all = Bench::new(decode(format(), vec![]));
    assert_eq!(all.readings("t", "a,b\n1,2\n3,4"), ["src/a=1", "src/b=2", "src/a=3", "src/b=4"]);
}
