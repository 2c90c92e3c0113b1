//! Fixed layouts in the bytes inside a document.

use super::*;
use crate::config::load_text;

fn bench(decode: &str) -> Bench {
    let text = format!(
        "[[source]]\nname = \"src\"\ntype = \"mqtt\"\nurl = \"mqtt://[::1]\"\ntopics = [\"#\"]\ndecode = {{ {decode} }}\n"
    );
    let source = load_text("t.toml".as_ref(), &text, &|_| None).unwrap().config.sources.remove(0);
    Bench { decoder: Decoder::new(&source).unwrap(), out: Decoded::default() }
}

const LAYOUT: &str =
    r#"fields = { t = { path = "d", bytes = "0:i16be", scale = 0.5 }, low = { path = "d", bytes = "-1:u8[0-3]" } }"#;

#[test]
fn a_layout_is_read_from_base64_hex_a_list_and_a_byte_string() {
    let packed = |packing: &str| bench(&format!(r#"format = "json", unpack = {{ d = "{packing}" }}, {LAYOUT}"#));
    let expected = ["src/t=-10.5", "src/low=5"];
    assert_eq!(packed("base64").readings("t", r#"{"d":"/+ul"}"#), expected);
    assert_eq!(packed("base64").readings("t", r#"{"d":"_-ul"}"#), expected);
    assert_eq!(packed("hex").readings("t", r#"{"d":"FFEB A5"}"#), expected);
    assert_eq!(bench(&format!(r#"format = "json", {LAYOUT}"#)).readings("t", r#"{"d":[255,235,165]}"#), expected);
    let mut cbor = bench(&format!(r#"format = "cbor", {LAYOUT}"#));
    assert_eq!(cbor.readings("t", b"\xa1\x61d\x43\xff\xeb\xa5"), expected);
}

#[test]
fn bytes_that_are_too_few_or_none_cost_their_field_only() {
    let mut bench = bench(&format!(r#"format = "json", unpack = {{ d = "hex" }}, {LAYOUT}"#));
    assert_eq!(bench.readings("t", r#"{"d":"07"}"#), ["src/low=7"]);
    assert_eq!(bench.out.rejects, [(Reject::Malformed, "1 bytes, too few for `0:i16be`".to_owned())]);
    assert_eq!(bench.readings("t", r#"{"d":""}"#), [""; 0]);
    assert_eq!(bench.out.rejects, []);
    for payload in [r#"{"d":[1,256]}"#, r#"{"d":[1,"x"]}"#, r#"{"d":true}"#, r#"{"d":{}}"#] {
        assert_eq!(bench.rejects(payload), [Reject::NotANumber; 2], "{payload}");
    }
    let mut packed = self::bench(&format!(r#"format = "json", {LAYOUT}"#));
    packed.rejects(r#"{"d":"ffeba5"}"#);
    assert!(packed.out.rejects[0].1.contains("`unpack`"), "{:?}", packed.out.rejects);
}

#[test]
fn a_layout_is_read_from_every_element_and_takes_nothing_from_other_fields() {
    let mut bench = bench(
        r#"format = "json", each = "up[*]", device = "{payload.id}", unpack = { "up[*].d" = "hex" }, others = true,
        fields = { a = { path = "d", bytes = "0:u8" }, b = { path = "d", bytes = "1:u8" } }"#
            .replace('\n', " ")
            .as_str(),
    );
    let readings = bench.readings("t", r#"{"up":[{"id":"x","d":"0102","n":9},{"id":"y","d":"0304"}]}"#);
    assert_eq!(readings, ["src/x/a=1", "src/y/a=3", "src/x/b=2", "src/y/b=4", "src/x/n=9"]);
}
