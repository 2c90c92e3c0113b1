//! Bytes that are a list of values, each behind bytes that say what it is: `entries` of `format = "binary"`, and of what
//! `unpack` opens.
//!
//! Owns the walk from entry to entry. The document has a member for each, named by its type as the configuration writes
//! it (`0367`, the second one `0367_2`), which holds the bytes of its value; what stands before the first entry is
//! `head`. Where a type is not declared nobody can say how long its value is: what came before stands, the rest is
//! refused. Bounded by the payload and [`ENTRIES_MAX`].

use std::collections::HashMap;

use super::tree::Tree;
use crate::config::model::{Entries, EntryKind, EntrySize};

/// Most entries of a payload. A LoRaWAN payload has 242 bytes at most; others are bounded all the same.
const ENTRIES_MAX: usize = 1_000;

/// The document, and why it ends before the payload does.
pub(super) fn read(payload: &[u8], entries: &Entries) -> (Tree, Option<String>) {
    let mut members: Vec<(Box<str>, Tree)> = Vec::new();
    let mut times: HashMap<String, usize> = HashMap::new();
    let Some((head, mut rest)) = payload.split_at_checked(entries.head_bytes) else {
        let why = format!("{} bytes, and the first entry is at byte {}", payload.len(), entries.head_bytes);
        return (Tree::Object(members), Some(why));
    };
    if !head.is_empty() {
        members.push(("head".into(), Tree::Bytes(head.into())));
    }
    while !rest.is_empty() {
        let at = payload.len() - rest.len();
        if members.len() > ENTRIES_MAX {
            return (Tree::Object(members), Some(format!("more than {ENTRIES_MAX} entries")));
        }
        match next(rest, &entries.kinds) {
            Ok((name, value, after)) => {
                let count = times.entry(name.clone()).or_insert(0);
                *count += 1;
                let name = if *count == 1 { name } else { format!("{name}_{count}") };
                members.push((name.into(), Tree::Bytes(value.into())));
                rest = after;
            }
            Err(why) => return (Tree::Object(members), Some(format!("{why} at byte {at}"))),
        }
    }
    (Tree::Object(members), None)
}

/// An entry's name and value, and what is behind it.
fn next<'p>(rest: &'p [u8], kinds: &[EntryKind]) -> Result<(String, &'p [u8], &'p [u8]), String> {
    let Some(kind) = kinds.iter().find(|kind| kind.fits(rest)) else {
        let shown: String = rest.iter().take(4).map(|byte| format!("{byte:02x} ")).collect();
        return Err(format!("no declared type fits `{}`", shown.trim_end()));
    };
    let (tag, data) = rest.split_at(kind.digits.len());
    let name = match kind.is_open() {
        true => tag.iter().map(|byte| format!("{byte:02x}")).collect(),
        false => kind.name.clone(),
    };
    let cut = match kind.size {
        EntrySize::Bytes(count) => data.split_at_checked(count),
        EntrySize::Rest => Some((data, &data[data.len()..])),
        EntrySize::Counted { bytes, big } => data.split_at_checked(bytes).and_then(|(count, data)| {
            let push = |value: usize, byte: &u8| value << 8 | usize::from(*byte);
            let count = if big { count.iter().fold(0, push) } else { count.iter().rev().fold(0, push) };
            data.split_at_checked(count)
        }),
    };
    let (value, after) = cut.ok_or_else(|| format!("the value of `{name}` is cut off"))?;
    Ok((name, value, after))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn entries(kinds: &[(&str, EntrySize)], head_bytes: usize) -> Entries {
        let kinds = kinds.iter().map(|(name, size)| EntryKind::new(name, *size).unwrap());
        Entries::new(kinds.collect(), head_bytes)
    }

    fn bytes(tree: &Tree, name: &str) -> Option<Vec<u8>> {
        match tree.get(name)? {
            Tree::Bytes(bytes) => Some(bytes.to_vec()),
            _ => None,
        }
    }

    #[test]
    fn entries_are_named_by_their_type_and_the_second_of_one_is_counted() {
        let declared = entries(
            &[
                ("0175", EntrySize::Bytes(1)),
                ("0367", EntrySize::Bytes(2)),
                ("20 CE", EntrySize::Rest),
                ("ff0b", EntrySize::Counted { bytes: 1, big: true }),
            ],
            1,
        );
        let payload = [9, 1, 0x75, 100, 3, 0x67, 0x10, 1, 3, 0x67, 0x11, 1, 0xff, 0x0b, 2, 7, 8, 0x20, 0xce, 5, 6];
        let (tree, fault) = read(&payload, &declared);
        assert_eq!(fault, None);
        assert_eq!(bytes(&tree, "head"), Some(vec![9]));
        assert_eq!(bytes(&tree, "0175"), Some(vec![100]));
        assert_eq!(bytes(&tree, "0367"), Some(vec![0x10, 1]));
        assert_eq!(bytes(&tree, "0367_2"), Some(vec![0x11, 1]));
        assert_eq!(bytes(&tree, "ff0b"), Some(vec![7, 8]));
        assert_eq!(bytes(&tree, "20CE"), Some(vec![5, 6]));
    }

    #[test]
    fn the_most_particular_type_counts_and_any_digit_is_named_by_what_is_there() {
        let declared =
            entries(&[("??67", EntrySize::Bytes(2)), ("0467", EntrySize::Bytes(1)), ("0?", EntrySize::Bytes(1))], 0);
        let (tree, fault) = read(&[0x04, 0x67, 1, 0xA3, 0x67, 2, 3, 0x0B, 4], &declared);
        assert_eq!(fault, None);
        assert_eq!(bytes(&tree, "0467"), Some(vec![1]));
        assert_eq!(bytes(&tree, "a367"), Some(vec![2, 3]));
        assert_eq!(bytes(&tree, "0b"), Some(vec![4]));
    }

    #[test]
    fn what_is_unknown_or_cut_off_ends_the_list_and_what_came_before_stands() {
        let declared = entries(&[("01", EntrySize::Bytes(2)), ("02", EntrySize::Counted { bytes: 2, big: false })], 0);
        for (rest, words) in [
            (&[0x77, 1, 2][..], "`77 01 02` at byte 3"),
            (&[1, 2], "`01` is cut off at byte 3"),
            (&[2, 5, 0, 1], "`02` is cut off"),
            (&[2, 5], "`02` is cut off"),
        ] {
            let (tree, fault) = read(&[&[1, 0xAA, 0xBB], rest].concat(), &declared);
            assert_eq!(bytes(&tree, "01"), Some(vec![0xAA, 0xBB]));
            assert!(fault.as_deref().unwrap().contains(words), "{fault:?}");
        }
        assert!(read(&[], &Entries::new(declared.kinds, 1)).1.is_some());
    }

    proptest! {
        #[test]
        fn no_payload_panics_or_goes_on_for_ever(payload in prop::collection::vec(any::<u8>(), 0..5000)) {
            let declared = entries(
                &[("??", EntrySize::Bytes(0)), ("01", EntrySize::Bytes(3)), ("02", EntrySize::Counted { bytes: 2, big: true })],
                2,
            );
            let (Tree::Object(members), _) = read(&payload, &declared) else { panic!("no object") };
            prop_assert!(members.len() <= ENTRIES_MAX + 2);
        }
    }
}
