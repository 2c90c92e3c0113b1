//! Functions of a value, alone or with one argument.

use super::super::packed::base64;
use super::super::tree::{Tree, from_json};
use super::super::value::{Number, parse};
use super::ast::Op;
use super::eval::{Run, Stop};
use super::operators::{binary, split, sum};
use super::value::{as_f64, compare, is_true, kind, number, weight, written};

pub(super) fn entries(run: &mut Run, tree: &Tree) -> Result<Tree, Stop> {
    let Tree::Object(members) = tree else {
        return Err(Stop::error(format!("{} has no entries", kind(tree))));
    };
    let entry = |run: &mut Run, key: &str, value: &Tree| {
        let value = run.copy(value)?;
        Ok(Tree::Object(vec![("key".into(), Tree::Text(key.into())), ("value".into(), value)]))
    };
    Ok(Tree::List(members.iter().map(|(key, value)| entry(run, key, value)).collect::<Result<_, Stop>>()?))
}

pub(super) fn from_entries(tree: &Tree) -> Result<Tree, Stop> {
    let Tree::List(items) = tree else {
        return Err(Stop::error(format!("{} is no list of entries", kind(tree))));
    };
    let mut members: Vec<(Box<str>, Tree)> = Vec::new();
    for item in items {
        let key = ["key", "k", "name"].iter().find_map(|key| item.get(key)).map(written);
        let value = ["value", "v"].iter().find_map(|key| item.get(key)).cloned().unwrap_or(Tree::Null);
        let key = key.ok_or_else(|| Stop::error("an entry without a key"))?;
        members.push((key.into(), value));
    }
    Ok(Tree::Object(members))
}

fn wrong(name: &str, tree: &Tree) -> Stop {
    Stop::error(format!("`{name}` has no meaning for {}", kind(tree)))
}

/// Functions of a value and one argument.
pub(super) fn with_argument(run: &mut Run, name: &str, input: &Tree, argument: &Tree) -> Result<Tree, Stop> {
    if let Tree::Text(text) = input {
        run.charge_text(text.len())?;
    }
    Ok(match (name, input, argument) {
        ("has", Tree::Object(_), Tree::Text(key)) => Tree::Bool(input.get(key).is_some()),
        ("has", Tree::List(items), index) => {
            Tree::Bool(as_f64(index).is_some_and(|index| index >= 0.0 && index < items.len() as f64))
        }
        ("startswith", Tree::Text(text), Tree::Text(start)) => Tree::Bool(text.starts_with(&**start)),
        ("endswith", Tree::Text(text), Tree::Text(end)) => Tree::Bool(text.ends_with(&**end)),
        ("contains", Tree::Text(text), Tree::Text(part)) => Tree::Bool(text.contains(&**part)),
        ("contains", Tree::List(items), Tree::List(parts)) => {
            run.charge(items.len().saturating_mul(parts.iter().map(weight).sum()))?;
            Tree::Bool(parts.iter().all(|part| items.iter().any(|item| compare(item, part).is_eq())))
        }
        ("ltrimstr", Tree::Text(text), Tree::Text(start)) => {
            Tree::Text(text.strip_prefix(&**start).unwrap_or(text).into())
        }
        ("rtrimstr", Tree::Text(text), Tree::Text(end)) => Tree::Text(text.strip_suffix(&**end).unwrap_or(text).into()),
        ("ltrimstr" | "rtrimstr", other, _) => run.copy(other)?,
        ("index", Tree::Text(text), Tree::Text(part)) => {
            text.find(&**part).map_or(Tree::Null, |at| number(text[..at].chars().count() as f64))
        }
        ("split", Tree::Text(text), Tree::Text(by)) => split(run, text, by)?,
        ("join", Tree::List(items), Tree::Text(by)) => {
            let mut out = String::new();
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(by);
                }
                if !matches!(item, Tree::Null) {
                    out.push_str(&written(item));
                }
                run.charge_text(out.len() / (index + 1) + by.len())?;
            }
            Tree::Text(out.into())
        }
        _ => return Err(wrong(name, input)),
    })
}

