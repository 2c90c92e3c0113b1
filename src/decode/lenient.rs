//! JSON as home-made firmwares print it: what is no JSON, but can mean one thing only.
//!
//! Owns the repair of a text that the strict reader has refused, which is the only time that it is looked at. Read are:
//! numbers that are none (`NaN`, `-Infinity`, `nan`, `inf`, `ovf`, and those too large for a double), which are then
//! refused as values, each by itself; `+5`, `.5`, `5.` and `007`; `True`, `None`, `undefined` and a value that was left
//! out (`"t":,`); one comma too many before a closing bracket; names without quotes, texts in single quotes; control
//! characters in a text. What is repaired goes through the strict reader again, so a text that is cut off or mixed up
//! stays refused. Takes time and memory in proportion to the text.

use super::Format;
use super::document::Document;
use super::json::Json;
use super::name::Refusal;
use super::sink::Sink;
use super::tree::Tree;
use crate::counters::Reject;

/// Stands for a number that is not finite until the text is a document: a text of this one character, which Unicode
/// keeps for use inside a program.
const NOT_FINITE: &str = "\u{ffff}";

/// Characters that end a word.
const ENDS: [char; 8] = ['{', '}', '[', ']', ':', ',', '"', '\''];

/// The reader of `format = "json"`: strict, and where that fails once more on the repaired text.
#[derive(Debug)]
pub(super) struct Lenient {
    strict: Json,
    /// The same wants, of a document.
    document: Document,
}

impl Lenient {
    pub(super) fn new(strict: Json, document: Document) -> Self {
        Self { strict, document }
    }
}

impl Format for Lenient {
    fn read_plain(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> bool {
        self.strict.read_plain(payload, sink)
    }

    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let mark = sink.mark();
        let strict = self.strict.read(payload, sink);
        if !matches!(strict, Err((Reject::Malformed, _))) {
            return strict;
        }
        let Some(tree) = repaired(payload).and_then(|text| super::tree::from_strict_json(&text).ok()) else {
            return strict;
        };
        sink.back_to(mark);
        self.document.read(marked(tree), sink)
    }
}

/// Makes numbers of the marks.
pub(super) fn marked(tree: Tree) -> Tree {
    match tree {
        Tree::Text(text) if *text == *NOT_FINITE => Tree::Real(f64::NAN),
        Tree::List(items) => Tree::List(items.into_iter().map(marked).collect()),
        Tree::Object(members) => Tree::Object(members.into_iter().map(|(key, value)| (key, marked(value))).collect()),
        other => other,
    }
}

/// The text as JSON would have it; nothing where there is nothing that can be repaired.
pub(super) fn repaired(text: &str) -> Option<String> {
    let mut out = Out { text: String::with_capacity(text.len() + 16), last: None, repairs: 0 };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => out.quoted(first, rest)?,
            '{' | '[' | ':' => out.mark(first),
            ',' | '}' | ']' => out.end_of_value(first),
            _ if first.is_whitespace() => {
                out.text.push(first);
                first.len_utf8()
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || ENDS.contains(&c)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                out.word(word, behind.trim_start().starts_with(':'));
                end
            }
        };
        rest = &rest[length..];
    }
    // One comma behind everything, as between the documents of a list.
    if let Some((',', at)) = out.last {
        out.text.remove(at);
        out.repairs += 1;
    }
    (out.repairs > 0).then_some(out.text)
}

/// The text so far.
struct Out {
    text: String,
    /// The last character that is no blank, where it is one of the signs of JSON, and its place.
    last: Option<(char, usize)>,
    repairs: usize,
}

impl Out {
    fn mark(&mut self, mark: char) -> usize {
        self.last = Some((mark, self.text.len()));
        self.text.push(mark);
        1
    }

    /// A comma or a closing bracket.
    fn end_of_value(&mut self, mark: char) -> usize {
        match self.last {
            Some((':', _)) => {
                self.text.push_str("null");
                self.repairs += 1;
            }
            Some((',', at)) if mark != ',' => {
                self.text.remove(at);
                self.repairs += 1;
            }
            _ => {}
        }
        self.mark(mark)
    }

    fn value(&mut self, text: &str) {
        self.text.push_str(text);
        self.last = None;
    }

    fn repair(&mut self, text: &str) {
        self.value(text);
        self.repairs += 1;
    }

