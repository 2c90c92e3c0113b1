//! Texts that hold a document: JSON in a string, base64, hex.
//!
//! Owns the unpacking of one value in place. Base64 is taken in both alphabets, with and without padding.

use std::borrow::Cow;

use super::records::scalar;
use super::tree::{Tree, from_cbor, from_json};
use super::{bthome, lpp};
use crate::config::model::Packing;

/// What a packed value holds.
pub(super) enum Opened {
    /// There is nothing to unpack.
    Nothing,
    Tree(Tree),
    /// Bytes that are a list of values, whose types the configuration declares.
    Entries(Vec<u8>),
}

/// Unpacks a value; an error says how it is broken.
pub(super) fn open(value: &Tree, packing: Packing, decimal_comma: bool) -> Result<Opened, String> {
    let is_hex = matches!(
        packing,
        Packing::Hex | Packing::Lpp { hex: true } | Packing::BtHome { hex: true } | Packing::Entries { hex: true }
    );
    let digits;
    let text = match value {
        Tree::Text(text) => text.trim(),
        // Hexadecimal digits in a text without quotes, that happen to be decimal ones.
        Tree::Integer(whole) if is_hex && *whole >= 0 => {
            digits = whole.to_string();
            &digits
        }
        _ => return Ok(Opened::Nothing),
    };
    if text.is_empty() {
        return Ok(Opened::Nothing);
    }
    let bytes = |bytes: Option<Vec<u8>>, what: &str| bytes.ok_or_else(|| format!("a text that should be {what}"));
    Ok(Opened::Tree(match packing {
        Packing::Json => from_json(text).map_err(|why| format!("the JSON inside a text: {why}"))?,
        Packing::List(sign) => Tree::List(text.split(sign).map(|part| scalar(part.trim(), decimal_comma)).collect()),
        Packing::Base64 => list(&bytes(base64(text), "base64")?),
        Packing::Hex => list(&bytes(hex(text), "hex")?),
        Packing::Cbor => {
            from_cbor(&bytes(base64(text), "base64")?).map_err(|why| format!("the CBOR inside a text: {why}"))?
        }
        Packing::Lpp { hex: true } => lpp::read(&bytes(hex(text), "hex")?)?,
        Packing::Lpp { hex: false } => lpp::read(&bytes(base64(text), "base64")?)?,
        Packing::BtHome { hex: true } => bthome::read(&bytes(hex(text), "hex")?)?,
        Packing::Entries { hex: true } => return Ok(Opened::Entries(bytes(hex(text), "hex")?)),
        Packing::Entries { hex: false } => return Ok(Opened::Entries(bytes(base64(text), "base64")?)),
        Packing::BtHome { hex: false } => bthome::read(&bytes(base64(text), "base64")?)?,
    }))
}

/// Bytes as a list of numbers, so that paths reach each: `frm_payload[2]`.
fn list(bytes: &[u8]) -> Tree {
    Tree::List(bytes.iter().map(|byte| Tree::Integer(i64::from(*byte))).collect())
}

/// The bytes that a value is; an error says what it is instead.
pub(super) fn bytes_of(value: &Tree) -> Result<Cow<'_, [u8]>, String> {
    match value {
        Tree::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        Tree::List(items) => {
            let byte = |item: &Tree| match item {
                Tree::Integer(byte) => u8::try_from(*byte).ok(),
                _ => None,
            };
            let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
            bytes.map(Cow::Owned).ok_or_else(|| "a list of other things than bytes".to_owned())
        }
        Tree::Text(_) => Err("a text where bytes are wanted: `unpack` makes them of base64 or hex".to_owned()),
        _ => Err("no bytes".to_owned()),
    }
}

/// The bytes of a base64 text.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // Six bits left over are no byte.
    (count < 6).then_some(out)
}

/// The bytes of a hex text; blanks, `:` and a leading `0x` are allowed.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits: Option<Vec<u32>> = text.chars().filter(|c| !matches!(c, ' ' | ':')).map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).filter_map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_and_hex_are_read_in_all_their_spellings() {
        assert_eq!(base64("AXVkA2f/7w=="), Some(vec![0x01, 0x75, 0x64, 0x03, 0x67, 0xff, 0xef]));
        assert_eq!(base64("A2f_7w"), Some(vec![0x03, 0x67, 0xff, 0xef]));
        assert_eq!(base64("A"), None);
        assert_eq!(base64("A*=="), None);
        assert_eq!(hex("01 ff:0A"), Some(vec![1, 255, 10]));
        assert_eq!(hex("0x0aff"), Some(vec![10, 255]));
        assert_eq!(hex("012"), None);
    }
}
