//! The functions of the language.

use super::super::tree::Tree;
use super::ast::Ast;
use super::eval::{Out, Run, Stop};
use super::operators::sum;
use super::plain::{entries, from_entries, plain, with_argument};
use super::scope::Scope;
use super::value::{Value, as_f64, compare, each, index_of, is_true, kind, number, recurse};

/// Names and how many arguments they take.
const FUNCTIONS: &[(&str, &[usize])] = &[
    ("abs", &[0]),
    ("add", &[0, 1]),
    ("all", &[0, 1]),
    ("any", &[0, 1]),
    ("arrays", &[0]),
    ("ascii_downcase", &[0]),
    ("ascii_upcase", &[0]),
    ("booleans", &[0]),
    ("ceil", &[0]),
    ("contains", &[1]),
    ("empty", &[0]),
    ("endswith", &[1]),
    ("error", &[0, 1]),
    ("first", &[0, 1]),
    ("flatten", &[0]),
    ("floor", &[0]),
    ("from_entries", &[0]),
    ("fromjson", &[0]),
    ("has", &[1]),
    ("implode", &[0]),
    ("index", &[1]),
    ("isvalid", &[1]),
    ("iterables", &[0]),
    ("join", &[1]),
    ("keys", &[0]),
    ("keys_unsorted", &[0]),
    ("last", &[0, 1]),
    ("length", &[0]),
    ("limit", &[2]),
    ("ltrimstr", &[1]),
    ("map", &[1]),
    ("map_values", &[1]),
    ("max", &[0]),
    ("max_by", &[1]),
    ("min", &[0]),
    ("min_by", &[1]),
    ("not", &[0]),
    ("now", &[0]),
    ("nulls", &[0]),
    ("numbers", &[0]),
    ("objects", &[0]),
    ("pow", &[2]),
    ("range", &[1, 2]),
    ("recurse", &[0]),
    ("reverse", &[0]),
    ("round", &[0]),
    ("rtrimstr", &[1]),
    ("scalars", &[0]),
    ("select", &[1]),
    ("sort", &[0]),
    ("sort_by", &[1]),
    ("split", &[1]),
    ("sqrt", &[0]),
    ("startswith", &[1]),
    ("strings", &[0]),
    ("to_entries", &[0]),
    ("tojson", &[0]),
    ("tonumber", &[0]),
    ("tostring", &[0]),
    ("trim", &[0]),
    ("type", &[0]),
    ("unique", &[0]),
    ("values", &[0]),
    ("with_entries", &[1]),
    ("@base64d", &[0]),
    ("@json", &[0]),
    ("@text", &[0]),
];

/// Whether there is such a function.
pub(super) fn check(name: &str, arguments: usize) -> Result<(), String> {
    match FUNCTIONS.iter().find(|(known, _)| *known == name) {
        None => Err(format!("there is no function `{name}` here")),
        Some((_, counts)) if counts.contains(&arguments) => Ok(()),
        Some((_, counts)) => Err(format!("`{name}` takes {} arguments, not {arguments}", counts[0])),
    }
}

<<<<<<< HEAD
/// A number in its plainest form.
pub(super) fn number(number: f64) -> Tree {
    // Whole numbers below 2^53 are exact in both forms.
    if number.fract() == 0.0 && number.abs() < 9e15 { Tree::Integer(number as i64) } else { Tree::Real(number) }
}

/// A value on the number line.
pub(super) fn as_f64(tree: &Tree) -> Option<f64> {
    match tree {
        Tree::Integer(whole) => Some(*whole as f64),
        Tree::Unsigned(whole) => Some(*whole as f64),
        Tree::Real(number) => Some(*number),
        _ => None,
    }
}

/// What a person calls a value.
pub(super) fn kind(tree: &Tree) -> &'static str {
    match tree {
        Tree::Null => "null",
        Tree::Bool(_) => "boolean",
        Tree::Integer(_) | Tree::Unsigned(_) | Tree::Real(_) => "number",
        Tree::Text(_) | Tree::Bytes(_) => "string",
        Tree::List(_) => "array",
        Tree::Object(_) => "object",
    }
}

/// A value as a text: texts as they are, all else as JSON.
pub(super) fn written(tree: &Tree) -> String {
    match tree {
        Tree::Text(text) => text.to_string(),
        other => other.to_json().to_string(),
    }
}

