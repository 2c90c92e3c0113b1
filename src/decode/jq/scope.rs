//! Variables of a run.

use super::super::tree::Tree;
use super::ast::Pattern;
use super::eval::{Run, Stop};
use super::value::Value;

/// Variables in scope, innermost first.
pub(super) struct Scope<'s, 't> {
    pub(super) name: &'s str,
    pub(super) value: Value<'t>,
    pub(super) up: Option<&'s Scope<'s, 't>>,
}

/// The value of a name.
pub(super) fn lookup<'t>(mut scope: Option<&Scope<'_, 't>>, name: &str) -> Value<'t> {
    while let Some(here) = scope {
        if here.name == name {
            return here.value.clone();
        }
        scope = here.up;
    }
    // The parser lets no unknown name pass.
    Value::new(Tree::Null)
}

/// Runs with more names in scope.
pub(super) fn with<'s, 't, T>(
    names: &'s [(&'s str, Value<'t>)],
    scope: Option<&'s Scope<'s, 't>>,
    run: &mut dyn FnMut(Option<&Scope<'_, 't>>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    match names.split_first() {
        None => run(scope),
        Some(((name, value), rest)) => {
            let here = Scope { name, value: value.clone(), up: scope };
            with_rest(rest, &here, run)
        }
    }
}

fn with_rest<'t, T>(
    names: &[(&str, Value<'t>)],
    scope: &Scope<'_, 't>,
    run: &mut dyn FnMut(Option<&Scope<'_, 't>>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    match names.split_first() {
        None => run(Some(scope)),
        Some(((name, value), rest)) => {
            let here = Scope { name, value: value.clone(), up: Some(scope) };
            with_rest(rest, &here, run)
        }
    }
}

/// The names of a pattern with their parts of a value.
pub(super) fn bind<'p, 't>(
    run: &mut Run,
    pattern: &'p Pattern,
    value: &Value<'t>,
) -> Result<Vec<(&'p str, Value<'t>)>, Stop> {
    let mut names = Vec::new();
    bind_into(run, pattern, value, &mut names)?;
    Ok(names)
}

fn bind_into<'p, 't>(
    run: &mut Run,
    pattern: &'p Pattern,
    value: &Value<'t>,
    names: &mut Vec<(&'p str, Value<'t>)>,
) -> Result<(), Stop> {
    match pattern {
        Pattern::Name(name) => names.push((name, value.clone())),
        Pattern::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let part = value.part(run, |tree| tree.item(index))?;
                bind_into(run, item, &part, names)?;
            }
        }
        Pattern::Object(members) => {
            for (key, item) in members {
                let part = value.part(run, |tree| tree.get(key))?;
                bind_into(run, item, &part, names)?;
            }
        }
    }
    Ok(())
}
