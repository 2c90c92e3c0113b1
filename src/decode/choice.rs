//! Which `decode` of a list a message is for, by what it holds: `when`, and a pattern that must fit.
//!
//! Owns the comparison. What a message does not have is no match, and a payload that is broken fits nothing but the last:
//! that one tells what is wrong with it.

use super::layout::{self, Place};
use super::path::{self, Step};
use super::sink::device_text;
use super::tree::{from_cbor, from_json};
use crate::config::model::{self, Format};

/// Where to look.
#[derive(Debug)]
enum Looks {
    Json(Vec<(Vec<Step>, Vec<String>)>),
    Cbor(Vec<(Vec<Step>, Vec<String>)>),
    Binary(Vec<(Place, Vec<String>)>),
    Pattern(regex_lite::Regex),
}

/// What a message must hold; nothing: it may hold anything.
#[derive(Debug)]
pub(super) struct Choice(Option<Looks>);

impl Choice {
    pub(super) fn new(decode: &model::Decode) -> Result<Self, String> {
        let when = &decode.reach.when;
        let steps = || {
            let step = |(path, values): &(String, Vec<String>)| Ok((path::parse(path)?, values.clone()));
            when.iter().map(step).collect::<Result<Vec<_>, String>>()
        };
        Ok(Self(match &decode.format {
            Format::Pattern { pattern } => {
                Some(Looks::Pattern(regex_lite::Regex::new(pattern).map_err(|error| error.to_string())?))
            }
            _ if when.is_empty() => None,
            Format::Cbor => Some(Looks::Cbor(steps()?)),
            Format::Binary => {
                let place = |(path, values): &(String, Vec<String>)| Ok((layout::parse(path)?, values.clone()));
                Some(Looks::Binary(when.iter().map(place).collect::<Result<_, String>>()?))
            }
            _ => Some(Looks::Json(steps()?)),
        }))
    }

    /// Whether a message is for this one; the last of a list has to say what is wrong with a text that no pattern fits.
    pub(super) fn takes(&self, payload: &[u8], is_last: bool) -> bool {
        let text = || std::str::from_utf8(payload).ok();
        match &self.0 {
            None => true,
            Some(Looks::Pattern(regex)) => is_last || text().is_some_and(|text| regex.is_match(text)),
            Some(Looks::Json(when)) => {
                text().and_then(|text| from_json(text).ok()).is_some_and(|tree| fits(when, &tree))
            }
            Some(Looks::Cbor(when)) => from_cbor(payload).is_ok_and(|tree| fits(when, &tree)),
            Some(Looks::Binary(when)) => when.iter().all(|(place, values)| {
                let found = place.read(payload).and_then(|raw| device_text(&raw));
                found.is_some_and(|found| values.contains(&found))
            }),
        }
    }
}

fn fits(when: &[(Vec<Step>, Vec<String>)], tree: &super::tree::Tree) -> bool {
    when.iter().all(|(steps, values)| {
        let found = super::select::sibling(steps, tree, &[]).and_then(super::tree::Tree::name);
        found.is_some_and(|found| values.contains(&found))
    })
}