/// An operator on two values.
pub(super) fn binary(run: &mut Run, op: Op, left: &Tree, right: &Tree) -> Result<Tree, Stop> {
    let order = || compare(left, right);
    match op {
        Op::Equal => return Ok(Tree::Bool(order().is_eq())),
        Op::NotEqual => return Ok(Tree::Bool(order().is_ne())),
        Op::Less => return Ok(Tree::Bool(order().is_lt())),
        Op::LessOrEqual => return Ok(Tree::Bool(order().is_le())),
        Op::Greater => return Ok(Tree::Bool(order().is_gt())),
        Op::GreaterOrEqual => return Ok(Tree::Bool(order().is_ge())),
        _ => {}
    }
    if let (Tree::Integer(a), Tree::Integer(b)) = (left, right) {
        let exact = match op {
            Op::Add => a.checked_add(*b),
            Op::Subtract => a.checked_sub(*b),
            Op::Multiply => a.checked_mul(*b),
            Op::Remainder => a.checked_rem(*b),
            _ => a.checked_rem(*b).filter(|rest| *rest == 0).and_then(|_| a.checked_div(*b)),
        };
        if let Some(exact) = exact {
            return Ok(Tree::Integer(exact));
        }
    }
    if let (Some(a), Some(b)) = (as_f64(left), as_f64(right)) {
        return match op {
            Op::Add => Ok(number(a + b)),
            Op::Subtract => Ok(number(a - b)),
            Op::Multiply => Ok(number(a * b)),
            Op::Divide | Op::Remainder if b == 0.0 => Err(Stop::error("a division by zero")),
            Op::Divide => Ok(number(a / b)),
            _ => Ok(number(a.trunc() % b.trunc())).and_then(|rest| match as_f64(&rest) {
                Some(rest) if rest.is_nan() => Err(Stop::error("a division by zero")),
                _ => Ok(rest),
            }),
        };
    }
    match (op, left, right) {
        (Op::Add, Tree::Null, other) | (Op::Add, other, Tree::Null) => run.copy(other),
        (Op::Add, Tree::Text(a), Tree::Text(b)) => {
            run.charge_text(a.len() + b.len())?;
            Ok(Tree::Text(format!("{a}{b}").into()))
        }
        (Op::Add, Tree::List(a), Tree::List(b)) => {
            Ok(Tree::List(a.iter().chain(b).map(|item| run.copy(item)).collect::<Result<_, _>>()?))
        }
        (Op::Add, Tree::Object(a), Tree::Object(b)) => {
            let mut members = Vec::new();
            for (key, value) in a.iter().filter(|(key, _)| b.iter().all(|(other, _)| other != key)).chain(b) {
                run.charge(b.len())?;
                members.push((key.clone(), run.copy(value)?));
            }
            Ok(Tree::Object(members))
        }
        (Op::Subtract, Tree::List(a), Tree::List(b)) => {
            run.charge(a.len().saturating_mul(b.len()))?;
            let left = a.iter().filter(|item| b.iter().all(|other| compare(item, other).is_ne()));
            Ok(Tree::List(left.map(|item| run.copy(item)).collect::<Result<_, _>>()?))
        }
        (Op::Divide, Tree::Text(text), Tree::Text(by)) => split(run, text, by),
        _ => Err(Stop::error(format!("{} and {} cannot be put together", kind(left), kind(right)))),
    }
}

fn split(run: &mut Run, text: &str, by: &str) -> Result<Tree, Stop> {
    run.charge_text(text.len())?;
    let pieces: Vec<&str> =
        if by.is_empty() { text.split("").filter(|c| !c.is_empty()).collect() } else { text.split(by).collect() };
    run.charge(pieces.len())?;
    Ok(Tree::List(pieces.into_iter().map(|piece| Tree::Text(piece.into())).collect()))
}

