//! The values of a run: parts of the document by reference, and what is made; how they are taken apart and compared.

use std::cmp::Ordering;
use std::rc::Rc;

use super::super::tree::Tree;
use super::eval::{Out, Run, STEP_BYTES, Stop};

/// A part of the document, or something made.
#[derive(Clone, Debug)]
pub(super) enum Value<'t> {
    Ref(&'t Tree),
    Own(Rc<Tree>),
}

impl<'t> Value<'t> {
    pub(super) fn new(tree: Tree) -> Self {
        Self::Own(Rc::new(tree))
    }

    pub(super) fn tree(&self) -> &Tree {
        match self {
            Self::Ref(tree) => tree,
            Self::Own(tree) => tree,
        }
    }

    /// A part of this value, by reference where it is the document's.
    pub(super) fn part(
        &self,
        run: &mut Run,
        find: impl for<'a> Fn(&'a Tree) -> Option<&'a Tree>,
    ) -> Result<Self, Stop> {
        Ok(match self {
            Self::Ref(tree) => find(tree).map_or_else(|| Self::new(Tree::Null), Self::Ref),
            Self::Own(tree) => match find(tree) {
                Some(part) => Self::new(run.copy(part)?),
                None => Self::new(Tree::Null),
            },
        })
    }
}

impl Value<'static> {
    /// The words of an error.
    pub(super) fn text(&self) -> String {
        match self.tree() {
            Tree::Text(text) => text.chars().take(200).collect(),
            other => other.to_json().to_string().chars().take(200).collect(),
        }
    }
}

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

pub(super) fn is_true(tree: &Tree) -> bool {
    !matches!(tree, Tree::Null | Tree::Bool(false))
}

pub(super) fn index_of<'t>(run: &mut Run, value: &Value<'t>, index: &Tree) -> Result<Value<'t>, Stop> {
    match (value.tree(), index) {
        (Tree::Null, Tree::Text(_) | Tree::Integer(_) | Tree::Real(_)) => Ok(Value::new(Tree::Null)),
        (Tree::Object(_), Tree::Text(key)) => value.part(run, |tree| tree.get(key)),
        (Tree::List(items), Tree::Integer(_) | Tree::Real(_)) => {
            let index = as_f64(index).unwrap_or(0.0).floor();
            let index = if index < 0.0 { index + items.len() as f64 } else { index };
            let place = if index < 0.0 { usize::MAX } else { index as usize };
            value.part(run, |tree| tree.item(place))
        }
        (value, index) => Err(Stop::error(format!("cannot take {} of {}", kind(index), kind(value)))),
    }
}

/// Every item or member.
pub(super) fn each<'t>(run: &mut Run, value: &Value<'t>, out: Out<'_, 't>) -> Result<(), Stop> {
    match value {
        Value::Ref(Tree::List(items)) => items.iter().try_for_each(|item| out(run, Value::Ref(item))),
        Value::Ref(Tree::Object(members)) => members.iter().try_for_each(|(_, member)| out(run, Value::Ref(member))),
        value => {
            let parts: Vec<&Tree> = match value.tree() {
                Tree::List(items) => items.iter().collect(),
                Tree::Object(members) => members.iter().map(|(_, member)| member).collect(),
                other => return Err(Stop::error(format!("cannot go through {}", kind(other)))),
            };
            for part in parts {
                let copied = Value::new(run.copy(part)?);
                out(run, copied)?;
            }
            Ok(())
        }
    }
}

/// A value and everything below it.
pub(super) fn recurse<'t>(run: &mut Run, value: &Value<'t>, out: Out<'_, 't>) -> Result<(), Stop> {
    run.charge(1)?;
    out(run, value.clone())?;
    match value.tree() {
        Tree::List(_) | Tree::Object(_) => each(run, value, &mut |run, part| recurse(run, &part, out)),
        _ => Ok(()),
    }
}

/// A whole number that is exact as such.
fn whole(tree: &Tree) -> Option<i128> {
    match tree {
        Tree::Integer(whole) => Some((*whole).into()),
        Tree::Unsigned(whole) => Some((*whole).into()),
        _ => None,
    }
}

/// A whole number beside a real one, exactly: rounded to a real number, two that differ would be equal to a third, and
/// sorting takes no such order.
fn beside(whole: i128, real: f64) -> Ordering {
    if real.is_nan() {
        return 0.0_f64.total_cmp(&real);
    }
    // Saturates, far beyond what a whole number here can be.
    let below = real.floor();
    whole.cmp(&(below as i128)).then(if real > below { Ordering::Less } else { Ordering::Equal })
}

/// How much there is to compare in a value: its parts, and its texts by their length.
pub(super) fn weight(tree: &Tree) -> usize {
    1 + match tree {
        Tree::Text(text) => text.len() / STEP_BYTES,
        Tree::Bytes(bytes) => bytes.len() / STEP_BYTES,
        Tree::List(items) => items.iter().map(weight).sum(),
        Tree::Object(members) => members.iter().map(|(_, value)| 1 + weight(value)).sum(),
        _ => 0,
    }
}

/// jq's order: null, false, true, numbers, texts, lists, objects. A total order, as sorting wants.
pub(super) fn compare(a: &Tree, b: &Tree) -> Ordering {
    let rank = |tree: &Tree| match tree {
        Tree::Null => 0,
        Tree::Bool(false) => 1,
        Tree::Bool(true) => 2,
        Tree::Integer(_) | Tree::Unsigned(_) | Tree::Real(_) => 3,
        Tree::Text(_) => 4,
        Tree::Bytes(_) => 5,
        Tree::List(_) => 6,
        Tree::Object(_) => 7,
    };
    match (a, b) {
        (Tree::Integer(a), Tree::Integer(b)) => a.cmp(b),
        (Tree::Text(a), Tree::Text(b)) => a.cmp(b),
        (Tree::List(a), Tree::List(b)) => {
            let differ = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            differ.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Tree::Object(a), Tree::Object(b)) => {
            let sorted = |members: &'_ [(Box<str>, Tree)]| {
                let mut order: Vec<usize> = (0..members.len()).collect();
                order.sort_by(|x, y| members[*x].0.cmp(&members[*y].0));
                order
            };
            let (left, right) = (sorted(a), sorted(b));
            let keys = left.iter().map(|at| &a[*at].0).cmp(right.iter().map(|at| &b[*at].0));
            let values = || {
                let differ = left.iter().zip(&right).map(|(x, y)| compare(&a[*x].1, &b[*y].1));
                differ.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            };
            keys.then_with(values)
        }
        (Tree::Bytes(a), Tree::Bytes(b)) => a.cmp(b),
        (a, b) => match (whole(a), whole(b), as_f64(a), as_f64(b)) {
            (Some(a), Some(b), ..) => a.cmp(&b),
            (Some(a), None, _, Some(b)) => beside(a, b),
            (None, Some(b), Some(a), _) => beside(b, a).reverse(),
            // There is one zero.
            (_, _, Some(a), Some(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}
