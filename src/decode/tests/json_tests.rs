//! JSON payloads: paths, carried fields, hostile documents.

use super::*;

#[test]
fn json_without_fields_takes_top_level_numbers_and_booleans() {
    let mut decode = decode(Format::Json, vec![]);
    decode.device = level(1);
    decode.ts_field = Some("last_seen".to_owned());
    decode.carry = vec!["linkquality".into()];
    let mut bench = Bench::new(decode);
    let readings = bench.readings(
        "zigbee2mqtt/cold_room_1",
        r#"{"battery":100,"last_seen":"2026-03-01T13:00:42+01:00","linkquality":87,"temperature":20.34,
            "update":{"installed_version":92},"state":"idle","contact":false,"list":[1,2],"voltage":null}"#,
    );
    let device = "src/cold_room_1";
    assert_eq!(
        readings,
        [format!("{device}/battery=100"), format!("{device}/temperature=20.34"), format!("{device}/contact=false")]
    );
    for reading in &bench.out.readings {
        assert_eq!((reading.time.0, reading.time_source), (NOON + 42_000_000_000, TimeSource::Payload));
        assert_eq!(**reading.attributes.as_ref().unwrap(), [(Arc::from("linkquality"), json!(87))]);
    }
    assert!(bench.out.rejects.is_empty());
    assert_eq!(bench.rejects(r#"{"temperature":null,"humidity":null}"#), []);
    assert_eq!(bench.rejects(r#"{"action":"single"}"#), [Reject::MissingField]);
}

#[test]
fn json_paths_reach_into_objects_and_lists() {
    let at = |quantity: &str, path: &str| Field { path: path.to_owned(), ..field(quantity, "") };
    let fields = vec![at("t", "DS18B20-2.Temperature"), at("second", "list[1].v"), at("deep", r#""a.b"[0][1]"#)];
    let mut decode = decode(Format::Json, fields);
    decode.ts_field = Some("Time".to_owned());
    decode.device = payload("DS18B20-2.Id");
    let mut bench = Bench::new(decode);
    let readings = bench.readings(
        "tele/brewery/SENSOR",
        r#"{"Time":"2026-03-01T13:00:44","DS18B20-1":{"Temperature":1},"list":[{"v":1},{"v":2,"w":3},{"v":4}],
            "a.b":[[5,6],7],"DS18B20-2":{"Id":"0000059352D4","Temperature":55.9},"TempUnit":"F"}"#,
    );
    let device = "src/0000059352D4";
    assert_eq!(readings, [format!("{device}/second=2"), format!("{device}/deep=6"), format!("{device}/t=55.9")]);
    assert_eq!(bench.out.readings[0].time.0, NOON + 44_000_000_000);
    // A probe that fails says null: no reading and no refusal.
    assert_eq!(bench.rejects(r#"{"DS18B20-2":{"Id":"x","Temperature":null}}"#), []);
}

#[test]
fn a_bad_field_does_not_block_the_good_ones() {
    let mut bench = Bench::new(decode(Format::Json, vec![field("a", ""), field("b", ""), field("c", "")]));
    assert_eq!(bench.readings("t", r#"{"a":"open","b":2,"c":{"x":1}}"#), ["src/b=2"]);
    let rejects: Vec<Reject> = bench.out.rejects.iter().map(|(reject, _)| *reject).collect();
    assert_eq!(rejects, [Reject::NotANumber, Reject::NotANumber]);
    assert_eq!(bench.readings("t", r#"{"b":3}"#), ["src/b=3"]);
    assert!(bench.out.rejects.is_empty(), "fields that are not there are optional");
    assert_eq!(bench.rejects(r#"{"x":3}"#), [Reject::MissingField]);
}

#[test]
fn of_a_repeated_json_key_the_last_one_counts() {
    let mut fields = Bench::new(decode(Format::Json, vec![field("a", "")]));
    assert_eq!(fields.readings("t", r#"{"a":1,"a":2}"#), ["src/a=2"]);
    assert!(fields.readings("t", r#"{"a":1,"a":null}"#).is_empty());
    let mut all = Bench::new(decode(Format::Json, vec![]));
    assert_eq!(all.readings("t", r#"{"a":1,"b":5,"a":2}"#), ["src/a=2", "src/b=5"]);
}

#[test]
fn malformed_json_yields_nothing_at_all() {
    let mut bench = Bench::new(decode(Format::Json, vec![field("a", "")]));
    for payload in [r#"{"a":1} x"#, r#"{"a":1"#, r#"{"a":1,,}"#, r#"{"a":1}{"a":2}"#, r#"{"a":Nan0}"#, r#"{"a":21,5}"#]
    {
        assert_eq!(bench.rejects(payload), [Reject::Malformed], "{payload}");
        assert!(bench.out.readings.is_empty());
    }
    assert_eq!(bench.rejects(b"{\"a\":1,\"b\":\"\xff\"}"), [Reject::NotUtf8]);
    assert_eq!(bench.rejects(" \r\n"), [Reject::Empty]);
    assert_eq!(bench.readings("t", b"\xef\xbb\xbf{\"a\":1}\r\n"), ["src/a=1"]);
}

#[test]
fn a_bare_nan_costs_its_own_field_and_no_other() {
    let fields = || vec![field("t", "°C"), field("h", "%")];
    let mut bench = Bench::new(decode(Format::Json, fields()));
    for payload in
        [r#"{"t":NaN,"h":45.5}"#, r#"{"h":45.5,"t":-nan}"#, r#"{"t":Infinity,"h":45.5,}"#, "{t: inf, h: 45.5}\0"]
    {
        assert_eq!(bench.readings("t", payload), ["src/h=45.5 %"], "{payload}");
        assert_eq!(bench.out.rejects.iter().map(|(reject, _)| *reject).collect::<Vec<_>>(), [Reject::NotANumber]);
    }
    let mut all = Bench::new(decode(Format::Json, vec![]));
    assert_eq!(all.readings("t", r#"{"t":NaN,"h":45.5,"name":"NaN"}"#), ["src/h=45.5"]);
    assert_eq!(all.out.rejects.len(), 1);
    // What the strict attempt has refused before it came to the damage is not told twice.
    let mut ranged = fields();
    ranged[1].valid_range = Some((0.0, 40.0));
    let mut ranged = Bench::new(decode(Format::Json, ranged));
    assert_eq!(ranged.rejects(r#"{"h":45.5,"t":nan}"#), [Reject::NotANumber, Reject::OutOfRange]);
    let mut quiet = fields();
    quiet[0].ignore_texts = vec!["NaN".into()];
    let mut quiet = Bench::new(decode(Format::Json, quiet));
    assert_eq!(quiet.readings("t", r#"{"t":nan,"h":45.5}"#), ["src/h=45.5 %"]);
    assert_eq!((quiet.out.rejects.len(), quiet.out.ignored), (0, 1));
}

#[test]
fn a_bare_nan_is_refused_behind_wildcards_and_expressions_too() {
    let each = Field { path: "*".to_owned(), ..field("{match[0]}", "") };
    let expression = r#"to_entries[] | {quantity: .key, value: .value}"#.to_owned();
    for decode in [decode(Format::Json, vec![each]), decode(Format::Jq { expression }, vec![])] {
        let mut bench = Bench::new(decode);
        assert_eq!(bench.readings("t", r#"{"a":1,"b":NaN,"c":-inf,"d":2}"#), ["src/a=1", "src/d=2"]);
        let labels: Vec<Reject> = bench.out.rejects.iter().map(|(reject, _)| *reject).collect();
        assert_eq!(labels, [Reject::NotANumber, Reject::NotANumber]);
    }
}

#[test]
fn latin_1_is_read_where_it_is_configured() {
    let bytes = b"21.5 \xb0C";
    let mut strict = Bench::new(decode(super::number(), vec![]));
    assert_eq!(strict.rejects(bytes), [Reject::NotUtf8]);
    let reach = model::Reach { latin1: true, strip_unit: true, ..model::Reach::default() };
    let mut bench = Bench::new(Decode { reach, ..decode(super::number(), vec![]) });
    assert_eq!(bench.readings("t", bytes), ["src/value=21.5 °C"]);
    assert_eq!(bench.readings("t", "21.5 %"), ["src/value=21.5 %"]);
}

#[test]
fn deep_nesting_and_big_bodies_do_no_harm() {
    let mut bench = Bench::new(decode(Format::Json, vec![field("a", "")]));
    let deep = "[".repeat(200_000);
    assert_eq!(bench.rejects(&deep), [Reject::Malformed]);
    assert_eq!(bench.rejects(format!("{deep}{}", "]".repeat(200_000))), [Reject::MissingField]);
    let skipped = format!(r#"{{"junk":{deep}{},"a":1}}"#, "]".repeat(200_000));
    assert_eq!(bench.readings("t", skipped), ["src/a=1"]);
    let mut nested = decode(Format::Json, vec![field("a", "")]);
    nested.carry = vec!["junk".into()];
    let mut carrying = Bench::new(nested);
    let wanted = format!(r#"{{"a":1,"junk":{deep}{}}}"#, "]".repeat(200_000));
    assert_eq!(carrying.rejects(wanted), [Reject::Malformed]);
    let big = format!(r#"{{"image":"{}","a":1}}"#, "x".repeat(200_000));
    assert_eq!(bench.readings("t", big), ["src/a=1"]);
}

#[test]
fn whole_numbers_of_every_size_keep_their_value() {
    let mut decode = decode(Format::Json, vec![field("a", ""), field("b", "")]);
    decode.carry = vec!["a".into(), "big".into()];
    let mut bench = Bench::new(decode);
    let out = bench.message("t", r#"{"a":9007199254740993,"b":5,"big":18446744073709551615}"#, false);
    assert_eq!(out.readings[0].value, Value::Integer(9_007_199_254_740_993));
    assert_eq!(out.readings[1].value, Value::Number(5.0));
    let expected = [(Arc::from("a"), json!(9_007_199_254_740_993_u64)), (Arc::from("big"), json!(u64::MAX))];
    assert_eq!(**out.readings[0].attributes.as_ref().unwrap(), expected);
}

#[test]
fn carried_fields_are_taken_whole_named_by_their_last_part_and_bounded() {
    let mut decode = decode(Format::Json, vec![Field { path: "o.v".to_owned(), ..field("v", "") }]);
    decode.carry = ["meta", "o", "x.seq", "o.id", "y.id"].map(Arc::from).into();
    let mut bench = Bench::new(decode);
    let out = bench.message("t", r#"{"meta":[1,{"a":null}],"o":{"v":7,"id":"n"},"x":{"seq":3},"y":{"id":4}}"#, false);
    assert_eq!((out.readings.len(), out.rejects.len()), (1, 0));
    let attributes: Vec<(&str, serde_json::Value)> =
        out.readings[0].attributes.as_ref().unwrap().iter().map(|(name, value)| (&**name, value.clone())).collect();
    let expected = [
        ("meta", json!([1, {"a": null}])),
        ("o", json!({"v": 7, "id": "n"})),
        ("seq", json!(3)),
        ("o.id", json!("n")),
        ("y.id", json!(4)),
    ];
    assert_eq!(attributes, expected);
    let numbers = vec!["1"; CARRY_BYTES_MAX].join(",");
    let out = bench.message("t", format!(r#"{{"meta":[{numbers}],"o":{{"v":7}},"x":{{"seq":3}}}}"#), false);
    assert_eq!(out.rejects[0].0, Reject::TooLong);
    assert_eq!(out.readings[0].attributes.as_ref().unwrap()[0].0, Arc::from("o"), "the rest is still carried");
    let out = bench.message("t", r#"{"o":{"v":7}}"#, false);
    assert_eq!(out.readings[0].attributes.as_ref().unwrap().len(), 1);
}

#[test]
fn readings_of_one_message_are_bounded() {
    let mut bench = Bench::new(decode(Format::Json, vec![]));
    let members: Vec<String> =
        (0..3 * READINGS_PER_MESSAGE_MAX).map(|index| format!(r#""k{index}":{index}"#)).collect();
    let out = bench.message("t", format!("{{{}}}", members.join(",")), false);
    assert_eq!(out.readings.len(), READINGS_PER_MESSAGE_MAX);
    assert_eq!(out.rejects.iter().map(|(reject, _)| *reject).collect::<Vec<_>>(), [Reject::TooManyReadings]);
    let learned = bench.decoder.branches[0].state.learned();
    assert!(learned < 3 * READINGS_PER_MESSAGE_MAX, "{learned} names are remembered of what is not taken");
    assert_eq!(bench.readings("t", r#"{"k5":1}"#), ["src/k5=1"]);
}

#[test]
fn keys_that_make_no_name_are_refused_by_name() {
    let mut bench = Bench::new(decode(Format::Json, vec![]));
    let long = "k".repeat(SENSOR_BYTES_MAX + 1);
    let readings = bench.readings("t", format!(r##"{{"a+":1,"#":2,"":3,"\u0001":4,"ok":5,"{long}":6}}"##));
    assert_eq!(readings, ["src/ok=5"]);
    assert_eq!(bench.out.rejects.len(), 5);
    assert!(bench.out.rejects.iter().all(|(reject, _)| *reject == Reject::BadName));
}

#[test]
fn a_device_that_is_not_in_the_payload_is_refused_once() {
    let mut decode = decode(Format::Json, vec![field("a", ""), field("b", "")]);
    decode.device = payload("id");
    let mut bench = Bench::new(decode);
    assert_eq!(bench.rejects(r#"{"a":1,"b":2}"#), [Reject::MissingField]);
    assert_eq!(bench.rejects(r#"{"a":1,"id":null}"#), [Reject::MissingField]);
    assert_eq!(bench.rejects(r#"{"a":1,"id":"x/#"}"#), [Reject::BadName]);
    assert_eq!(bench.readings("t", r#"{"a":1,"id":7}"#), ["src/7/a=1"]);
    assert_eq!(bench.readings("t", r#"{"a":2,"id":"hall"}"#), ["src/hall/a=2"]);
    assert_eq!(bench.readings("t", r#"{"a":3,"id":7}"#), ["src/7/a=3"]);
}

#[test]
fn what_is_passed_over_is_known_by_its_topic_alone() {
    let text = "[[source]]\nname = \"s\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\npreset = \"zigbee2mqtt\"\n";
    let source = crate::config::load_text("t.toml".as_ref(), text, &|_| None).unwrap().config.sources.remove(0);
    let decoder = Decoder::new(&source).unwrap();
    for (topic, passed) in
        [("bridge/devices", true), ("hall/lamp/set", true), ("hall/lamp", false), ("lamp/availability", false)]
    {
        assert_eq!(decoder.passes_over(&format!("zigbee2mqtt/{topic}")), passed, "{topic}");
    }
}

#[test]
fn what_is_no_json_is_told_by_what_it_is() {
    let mut wild = decode(Format::Json, vec![Field { path: "rooms.*.t".to_owned(), ..field("t", "") }]);
    wild.reach.skip = vec!["none".to_owned()];
    for format in [decode(Format::Json, vec![field("t", "")]), wild] {
        let mut bench = Bench::new(format);
        let mut told = |payload: &str| {
            assert_eq!(bench.rejects(payload), [Reject::Malformed], "{payload}");
            bench.out.rejects.remove(0).1
        };
        for (payload, what) in [
            ("offline", "no JSON: it begins with \"offline\""),
            ("nope", "no JSON: it begins with \"nope\""),
            (" t=21.5 h=48", "no JSON: it begins with \"t=21.5\""),
            ("\u{1b}[2Jx", "no JSON: it begins with \"\\u{1b}[2Jx\""),
            ("abcdefghijklmnopqrstuvwxyz", "no JSON: it begins with \"abcdefghijklmnopqrst\""),
            (r#"{"t": 21"#, "no JSON: cut off, it ends in the middle (8 bytes)"),
        ] {
            assert_eq!(told(payload), what);
        }
        assert!(told(r#"{"t": 21]"#).starts_with("no JSON: "));
    }
}