=======
>>>>>>> fmta
/// Runs a function; the parser has checked name and count.
pub(super) fn call<'t>(
    run: &mut Run,
    name: &str,
    arguments: &[Ast],
    input: Value<'t>,
    scope: Option<&Scope<'_, 't>>,
    out: Out<'_, 't>,
) -> Result<(), Stop> {
    match (name, arguments) {
        ("empty", _) => Ok(()),
        ("recurse", _) => recurse(run, &input, out),
        ("error", []) => Err(Stop::Error(Value::new(run.copy(input.tree())?))),
        ("error", [what]) => {
            let what = run.list(what, input, scope)?.pop().unwrap_or(Tree::Null);
            Err(Stop::Error(Value::new(what)))
        }
        ("select", [condition]) => run.eval(condition, input.clone(), scope, &mut |run, value| {
            if is_true(value.tree()) { out(run, input.clone()) } else { Ok(()) }
        }),
        ("first", [from]) => {
            let mut first = None;
            let ended = run.eval(from, input, scope, &mut |_, value| {
                first = Some(value);
                Err(Stop::Enough)
            });
            match (first, ended) {
                (Some(first), Err(Stop::Enough)) => out(run, first),
                (_, ended) => ended,
            }
        }
        ("last", [from]) => match run.all(from, input, scope)?.pop() {
            Some(last) => out(run, last),
            None => Ok(()),
        },
        ("limit", [count, from]) => {
            let count = run.list(count, input.clone(), scope)?.pop();
            let count = count.as_ref().and_then(as_f64).unwrap_or(0.0).max(0.0) as usize;
            let mut taken = Vec::new();
            let ended = match count {
                0 => Ok(()),
                _ => run.eval(from, input, scope, &mut |_, value| {
                    taken.push(value);
                    if taken.len() < count { Ok(()) } else { Err(Stop::Enough) }
                }),
            };
            let full = taken.len() == count;
            taken.into_iter().try_for_each(|value| out(run, value))?;
            match ended {
                Err(Stop::Enough) if full => Ok(()),
                ended => ended,
            }
        }
        ("range", bounds) => {
            let mut bounds = bounds.iter().map(|bound| {
                let bound = run.list(bound, input.clone(), scope)?.pop();
                bound.as_ref().and_then(as_f64).ok_or_else(|| Stop::error("`range` takes numbers"))
            });
            let first = bounds.next().transpose()?.unwrap_or(0.0);
            let (mut at, end) = match bounds.next().transpose()? {
                Some(end) => (first, end),
                None => (0.0, first),
            };
            while at < end {
                run.charge(1)?;
                out(run, Value::new(number(at)))?;
                // Above 2^53 one more is the same.
                if at + 1.0 == at {
                    break;
                }
                at += 1.0;
            }
            Ok(())
        }
        ("map", [change]) => {
            let mut list = Vec::new();
            each(run, &input, &mut |run, item| {
                list.extend(run.list(change, item, scope)?);
                Ok(())
            })?;
            out(run, Value::new(Tree::List(list)))
        }
        ("map_values", [change]) => {
            let made = match input.tree() {
                Tree::Object(members) => {
                    let mut made = Vec::new();
                    for (key, value) in members {
                        let value = Value::new(run.copy(value)?);
                        if let Some(value) = run.list(change, value, scope)?.into_iter().next() {
                            made.push((key.clone(), value));
                        }
                    }
                    Tree::Object(made)
                }
                Tree::List(items) => {
                    let mut made = Vec::new();
                    for item in items {
                        let item = Value::new(run.copy(item)?);
                        made.extend(run.list(change, item, scope)?.into_iter().next());
                    }
                    Tree::List(made)
                }
                other => return Err(Stop::error(format!("cannot go through {}", kind(other)))),
            };
            out(run, Value::new(made))
        }
        ("with_entries", [change]) => {
            let Tree::List(entries) = entries(run, input.tree())? else { return Ok(()) };
            let mut list = Vec::new();
            for entry in entries {
                list.extend(run.list(change, Value::new(entry), scope)?);
            }
            let made = from_entries(&Tree::List(list))?;
            out(run, Value::new(made))
        }
        ("isvalid", [tried]) => {
            let fine = match run.list(tried, input, scope) {
                Err(Stop::Error(_)) => false,
                Err(other) => return Err(other),
                Ok(_) => true,
            };
            out(run, Value::new(Tree::Bool(fine)))
        }
        ("all" | "any", [condition]) => {
            let mut states = Vec::new();
            each(run, &input, &mut |run, item| {
                states.extend(run.list(condition, item, scope)?);
                Ok(())
            })?;
            let state = if name == "all" { states.iter().all(is_true) } else { states.iter().any(is_true) };
            out(run, Value::new(Tree::Bool(state)))
        }
        ("add", [from]) => {
            let items = run.list(from, input, scope)?;
            let sum = sum(run, &items)?;
            out(run, Value::new(sum))
        }
        ("sort_by" | "min_by" | "max_by", [by]) => {
            let mut keyed = Vec::new();
            each(run, &input, &mut |run, item| {
                let key = Tree::List(run.list(by, item.clone(), scope)?);
                keyed.push((key, item));
                Ok(())
            })?;
            run.charge(keyed.len() * 16)?;
            keyed.sort_by(|(a, _), (b, _)| compare(a, b));
            match name {
                "sort_by" => {
                    let sorted = keyed.iter().map(|(_, item)| run.copy(item.tree())).collect::<Result<_, _>>()?;
                    out(run, Value::new(Tree::List(sorted)))
                }
                _ => {
                    let found = if name == "min_by" { keyed.into_iter().next() } else { keyed.pop() };
                    let found = found.map_or_else(|| Value::new(Tree::Null), |(_, item)| item);
                    out(run, found)
                }
            }
        }
        ("first", []) => {
            let first = index_of(run, &input, &Tree::Integer(0))?;
            out(run, first)
        }
        ("last", []) => {
            let last = index_of(run, &input, &Tree::Integer(-1))?;
            out(run, last)
        }
        (_, [argument]) => run.eval(argument, input.clone(), scope, &mut |run, argument| {
            let made = with_argument(run, name, input.tree(), argument.tree())?;
            out(run, Value::new(made))
        }),
        ("pow", [base, exponent]) => {
            let mut of = |ast| Ok(run.list(ast, input.clone(), scope)?.pop().as_ref().and_then(as_f64));
            match (of(base)?, of(exponent)?) {
                (Some(base), Some(exponent)) => out(run, Value::new(number(base.powf(exponent)))),
                _ => Err(Stop::error("`pow` takes numbers")),
            }
        }
        // Filters by kind.
        (kinds, _) if is_of(kinds, input.tree()).is_some() => {
            if is_of(kinds, input.tree()) == Some(true) {
                out(run, input)
            } else {
                Ok(())
            }
        }
        (name, _) => {
            let made = plain(run, name, input.tree())?;
            out(run, Value::new(made))
        }
    }
}

