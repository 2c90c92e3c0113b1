//! What expressions yield, and that they end.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::clock::WallTime;

fn yields(expression: &str, json: &str) -> Result<String, String> {
    let jq = Jq::new(expression)?;
    let tree = from_json(json)?;
    let topic = Rc::new(Tree::Text("a/b".into()));
    let mut out = Vec::new();
    let ended = Run::new(WallTime(0)).program(&jq.program, &tree, topic, &mut |value| {
        out.push(value.tree().to_json().to_string());
        Ok(())
    });
    match ended {
        Ok(()) => Ok(out.join(" ")),
        Err(Stop::Error(error)) => Err(error.text()),
        Err(Stop::Limit(limit)) => Err(limit),
        Err(Stop::Enough) => Err("enough".to_owned()),
    }
}

#[test]
fn expressions_yield_what_jq_yields() {
    let document = r#"{"a":[1,2,{"b":3}],"t":"21.5","o":{"x":1,"y":null},"f":false}"#;
    for (expression, expected) in [
        (".a[0]", "1"),
        (".a[-1].b", "3"),
        (".a[]|numbers", "1 2"),
        (".a[:2]", "[1,2]"),
        (".o|keys", r#"["x","y"]"#),
        (".missing", "null"),
        (".missing // 5", "5"),
        (".f // 7", "7"),
        (".t|tonumber + 1", "22.5"),
        ("[.a[]|numbers|.*10]", "[10,20]"),
        (".a|map(numbers)|add", "3"),
        ("{t, n: (.a|length)}", r#"{"n":3,"t":"21.5"}"#),
        (".o|to_entries[]|select(.value != null)|.key", r#""x""#),
        (".o|with_entries(.value |= 1)", ""),
        ("\"\\(.t) degrees\"", r#""21.5 degrees""#),
        ("if .f then 1 elif .t == \"21.5\" then 2 else 3 end", "2"),
        ("[.. | numbers]", "[1,2,3,1]"),
        ("reduce (.a[]|numbers) as $n (0; . + $n)", "3"),
        (".a as [$x, $y] | $y - $x", "1"),
        ("try error(\"no\") catch .", r#""no""#),
        (".a.b?", ""),
        ("[limit(2; .a[])]|length", "2"),
        ("first(.a[])", "1"),
        ("[range(3)]", "[0,1,2]"),
        ("$topic|split(\"/\")[1]", r#""b""#),
        ("1 as $x | 2 as $y | [$x,$y,$x+$y*2]", "[1,2,5]"),
        (".t|fromjson", "21.5"),
        ("[3,1,2]|sort|join(\"-\")", r#""1-2-3""#),
        ("-(.a[1])", "-2"),
        ("\"eyJhIjoxfQ==\"|@base64d|fromjson|.a", "1"),
        ("[.a[]|type]", r#"["number","number","object"]"#),
    ] {
        let found = yields(expression, document);
        match expected {
            "" if expression.contains("|=") => assert!(found.unwrap_err().contains("assignment")),
            expected => assert_eq!(found.as_deref(), Ok(expected), "{expression}"),
        }
    }
}

#[test]
fn a_wrong_expression_is_refused_with_the_reason() {
    for (expression, word) in [
        (".a |", "too early"),
        ("def f: f; f", "definitions"),
        (".a = 1", "assignment"),
        ("nosuch", "no function"),
        ("map()", "belong"),
        ("$x", "not defined"),
        ("\"abc", "closed"),
        ("(.a", "`)`"),
        ("{a:1", "`}`"),
        ("&", "no part"),
    ] {
        assert!(Jq::new(expression).unwrap_err().contains(word), "{expression}: {}", Jq::new(expression).unwrap_err());
    }
    assert!(Jq::new(&"[".repeat(3_000)).is_err());
    assert!(Jq::new(&".|".repeat(1_500)).is_err());
}

#[test]
fn what_would_take_for_ever_or_all_memory_ends_at_the_bound() {
    for expression in [
        "[range(1e12)]",
        "last(range(1e12))",
        "reduce range(100) as $i (\"ab\"; . + .)",
        "reduce range(100) as $i ([1]; . + .)",
        "[range(1000)|range(1000)|range(1000)]",
        "[.. | .. | .. | .. | ..]|length",
    ] {
        let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
        assert!(yields(expression, &deep).unwrap_err().contains("steps"), "{expression}");
    }
}

#[test]
fn comparing_large_values_again_and_again_ends_at_the_bound() {
    let numbers = format!("[{}1]", "1,".repeat(20_000));
    let text = format!("\"{}\"", "a".repeat(100_000));
    for (expression, document) in [
        ("[range(30000) as $i | . == .] | length", &numbers),
        ("[range(30000) as $i | [.]] | sort | length", &numbers),
        ("[range(3000)] - [.] | length", &numbers),
        ("[range(3000)] as $all | . as $parts | $all | contains($parts)", &numbers),
        ("[range(30000) as $i | all] | length", &numbers),
    ] {
        let (document, begin) = (document.as_str(), std::time::Instant::now());
        let _ = yields(expression, document);
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{expression}: {:?}", begin.elapsed());
    }
    for expression in ["[range(90000) as $i | length]", "[range(90000) as $i | contains(\"b\")]"] {
        assert!(yields(expression, &text).unwrap_err().contains("steps"), "{expression}");
    }
    assert!(yields("[range(30000) as $i | . == .]", &numbers).unwrap_err().contains("steps"));
}

#[test]
fn numbers_of_all_kinds_have_one_order() {
    let numbers = [
        "-9223372036854775808",
        "-9007199254740993",
        "-9007199254740992.0",
        "-1.5",
        "-1",
        "-0.0",
        "0",
        "0.0",
        "1e-9",
        "1",
        "9007199254740992",
        "9007199254740992.0",
        "9007199254740993",
        "9223372036854775807",
        "9.3e18",
        "18446744073709551614",
        "18446744073709551615",
        "1.9e19",
        "1e300",
    ];
    let trees: Vec<_> = numbers.iter().map(|text| from_json(text).unwrap()).collect();
    for (a, one) in trees.iter().enumerate() {
        for (b, other) in trees.iter().enumerate() {
            let order = value::compare(one, other);
            assert_eq!(order, value::compare(other, one).reverse(), "{} {}", numbers[a], numbers[b]);
            assert!(a > b || order.is_le(), "{} {}", numbers[a], numbers[b]);
            for third in &trees {
                let chain = [order, value::compare(other, third)];
                assert!(chain.iter().any(|order| order.is_gt()) || value::compare(one, third).is_le());
            }
        }
    }
    // An order that contradicts itself makes sorting panic.
    let many = format!("[{}]", numbers.join(",")).repeat(12).replace("][", ",");
    assert!(yields("sort | length", &many).is_ok());
    let near = "[9007199254740993,9007199254740992.0,9007199254740992]";
    assert_eq!(yields("sort | .[2]", near).unwrap(), "9007199254740993");
}

proptest! {
    #[test]
    fn texts_of_any_kind_are_an_expression_or_an_error(text in "[-.a-c0-9|,()\\[\\]{}\"$:; ?/+*<>=@]{0,40}") {
        let _ = yields(&text, r#"{"a":[1,{"b":2}],"c":"x"}"#);
    }
}