/// Functions of a value alone.
pub(super) fn plain(run: &mut Run, name: &str, input: &Tree) -> Result<Tree, Stop> {
    let text = |run: &mut Run, made: String| run.charge_text(made.len()).map(|()| Tree::Text(made.into()));
    let sorted = |run: &mut Run, items: &[Tree]| {
        run.charge(items.iter().map(weight).sum::<usize>().saturating_mul(16))?;
        let mut sorted = items.iter().map(|item| run.copy(item)).collect::<Result<Vec<_>, Stop>>()?;
        sorted.sort_by(compare);
        Ok::<_, Stop>(sorted)
    };
    match input {
        Tree::Text(text) => run.charge_text(text.len())?,
        Tree::List(items) if matches!(name, "all" | "any") => run.charge(items.len())?,
        _ => {}
    }
    let numeric =
        |apply: fn(f64) -> f64| as_f64(input).map(|value| number(apply(value))).ok_or_else(|| wrong(name, input));
    Ok(match (name, input) {
        ("not", value) => Tree::Bool(!is_true(value)),
        ("now", _) => Tree::Real(run.arrival.0 as f64 / 1e9),
        ("type", value) => Tree::Text(kind(value).into()),
        ("floor", _) => numeric(f64::floor)?,
        ("ceil", _) => numeric(f64::ceil)?,
        ("round", _) => numeric(f64::round)?,
        ("abs", _) => numeric(f64::abs)?,
        ("sqrt", _) => numeric(f64::sqrt)?,
        ("length", Tree::Null) => Tree::Integer(0),
        ("length", Tree::Text(text)) => number(text.chars().count() as f64),
        ("length", Tree::List(items)) => number(items.len() as f64),
        ("length", Tree::Object(members)) => number(members.len() as f64),
        ("length", _) => numeric(f64::abs)?,
        ("tonumber", Tree::Text(text)) => match parse(text, false) {
            Some(Number::Whole(whole)) => Tree::Integer(whole),
            Some(Number::Real(value)) => Tree::Real(value),
            None => return Err(Stop::error("a text that is no number")),
        },
        ("tonumber", value) if as_f64(value).is_some() => run.copy(value)?,
        ("tostring" | "@text", value) => text(run, written(value))?,
        ("tojson" | "@json", value) => text(run, value.to_json().to_string())?,
        ("fromjson", Tree::Text(json)) => {
            run.charge_text(json.len().saturating_mul(4))?;
            from_json(json).map_err(Stop::error)?
        }
        ("@base64d", Tree::Text(packed)) => {
            let bytes = base64(packed.trim()).ok_or_else(|| Stop::error("a text that is no base64"))?;
            text(run, String::from_utf8_lossy(&bytes).into_owned())?
        }
        ("trim", Tree::Text(value)) => text(run, value.trim().to_owned())?,
        ("ascii_downcase", Tree::Text(value)) => text(run, value.to_ascii_lowercase())?,
        ("ascii_upcase", Tree::Text(value)) => text(run, value.to_ascii_uppercase())?,
        ("implode", Tree::List(items)) => {
            let char_of = |item: &Tree| as_f64(item).and_then(|code| char::from_u32(code as u32));
            text(run, items.iter().map(char_of).collect::<Option<String>>().ok_or_else(|| wrong(name, input))?)?
        }
        ("keys" | "keys_unsorted", Tree::Object(members)) => {
            run.charge(members.len())?;
            let mut keys: Vec<Tree> = members.iter().map(|(key, _)| Tree::Text(key.clone())).collect();
            if name == "keys" {
                keys.sort_by(compare);
            }
            Tree::List(keys)
        }
        ("keys" | "keys_unsorted", Tree::List(items)) => {
            run.charge(items.len())?;
            Tree::List((0..items.len()).map(|index| number(index as f64)).collect())
        }
        ("add", Tree::List(items)) => sum(run, items)?,
        ("add", Tree::Object(members)) => {
            members.iter().try_fold(Tree::Null, |sum, (_, item)| binary(run, Op::Add, &sum, item))?
        }
        ("all", Tree::List(items)) => Tree::Bool(items.iter().all(is_true)),
        ("any", Tree::List(items)) => Tree::Bool(items.iter().any(is_true)),
        ("to_entries", value) => entries(run, value)?,
        ("from_entries", value) => {
            let copied = run.copy(value)?;
            from_entries(&copied)?
        }
        ("reverse", Tree::List(items)) => {
            Tree::List(items.iter().rev().map(|item| run.copy(item)).collect::<Result<_, _>>()?)
        }
        ("sort", Tree::List(items)) => Tree::List(sorted(run, items)?),
        ("unique", Tree::List(items)) => {
            let mut items = sorted(run, items)?;
            items.dedup_by(|a, b| compare(a, b).is_eq());
            Tree::List(items)
        }
        ("min", Tree::List(items)) => sorted(run, items)?.into_iter().next().unwrap_or(Tree::Null),
        ("max", Tree::List(items)) => sorted(run, items)?.pop().unwrap_or(Tree::Null),
        ("flatten", Tree::List(items)) => {
            let mut flat = Vec::new();
            let mut rest: Vec<&Tree> = items.iter().rev().collect();
            while let Some(item) = rest.pop() {
                run.charge(1)?;
                match item {
                    Tree::List(inner) => rest.extend(inner.iter().rev()),
                    other => flat.push(run.copy(other)?),
                }
            }
            Tree::List(flat)
        }
        _ => return Err(wrong(name, input)),
    })
}