fn is_of(kinds: &str, tree: &Tree) -> Option<bool> {
    let composite = matches!(tree, Tree::List(_) | Tree::Object(_));
    Some(match kinds {
        "arrays" => matches!(tree, Tree::List(_)),
        "objects" => matches!(tree, Tree::Object(_)),
        "iterables" => composite,
        "scalars" => !composite,
        "booleans" => matches!(tree, Tree::Bool(_)),
        "numbers" => as_f64(tree).is_some(),
        "strings" => matches!(tree, Tree::Text(_)),
        "nulls" => matches!(tree, Tree::Null),
        "values" => !matches!(tree, Tree::Null),
        _ => return None,
    })
}
<<<<<<< HEAD

fn entries(run: &mut Run, tree: &Tree) -> Result<Tree, Stop> {
    let Tree::Object(members) = tree else {
        return Err(Stop::error(format!("{} has no entries", kind(tree))));
    };
    let entry = |run: &mut Run, key: &str, value: &Tree| {
        let value = run.copy(value)?;
        Ok(Tree::Object(vec![("key".into(), Tree::Text(key.into())), ("value".into(), value)]))
    };
    Ok(Tree::List(members.iter().map(|(key, value)| entry(run, key, value)).collect::<Result<_, Stop>>()?))
}

fn from_entries(tree: &Tree) -> Result<Tree, Stop> {
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

fn sum(run: &mut Run, items: &[Tree]) -> Result<Tree, Stop> {
    items.iter().try_fold(Tree::Null, |sum, item| binary(run, Op::Add, &sum, item))
}

fn wrong(name: &str, tree: &Tree) -> Stop {
    Stop::error(format!("`{name}` has no meaning for {}", kind(tree)))
}

/// Functions of a value and one argument.
fn with_argument(run: &mut Run, name: &str, input: &Tree, argument: &Tree) -> Result<Tree, Stop> {
    Ok(match (name, input, argument) {
        ("has", Tree::Object(_), Tree::Text(key)) => Tree::Bool(input.get(key).is_some()),
        ("has", Tree::List(items), index) => {
            Tree::Bool(as_f64(index).is_some_and(|index| index >= 0.0 && index < items.len() as f64))
        }
        ("startswith", Tree::Text(text), Tree::Text(start)) => Tree::Bool(text.starts_with(&**start)),
        ("endswith", Tree::Text(text), Tree::Text(end)) => Tree::Bool(text.ends_with(&**end)),
        ("contains", Tree::Text(text), Tree::Text(part)) => Tree::Bool(text.contains(&**part)),
        ("contains", Tree::List(items), Tree::List(parts)) => {
            run.charge(items.len().saturating_mul(parts.len()))?;
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
fn plain(run: &mut Run, name: &str, input: &Tree) -> Result<Tree, Stop> {
    let text = |run: &mut Run, made: String| run.charge_text(made.len()).map(|()| Tree::Text(made.into()));
    let sorted = |run: &mut Run, items: &[Tree]| {
        run.charge(items.len().saturating_mul(16))?;
        let mut sorted = items.iter().map(|item| run.copy(item)).collect::<Result<Vec<_>, Stop>>()?;
        sorted.sort_by(compare);
        Ok::<_, Stop>(sorted)
    };
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
=======
>>>>>>> fmta
