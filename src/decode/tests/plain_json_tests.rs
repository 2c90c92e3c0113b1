//! The short way through a plain JSON document beside serde_json's: the same, whatever the document.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn fields() -> Vec<Field> {
    let at = |quantity: &str, path: &str| Field { path: path.to_owned(), ..field(quantity, "") };
    vec![
        at("a", "a"),
        at("inner", "b.c"),
        at("item", "d[1].a"),
        Field { text: true, ..at("word", "w") },
        at("last", "d[2]"),
    ]
}

/// With fields and a carried value, and without any.
fn benches() -> [Bench; 2] {
    let mut with = decode(Format::Json, fields());
    with.carry = vec!["c".into()];
    with.ts_field = Some("t".to_owned());
    [Bench::new(with), Bench::new(decode(Format::Json, Vec::new()))]
}

/// What becomes of a document: readings with their times and attributes, and what is refused.
fn outcome(bench: &mut Bench, document: &str) -> (Vec<Reading>, Vec<(Reject, String)>) {
    let out = bench.message("t", document, false);
    let refused = |(reject, what): &(Reject, String)| {
        // The long way's document has one name more.
        (*reject, what.split("; the message has ").next().unwrap_or_default().to_owned())
    };
    (out.readings.clone(), out.rejects.iter().map(refused).collect())
}

/// The same document with a first member that is nothing, written so that only serde_json reads it.
fn not_plain(object: &str) -> String {
    let inside = object.trim_start().strip_prefix('{').unwrap();
    let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
    format!(r#"{{"\u007a":""{comma}{inside}"#)
}

fn value() -> impl Strategy<Value = String> {
    let single = prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,7})(\\.[0-9]{1,6})?",
        1 => "-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,21})?([eE][-+]?[0-9]{1,2})?",
        1 => "(true|false|null)",
        2 => "\"[a-dé€ ]{0,5}\"",
        1 => "\"([a-d]|\\\\n|\\\\u00e9|\\\\\"){0,3}\"",
        1 => Just("\"2026-03-01T12:00:01.5Z\"".to_owned()),
        1 => Just("1772366400".to_owned()),
    ];
    single.prop_recursive(4, 24, 5, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", ")));
        prop_oneof![list, object(inner)]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = ("(a|b|c|d|w|t|x)", "[ \\n]?", value);
    prop::collection::vec(member, 0..7).prop_map(|members| {
        let members: Vec<String> =
            members.iter().map(|(key, blank, value)| format!("{blank}\"{key}\":{blank}{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #[test]
    fn a_document_comes_to_the_same_the_short_way_and_the_long_one(document in object(value())) {
        prop_assert!(serde_json::from_str::<Json>(&document).is_ok(), "{document}");
        for mut bench in benches() {
            let long = outcome(&mut bench, &not_plain(&document));
            prop_assert_eq!(outcome(&mut bench, &document), long, "{}", document);
        }
    }

    #[test]
    fn what_is_no_json_is_not_taken_the_short_way(
        document in object(value()),
        at in any::<prop::sample::Index>(),
        put in "[\\[\\]{}\":,.0-9eE\\\\ a-d\u{1}-]?",
    ) {
        let places: Vec<usize> = document.char_indices().map(|(at, _)| at).collect();
        let at = places[at.index(places.len())];
        let rest = document[at..].chars().next().map_or(at, |cut| at + cut.len_utf8());
        let damaged = format!("{}{put}{}", &document[..at], &document[rest..]);
        let is_json = |text: &str| serde_json::from_str::<Json>(text).is_ok();
        let can_be_read = is_json(&damaged) || lenient::repaired(&damaged).is_some_and(|repaired| is_json(&repaired));
        if can_be_read || damaged.trim().is_empty() {
            return Ok(());
        }
        for mut bench in benches() {
            let (readings, rejects) = outcome(&mut bench, &damaged);
            prop_assert!(readings.is_empty(), "{}: {:?}", damaged, readings);
            prop_assert!(matches!(rejects.last(), Some((Reject::Malformed, _))), "{}: {:?}", damaged, rejects);
        }
    }
}

#[test]
fn numbers_are_the_nearest_doubles_and_keep_their_kinds() {
    let [_, mut bench] = benches();
    for number in [
        "0",
        "-0",
        "0.0",
        "-0.0",
        "7",
        "-7",
        "0.1",
        "1.10",
        "-3.5",
        "9007199254740992.5",
        "900719925474099.3",
        "0.12345678901234567",
        "123456789012345678",
        "-123456789012345678",
        "1234567890123456789",
        "9223372036854775808",
        "18446744073709551616",
        "1e3",
        "1E-3",
        "2.5e2",
        "0.000000000000000001",
        "4503599627370497.5",
        "99999999.99999999",
    ] {
        let document = format!(r#"{{"v":{number}}}"#);
        let long = outcome(&mut bench, &not_plain(&document));
        assert_eq!(outcome(&mut bench, &document), long, "{number}");
        let nearest: f64 = number.parse().unwrap();
        assert_eq!(long.0[0].value.as_f64(), Some(nearest), "{number}");
    }
}

#[test]
fn nesting_beyond_the_short_ways_bound_is_read_all_the_same() {
    let mut bench = Bench::new(decode(Format::Json, fields()));
    for depth in 1..100 {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let document = format!(r#"{{"x":{open}{close},"a":{depth}}}"#);
        assert_eq!(bench.readings("t", &document), [format!("src/a={depth}")]);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_wherever_they_stand() {
    for mut bench in benches() {
        for document in [&b"{\"a\":1,\"x\":\"\xff\"}"[..], b"{\"a\":1,\"\xc3\":2}", b"{\"w\":\"\xe2\x82\"}"] {
            assert_eq!(bench.rejects(document), [Reject::NotUtf8]);
        }
    }
}
