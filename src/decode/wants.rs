//! What a payload is asked for: the fields, the time, what goes along and what names the device, by their paths.
//!
//! Owns the list of them, and how the parts of a time and the names of attributes follow from their paths.

use std::sync::Arc;

use super::path;
use super::sink::{Slot, Want};
use crate::config::model::{self, TemplatePart};

/// All values that a payload is asked for.
pub(super) fn wants(decode: &model::Decode) -> Vec<Want> {
    let want = |path: &str, slot| Want { path: path.to_owned(), slot };
    let mut wants: Vec<Want> =
        decode.fields.iter().enumerate().map(|(index, field)| want(&field.path, Slot::Field(index))).collect();
    match decode.ts_field.as_deref().map(time_parts).as_deref() {
        None => {}
        Some([whole]) => wants.push(want(whole, Slot::Time)),
        // CSV joins its columns itself: their names may hold a `+`.
        Some(_) if matches!(decode.format, model::Format::Csv { .. }) => {
            wants.extend(decode.ts_field.iter().map(|path| want(path, Slot::Time)));
        }
        Some(parts) => wants.extend(parts.iter().enumerate().map(|(at, path)| want(path, Slot::TimePart(at)))),
    }
    wants.extend(decode.carry.iter().enumerate().map(|(index, path)| want(path, Slot::Carry(index))));
    let parts = decode.device.0.iter().filter_map(|part| match part {
        TemplatePart::Payload(path) => Some(path),
        _ => None,
    });
    wants.extend(parts.enumerate().map(|(index, path)| want(path, Slot::Device(index))));
    wants
}

/// The places of a time: "date+time" are two. A path with quotes is one.
pub(super) fn time_parts(path: &str) -> Vec<&str> {
    match path.contains('"') {
        true => vec![path],
        false => path.split('+').map(str::trim).filter(|part| !part.is_empty()).collect(),
    }
}

/// What the carried fields are called in the event: the last part of their path, or all of it where that is not unique.
pub(super) fn attribute_names(decode: &model::Decode) -> Result<Vec<Arc<str>>, String> {
    let has_paths = matches!(
        decode.format,
        model::Format::Json
            | model::Format::Cbor
            | model::Format::Query
            | model::Format::Influx
            | model::Format::Pattern { .. }
            | model::Format::CayenneLpp
            | model::Format::BtHome
    ) || decode.format == model::Format::Binary && decode.reach.entries.is_some();
    if !has_paths {
        return Ok(decode.carry.clone());
    }
    let mut names: Vec<Arc<str>> = Vec::new();
    for path in &decode.carry {
        names.push(path::last_name(&path::parse(path)?).into());
    }
    let unique = |index: usize| names.iter().filter(|name| **name == names[index]).count() == 1;
    let finished = decode.carry.iter().enumerate();
    Ok(finished.map(|(index, path)| Arc::clone(if unique(index) { &names[index] } else { path })).collect())
}

/// Wants gathered by name, for formats that know fields by one.
pub(super) fn by_name(wants: &[Want]) -> Vec<(String, Vec<Slot>)> {
    let mut names: Vec<(String, Vec<Slot>)> = Vec::new();
    for want in wants {
        match names.iter_mut().find(|(name, _)| *name == want.path) {
            Some((_, slots)) => slots.push(want.slot),
            None => names.push((want.path.clone(), vec![want.slot])),
        }
    }
    names
}
