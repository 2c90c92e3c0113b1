//! A file without mistakes, parsed a piece at a time.
//!
//! Owns where a file may be cut, and when the pieces mean what the whole does. The parser takes fifteen to twenty times a
//! text's size while it works; a gateway that reads its 2,000 alarms again, beside everything else it does, should not
//! need that. Never says what is wrong: whatever is not plain is left to [`super::syntax`], which parses the whole.

use std::collections::HashMap;
use std::ops::Range;

use toml::de::DeTable;

use super::tree::{Data, Entry, Node, copy_table};

/// What a piece holds at least, bytes, unless it is the last: small against the tree that is made of it.
const PIECE_BYTES_MIN: usize = 16 << 10;

/// The tree of a text; `None` when a piece cannot be parsed, or the pieces could mean something else together.
pub fn parse(text: &str, file: usize) -> Option<Vec<Entry>> {
    let mut whole: Vec<Entry> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for piece in pieces(text) {
        let table = DeTable::parse(text.get(piece.clone())?).ok()?;
        for entry in copy_table(table.get_ref(), file, piece.start) {
            match places.get(&entry.name) {
                Some(place) => extend(&mut whole[*place], entry, text)?,
                None => {
                    places.insert(entry.name.clone(), whole.len());
                    whole.push(entry);
                }
            }
        }
    }
    Some(whole)
}

/// Where the pieces lie. Each but the first begins with a heading `[[name]]`, which is a new entry of a list wherever it
/// stands. One that lies within a text of many lines, or within an open bracket, is none; but then that text or
/// bracket is open at the end of the piece before, which does not parse.
fn pieces(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = 0..text.len();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = rest.start;
        let mut at = start;
        rest.start = loop {
            at += text[at..].find("\n[[").map_or(text.len() - at, |found| found + 1);
            if at == text.len() || (at - start >= PIECE_BYTES_MIN && is_heading(&text[at..])) {
                break at;
            }
        };
        Some(start..rest.start)
    })
}

/// Whether a text begins with `[[name]]`, of one bare name.
fn is_heading(text: &str) -> bool {
    let Some(name) = text.strip_prefix("[[") else { return false };
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    rest.len() < name.len() && rest.starts_with("]]")
}

/// Adds the entries of a list by headings to those of an earlier piece. Anything else that is there twice is a mistake,
/// or is put together by rules that are the parser's.
fn extend(known: &mut Entry, more: Entry, text: &str) -> Option<()> {
    let by_headings = |entry: &Entry| text[..entry.key.start].ends_with("[[");
    if !by_headings(known) || !by_headings(&more) {
        return None;
    }
    let (Node { data: Data::List(known), .. }, Node { data: Data::List(more), .. }) = (&mut known.value, more.value)
    else {
        return None;
    };
    known.extend(more);
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The whole at once, as the parser has it.
    fn whole(text: &str) -> Vec<Entry> {
        copy_table(DeTable::parse(text).unwrap().get_ref(), 3, 0)
    }

    fn blocks(name: &str, count: usize) -> String {
        (0..count).map(|n| format!("[[{name}]] # {name} {n}\nname = \"n{n}\"\nlist = [\"ä\", {n}]\n\n")).collect()
    }

    #[test]
    fn pieces_make_the_tree_of_the_whole_with_the_same_places() {
        let text = "[gateway]\nid = \"gw1\"\n".to_owned()
            + &blocks("source", 700)
            + "[[source.unit]]\nid = 7\n[source.unit.deep]\na.b = 1\n"
            + &blocks("alarm", 1_500)
            + "[upstream]\nurl = \"mqtts://broker\"\n"
            + &blocks("source", 400);
        assert!(pieces(&text).count() > 4);
        assert_eq!(pieces(&text).map(|piece| piece.len()).sum::<usize>(), text.len());
        assert_eq!(format!("{:?}", parse(&text, 3).unwrap()), format!("{:?}", whole(&text)));
    }

    #[test]
    fn a_heading_within_a_text_or_a_bracket_cuts_nothing_silently() {
        let filler = "-".repeat(PIECE_BYTES_MIN);
        for (open, close) in [("help = '''", "'''"), ("help = \"\"\"", "x = 1\n\"\"\""), ("list = [ #", "]")] {
            let text = format!("[[source]]\n{open}{filler}\n[[alarm]]\n{close}\n");
            assert_eq!(pieces(&text).count(), 2);
            assert!(parse(&text, 3).is_none(), "{open}");
        }
    }

    #[test]
    fn what_only_the_whole_can_judge_is_left_to_it() {
        let long = blocks("alarm", 700);
        for (before, after) in [
            ("[gateway]\nid = \"a\"\n", "[[alarm]]\n[gateway]\nid = \"b\"\n"),
            ("alarm = []\n", ""),
            ("[source]\n", "[[source]]\n"),
            ("[[source]]\nname = \"a\"\n", "[[alarm]]\n[source.decode]\nformat = \"json\"\n"),
            ("[alarm.x]\n", ""),
        ] {
            // What stands before makes a piece of its own.
            let filler = format!("# {}\n", "-".repeat(PIECE_BYTES_MIN));
            let text = format!("{before}{filler}{long}{after}");
            assert!(parse(&text, 3).is_none(), "{before}...{after}");
        }
    }
}