    /// A text in quotes of either kind; how long it is there, or nothing where it has no end.
    fn quoted(&mut self, quote: char, rest: &str) -> Option<usize> {
        self.last = None;
        self.text.push('"');
        self.repairs += usize::from(quote == '\'');
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.text.push('"');
                    return Some(at + 1);
                }
                '\\' => match chars.next()?.1 {
                    '\'' => self.text.push('\''),
                    escaped => self.text.extend(['\\', escaped]),
                },
                '"' => self.text.push_str("\\\""),
                c if c < ' ' => {
                    self.text.push_str(&format!("\\u{:04x}", u32::from(c)));
                    self.repairs += 1;
                }
                c => self.text.push(c),
            }
        }
        None
    }

    /// A word without quotes: a name, a number, a constant.
    fn word(&mut self, word: &str, is_name: bool) {
        let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
        if is_name && matches!(self.last, Some(('{' | ',', _))) && word.chars().all(in_name) {
            self.repair(&format!("\"{word}\""));
            return;
        }
        match word {
            "true" | "false" | "null" => return self.value(word),
            "True" | "TRUE" => return self.repair("true"),
            "False" | "FALSE" => return self.repair("false"),
            "None" | "NULL" | "Null" | "undefined" => return self.repair("null"),
            _ => {}
        }
        let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
        // "ovf" is what Arduino prints of a number with too many digits for it.
        let number = if unsigned.eq_ignore_ascii_case("ovf") { Ok(f64::INFINITY) } else { word.parse::<f64>() };
        match number {
            Ok(number) if !number.is_finite() => self.repair(&format!("\"{NOT_FINITE}\"")),
            Ok(_) => match plain(word) {
                number if number == word => self.value(word),
                number => self.repair(&number),
            },
            // Whatever it is: the strict reader says so.
            Err(_) => self.value(word),
        }
    }
}

/// A finite number as JSON writes it: `+.5` is 0.5, `5.` is 5, `007` is 7.
fn plain(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number.strip_prefix('+').unwrap_or(number)),
    };
    let (mantissa, exponent) = digits.split_at(digits.find(['e', 'E']).unwrap_or(digits.len()));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let trimmed = whole.trim_start_matches('0');
    let whole = if trimmed.is_empty() { "0" } else { trimmed };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}{exponent}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::super::tree::from_json;
    use super::*;

    fn same(damaged: &str, meant: &str) {
        let found = from_json(damaged).unwrap_or_else(|why| panic!("{damaged}: {why}"));
        // NaN is unequal to itself.
        assert_eq!(format!("{found:?}"), format!("{:?}", marked(from_json(meant).unwrap())), "{damaged}");
    }

    #[test]
    fn numbers_that_are_none_are_marked_and_the_rest_is_read() {
        for word in ["NaN", "nan", "-nan", "NAN", "Infinity", "-Infinity", "inf", "-INF", "+inf", "ovf", "1e999"] {
            let damaged = format!(r#"{{"a": {word}, "b" : [{word},2,{word} ], "c":{{"NaN":"nan"}}}}"#);
            let meant = "{\"a\":\"\u{ffff}\",\"b\":[\"\u{ffff}\",2,\"\u{ffff}\"],\"c\":{\"NaN\":\"nan\"}}";
            same(&damaged, meant);
        }
    }

    #[test]
    fn what_can_mean_one_thing_only_is_read() {
        for (damaged, meant) in [
            (
                r#"{"a":+5,"b":.5,"c":-.5,"d":5.,"e":007,"f":-00.50e3}"#,
                r#"{"a":5,"b":0.5,"c":-0.5,"d":5,"e":7,"f":-500.0}"#,
            ),
            (r#"{"a":True,"b":False,"c":None,"d":undefined}"#, r#"{"a":true,"b":false,"c":null,"d":null}"#),
            (r#"{"a":,"b":}"#, r#"{"a":null,"b":null}"#),
            ("{\"a\":[1,2,],\n}", r#"{"a":[1,2]}"#),
            (r#"{"a":1},"#, r#"{"a":1}"#),
            (r#"{a:1,b_c: 2,d-1 :{e:3}}"#, r#"{"a":1,"b_c":2,"d-1":{"e":3}}"#),
            (r#"{'a':'it\'s "x"', 'b': 2}"#, r#"{"a":"it's \"x\"","b":2}"#),
            ("{\"a\":\"x\ty\n\",\"b\":1}", r#"{"a":"x\ty\n","b":1}"#),
            (r#"{"a":"x, NaN: }","b":nan}"#, "{\"a\":\"x, NaN: }\",\"b\":\"\u{ffff}\"}"),
        ] {
            same(damaged, meant);
        }
    }

    #[test]
    fn what_is_cut_off_or_mixed_up_stays_refused_with_the_first_reason() {
        for damaged in [
            r#"{"a":1"#,
            r#"{"a":nan"#,
            r#"{"a":"x"#,
            r#"{'a':1"#,
            r#"ature":21.5}"#,
            r#"{"a":1,,}"#,
            r#"{"a":1 2}"#,
            r#"{"a":2+1}"#,
            r#"{"a":21,5}"#,
            r#"{"a":2{"a":1}"#,
            r#"{"a" 1}"#,
            r#"{"a":0x10}"#,
            r#"{"a":1.2.3,}"#,
            "hello",
            "a:1",
            ",",
            "",
        ] {
            let strict = super::super::tree::from_strict_json(damaged).unwrap_err();
            assert_eq!(from_json(damaged), Err(strict), "{damaged}");
        }
    }

    #[test]
    fn a_text_that_needs_no_repair_is_none() {
        for good in [r#"{"a":[1,-2.5e3,"x\"\\",true,null]}"#, "21.5", "{\"a\":1}\n"] {
            assert_eq!(repaired(good), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_repaired_or_not_without_a_panic(text in r#"[{}\[\]:,"'\\ a1.+\-eNnif\n]{0,60}"#) {
            let _ = from_json(&text);
            if let Some(once) = repaired(&text) {
                prop_assert!(once.len() <= text.len() * 7 + 8);
            }
        }
    }
}
