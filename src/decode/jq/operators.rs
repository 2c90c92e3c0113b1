//! The operators of the language.

use super::super::tree::Tree;
use super::ast::Op;
use super::eval::{Run, Stop};
use super::value::{as_f64, compare, kind, number, weight};

/// An operator on two values.
pub(super) fn binary(run: &mut Run, op: Op, left: &Tree, right: &Tree) -> Result<Tree, Stop> {
    if is_comparison(op) {
        run.charge(weight(left))?;
        if let Tree::Object(members) = right {
            run.charge(members.len())?;
        }
    }
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
            run.charge(a.len().saturating_mul(b.iter().map(weight).sum()))?;
            let left = a.iter().filter(|item| b.iter().all(|other| compare(item, other).is_ne()));
            Ok(Tree::List(left.map(|item| run.copy(item)).collect::<Result<_, _>>()?))
        }
        (Op::Divide, Tree::Text(text), Tree::Text(by)) => split(run, text, by),
        _ => Err(Stop::error(format!("{} and {} cannot be put together", kind(left), kind(right)))),
    }
}

fn is_comparison(op: Op) -> bool {
    matches!(op, Op::Equal | Op::NotEqual | Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual)
}

pub(super) fn split(run: &mut Run, text: &str, by: &str) -> Result<Tree, Stop> {
    run.charge_text(text.len())?;
    let pieces: Vec<&str> =
        if by.is_empty() { text.split("").filter(|c| !c.is_empty()).collect() } else { text.split(by).collect() };
    run.charge(pieces.len())?;
    Ok(Tree::List(pieces.into_iter().map(|piece| Tree::Text(piece.into())).collect()))
}

pub(super) fn sum(run: &mut Run, items: &[Tree]) -> Result<Tree, Stop> {
    items.iter().try_fold(Tree::Null, |sum, item| binary(run, Op::Add, &sum, item))
}
