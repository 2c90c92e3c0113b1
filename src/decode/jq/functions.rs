//! The functions of the language.

use super::super::tree::Tree;
use super::ast::Ast;
use super::eval::{Out, Run, Stop};
use super::operators::sum;
use super::plain::{entries, from_entries, plain, with_argument};
use super::scope::Scope;
use super::value::{Value, as_f64, compare, each, index_of, is_true, kind, number, recurse, weight};

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
            run.charge(keyed.iter().map(|(key, _)| weight(key)).sum::<usize>().saturating_mul(16))?;
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
