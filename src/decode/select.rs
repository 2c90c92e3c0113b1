//! Values of a [`Tree`] by paths with wildcards.
//!
//! Owns what a wildcard stood for on the way, and how another path goes the same way: in a second path the first
//! wildcard stands for what the first one of the first path stood for, and so on. So the siblings of a value, and what
//! is beside any of its parents, are named by plain paths. Bounded by the tree.

use super::path::Step;
use super::tree::Tree;

/// What a wildcard stood for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bound<'t> {
    Key(&'t str),
    Item(usize),
    /// The way below `**`: `BME280.Temperature`.
    Deep(String),
}

impl Bound<'_> {
    /// As a part of a name.
    pub(super) fn push_to(&self, out: &mut String) {
        match self {
            Self::Key(key) => out.push_str(key),
            Self::Item(index) => out.push_str(&index.to_string()),
            Self::Deep(way) => out.push_str(way),
        }
    }

    fn step<'t>(&self, tree: &'t Tree) -> Option<&'t Tree> {
        match self {
            Self::Key(key) => tree.get(key),
            Self::Item(index) => tree.item(*index),
            Self::Deep(_) => None,
        }
    }
}

/// Hands every value that a path leads to, and what its wildcards stood for, to `each`.
pub(super) fn walk<'t>(
    steps: &[Step],
    tree: &'t Tree,
    bound: &mut Vec<Bound<'t>>,
    each: &mut dyn FnMut(&'t Tree, &[Bound<'t>]),
) {
    let Some((step, rest)) = steps.split_first() else {
        return each(tree, bound);
    };
    match (step, tree) {
        (Step::Key(key), tree) => {
            if let Some(inside) = tree.get(key) {
                walk(rest, inside, bound, each);
            }
        }
        (Step::Item(index), tree) => {
            if let Some(inside) = tree.item(*index) {
                walk(rest, inside, bound, each);
            }
        }
        (Step::Any, Tree::Object(members)) => {
            for (key, inside) in members {
                bound.push(Bound::Key(key));
                walk(rest, inside, bound, each);
                bound.pop();
            }
        }
        (Step::Any, Tree::List(items)) => {
            for (index, inside) in items.iter().enumerate() {
                bound.push(Bound::Item(index));
                walk(rest, inside, bound, each);
                bound.pop();
            }
        }
        (Step::Deep, tree) if tree.is_composite() => {
            let mut way = String::new();
            deep(tree, &mut way, bound, each);
        }
        _ => {}
    }
}

/// All leaves below.
fn deep<'t>(
    tree: &'t Tree,
    way: &mut String,
    bound: &mut Vec<Bound<'t>>,
    each: &mut dyn FnMut(&'t Tree, &[Bound<'t>]),
) {
    let length = way.len();
    match tree {
        Tree::Object(members) => {
            for (key, inside) in members {
                if length > 0 {
                    way.push('.');
                }
                way.push_str(key);
                deep(inside, way, bound, each);
                way.truncate(length);
            }
        }
        Tree::List(items) => {
            for (index, inside) in items.iter().enumerate() {
                way.push_str(&format!("[{index}]"));
                deep(inside, way, bound, each);
                way.truncate(length);
            }
        }
        Tree::Bytes(_) => {}
        leaf => {
            bound.push(Bound::Deep(way.clone()));
            each(leaf, bound);
            bound.pop();
        }
    }
}

/// The value that a path leads to when its wildcards stand for the same as in the path that was walked.
pub(super) fn sibling<'t>(steps: &[Step], tree: &'t Tree, bound: &[Bound<'_>]) -> Option<&'t Tree> {
    let mut bound = bound.iter();
    steps.iter().try_fold(tree, |tree, step| match step {
        Step::Key(key) => tree.get(key),
        Step::Item(index) => tree.item(*index),
        Step::Any => bound.next()?.step(tree),
        Step::Deep => None,
    })
}

/// The value at a place, to change it.
pub(super) fn each_mut(steps: &[Step], tree: &mut Tree, change: &mut dyn FnMut(&mut Tree)) {
    let Some((step, rest)) = steps.split_first() else {
        return change(tree);
    };
    match (step, tree) {
        (Step::Key(key), Tree::Object(members)) => {
            for (_, inside) in members.iter_mut().filter(|(name, _)| **name == **key) {
                each_mut(rest, inside, change);
            }
        }
        (Step::Any, Tree::Object(members)) => {
            members.iter_mut().for_each(|(_, inside)| each_mut(rest, inside, change));
        }
        (Step::Item(index), Tree::List(items)) => {
            if let Some(inside) = items.get_mut(*index) {
                each_mut(rest, inside, change);
            }
        }
        (Step::Any, Tree::List(items)) => items.iter_mut().for_each(|inside| each_mut(rest, inside, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::super::path::parse;
    use super::super::tree::from_json;
    use super::*;

    fn found(path: &str, json: &str) -> Vec<(serde_json::Value, String)> {
        let tree = from_json(json).unwrap();
        let mut out = Vec::new();
        walk(&parse(path).unwrap(), &tree, &mut Vec::new(), &mut |leaf, bound| {
            let mut name = String::new();
            for part in bound {
                part.push_to(&mut name);
                name.push('/');
            }
            out.push((leaf.to_json(), name));
        });
        out
    }

    #[test]
    fn wildcards_go_into_members_items_and_all_depths() {
        assert_eq!(
            found("a[*].t", r#"{"a":[{"t":1},{"u":2},{"t":3}]}"#),
            [(1.into(), "0/".into()), (3.into(), "2/".into())]
        );
        assert_eq!(found("*.t", r#"{"x":{"t":1},"y":5}"#), [(1.into(), "x/".to_owned())]);
        let deep = found("d.**", r#"{"d":{"a":{"b":1},"c":[2,{"e":3}]}}"#);
        let names: Vec<&str> = deep.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["a.b/", "c[0]/", "c[1].e/"]);
    }

    #[test]
    fn a_sibling_goes_the_same_way() {
        let tree = from_json(r#"{"u":"C","r":[{"n":"x","v":[1,2]},{"n":"y","v":[3]}]}"#).unwrap();
        let mut names = Vec::new();
        walk(&parse("r[*].v[*]").unwrap(), &tree, &mut Vec::new(), &mut |_, bound| {
            names.push(sibling(&parse("r[*].n").unwrap(), &tree, bound).unwrap().name().unwrap());
            assert_eq!(sibling(&parse("u").unwrap(), &tree, bound).unwrap().name().unwrap(), "C");
        });
        assert_eq!(names, ["x", "x", "y"]);
    }
}
