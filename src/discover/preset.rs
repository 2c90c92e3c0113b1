//! Sources by presets, for messages whose topics have the shape of one.
//!
//! Owns the text of such a source, and which messages are its. A preset that does not understand any of them is not
//! proposed; what it does not understand is left for the guesses.

use std::collections::{BTreeMap, BTreeSet};

use super::{Heard, Place, SOURCES_MAX, quoted, shape, some, tried};
use crate::config::{pattern, preset};

/// The proposals, each a source's text, and the messages that are left.
pub(super) fn take<'h>(place: &Place, heard: Vec<&'h Heard>) -> (Vec<String>, Vec<&'h Heard>) {
    let mut shapes: BTreeMap<(&'static str, String), usize> = BTreeMap::new();
    for message in &heard {
        let shape = message.topic.as_deref().and_then(|topic| shape::of(topic, &message.payload));
        if let Some(shape) = shape {
            *shapes.entry(shape).or_default() += 1;
        }
    }
    let mut shapes: Vec<_> = shapes.into_iter().collect();
    shapes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let (mut texts, mut left) = (Vec::new(), heard);
    for ((name, base), _) in shapes.into_iter().take(SOURCES_MAX) {
        if let Some((text, rest)) = source(&place.numbered(texts.len()), place, name, &base, &left) {
            texts.push(text);
            left = rest;
        }
    }
    (texts, left)
}

fn source<'h>(
    source: &str,
    place: &Place,
    name: &str,
    base: &str,
    heard: &[&'h Heard],
) -> Option<(String, Vec<&'h Heard>)> {
    let preset = preset::find(name)?;
    let mut body = format!("[[source]]\nname = {}\n{}preset = {}\n", quoted(source), place.keys, quoted(name));
    if base != preset.base {
        body.push_str(&format!("base = {}\n", quoted(base)));
    }
    let loaded = tried::load(&body).ok()?;
    let filters = tried::topics(&loaded);
    let is_for = |heard: &&&Heard| {
        let topic = heard.topic.as_deref().unwrap_or_default();
        filters.iter().any(|filter| pattern::matches(filter, topic))
    };
    let own: Vec<&Heard> = heard.iter().filter(is_for).copied().collect();
    let tried = tried::read(&loaded, own.iter().copied()).ok()?;
    let taken: BTreeSet<*const Heard> = own
        .iter()
        .zip(&tried.taken)
        .filter(|(_, taken)| **taken)
        .map(|(heard, _)| std::ptr::from_ref(*heard))
        .collect();
    let (own, rest): (Vec<&Heard>, Vec<&Heard>) =
        heard.iter().partition(|heard| taken.contains(&std::ptr::from_ref(**heard)));
    let topics: BTreeSet<&str> = own.iter().filter_map(|heard| heard.topic.as_deref()).collect();
    let head = format!(
        "# {} messages on {}: {}.\n# {} of them are readings, the others are passed over. Its sensors, and what they said:\n{}",
        own.len(),
        some(&topics),
        preset.about,
        tried.understood,
        tried.sensors(),
    );
    Some((format!("{head}{body}\n"), rest))
}
