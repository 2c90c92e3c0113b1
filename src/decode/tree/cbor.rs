//! CBOR (RFC 8949) as a [`Tree`].
//!
//! Numbers as keys become texts ("-2"), tags are read over, bytes stay bytes, `undefined` is null. Lengths are believed
//! only as far as there are bytes, and nothing is set aside for them beforehand.

use super::{Budget, DEPTH_MAX, Tree, too_many};

/// Most tags around one value.
const TAGS_MAX: usize = 8;

/// Most containers read over inside each other beyond the kept depth; each takes some bytes of a list.
const SKIPPED_DEPTH_MAX: usize = 1 << 20;

/// Reads bytes that are one CBOR item.
pub(in crate::decode) fn read(bytes: &[u8]) -> Result<Tree, String> {
    let mut reader = Reader { bytes, at: 0, budget: Budget::new() };
    let tree = reader.item(0)?.ok_or("a break where a value was expected")?;
    if reader.at < bytes.len() {
        return Err(format!("{} bytes behind the CBOR item", bytes.len() - reader.at));
    }
    Ok(tree)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    budget: Budget,
}

/// The first bytes of an item.
struct Head {
    major: u8,
    info: u8,
    /// `None`: of indefinite length.
    argument: Option<u64>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("ends inside an item, at byte {}", self.bytes.len()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, String> {
        let at = self.at;
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let bytes = self.take(1 << (info - 24))?;
                Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            }
            31 if !matches!(major, 0 | 1 | 6) => None,
            _ => return Err(format!("byte {at} begins no CBOR item")),
        };
        Ok(Head { major, info, argument })
    }

    /// An item; `None` for the break that ends an item of indefinite length.
    fn item(&mut self, depth: usize) -> Result<Option<Tree>, String> {
        let mut head = self.head()?;
        let mut tags = 0;
        while head.major == 6 {
            tags += 1;
            if tags > TAGS_MAX {
                return Err(format!("more than {TAGS_MAX} tags around one value"));
            }
            head = self.head()?;
        }
        if !self.budget.take() {
            return Err(too_many());
        }
        let number = head.argument.unwrap_or_default();
        Ok(Some(match (head.major, head.argument) {
            (0, _) => i64::try_from(number).map_or(Tree::Unsigned(number), Tree::Integer),
            (1, _) => i64::try_from(number).map_or(Tree::Real(-1.0 - number as f64), |whole| Tree::Integer(-1 - whole)),
            (2, length) => Tree::Bytes(self.string(2, length)?.into()),
            (3, length) => {
                let text = String::from_utf8(self.string(3, length)?).map_err(|_| "a text that is not UTF-8")?;
                Tree::Text(text.into())
            }
            (4 | 5, length) if depth >= DEPTH_MAX => {
                self.skip(head.major, length)?;
                Tree::Object(Vec::new())
            }
            (4, length) => {
                let mut list = Vec::new();
                while length.is_none_or(|length| (list.len() as u64) < length) {
                    match self.item(depth + 1)? {
                        Some(item) => list.push(item),
                        None if length.is_none() => break,
                        None => return Err("a break inside a list of known length".to_owned()),
                    }
                }
                Tree::List(list)
            }
            (5, length) => {
                let mut object: Vec<(Box<str>, Tree)> = Vec::new();
                while length.is_none_or(|length| (object.len() as u64) < length) {
                    let key = match self.item(depth + 1)? {
                        Some(key) => key.name().unwrap_or_default(),
                        None if length.is_none() => break,
                        None => return Err("a break inside a map of known length".to_owned()),
                    };
                    let value = self.item(depth + 1)?.ok_or("a key without a value")?;
                    object.push((key.into(), value));
                }
                Tree::Object(object)
            }
            (_, None) => return Ok(None),
            _ => simple(head.info, number),
        }))
    }

    /// The bytes of a byte string or a text.
    fn string(&mut self, major: u8, length: Option<u64>) -> Result<Vec<u8>, String> {
        let count = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
        if let Some(length) = length {
            return Ok(self.take(count(length))?.to_vec());
        }
        let mut whole = Vec::new();
        loop {
            let head = self.head()?;
            match (head.major, head.argument) {
                (7, None) => return Ok(whole),
                (piece, Some(length)) if piece == major => whole.extend_from_slice(self.take(count(length))?),
                _ => return Err("a text in pieces that are no texts".to_owned()),
            }
        }
    }

    /// Reads over what a container holds, without recursion.
    fn skip(&mut self, major: u8, length: Option<u64>) -> Result<(), String> {
        let count = |major: u8, length: Option<u64>| length.map(|n| if major == 5 { n.saturating_mul(2) } else { n });
        let mut open = vec![count(major, length)];
        while let Some(left) = open.last_mut() {
            match left {
                Some(0) => {
                    open.pop();
                    continue;
                }
                Some(left) => *left -= 1,
                None => {}
            }
            let unbounded = left.is_none();
            let head = self.head()?;
            match (head.major, head.argument) {
                (2 | 3, length) => {
                    self.string(head.major, length)?;
                }
                (4 | 5, length) if open.len() < SKIPPED_DEPTH_MAX => open.push(count(head.major, length)),
                (4 | 5, _) => return Err("nested too deeply".to_owned()),
                // What a tag stands before comes next and is one item with it.
                (6, _) => {
                    if let Some(Some(left)) = open.last_mut() {
                        *left += 1;
                    }
                }
                (7, None) if unbounded => {
                    open.pop();
                }
                (7, None) => return Err("a break inside an item of known length".to_owned()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn simple(info: u8, number: u64) -> Tree {
    match (info, number) {
        (25, _) => Tree::Real(half(number as u16)),
        (26, _) => Tree::Real(f64::from(f32::from_bits(number as u32))),
        (27, _) => Tree::Real(f64::from_bits(number)),
        (_, 20) => Tree::Bool(false),
        (_, 21) => Tree::Bool(true),
        _ => Tree::Null,
    }
}

/// An IEEE 754 half: sign, five bits of exponent, ten of fraction.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match bits >> 10 & 0x1f {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2_f64.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn halves_pieces_tags_and_numbered_keys_are_read() {
        // {-2: "ab" in pieces, 1: 1(1.5 as a half)}
        let bytes = [0xbf, 0x21, 0x7f, 0x61, b'a', 0x61, b'b', 0xff, 0x01, 0xc1, 0xf9, 0x3e, 0x00, 0xff];
        let tree = read(&bytes).unwrap();
        assert_eq!(tree.get("-2"), Some(&Tree::Text("ab".into())));
        assert_eq!(tree.get("1"), Some(&Tree::Real(1.5)));
        assert_eq!(half(0xc400), -4.0);
        assert_eq!(half(0x0001), 2_f64.powi(-24));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_an_error_and_sets_nothing_aside() {
        for bytes in [
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xa1],
            &[0xff],
            &[0x1c],
            &[],
            &[0x01, 0x01],
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
