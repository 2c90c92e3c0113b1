//! Runs an [`Ast`] over a document.
//!
//! Owns the language's meaning: every expression hands its outputs, none or several, to what comes behind it. Bounded by
//! [`STEPS_MAX`] in time and in what is built; parts of the document are passed on by reference. Nesting is that of the
//! expression, which the parser bounds.

use std::cmp::Ordering;
use std::rc::Rc;

use super::super::tree::Tree;
use super::ast::{Ast, Op, Pattern};
use super::functions;
use crate::clock::WallTime;

/// Most steps of a run, where every value copied or built counts as one: about 20 ms on a slow box.
pub(super) const STEPS_MAX: usize = 200_000;

/// How many bytes of a text count as a step.
const STEP_BYTES: usize = 16;

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
    fn part(&self, run: &mut Run, find: impl for<'a> Fn(&'a Tree) -> Option<&'a Tree>) -> Result<Self, Stop> {
        Ok(match self {
            Self::Ref(tree) => find(tree).map_or_else(|| Self::new(Tree::Null), Self::Ref),
            Self::Own(tree) => match find(tree) {
                Some(part) => Self::new(run.copy(part)?),
                None => Self::new(Tree::Null),
            },
        })
    }
}

/// Why a run ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// A mistake, which `?` and `try` catch.
    Error(Value<'static>),
    /// A bound.
    Limit(String),
    /// No more outputs are wanted.
    Enough,
}

impl Stop {
    pub(super) fn error(what: impl Into<String>) -> Self {
        Self::Error(Value::new(Tree::Text(what.into().into())))
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

/// Variables in scope, innermost first.
pub(super) struct Scope<'s, 't> {
    name: &'s str,
    value: Value<'t>,
    up: Option<&'s Scope<'s, 't>>,
}

/// What takes the outputs.
pub(super) type Out<'o, 't> = &'o mut dyn FnMut(&mut Run, Value<'t>) -> Result<(), Stop>;

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    steps: usize,
    /// When the message came.
    pub(super) arrival: WallTime,
}

impl Run {
    pub(super) fn new(arrival: WallTime) -> Self {
        Self { steps: 0, arrival }
    }

    /// Runs an expression over a document.
    pub(super) fn program<'t>(
        &mut self,
        ast: &Ast,
        tree: &'t Tree,
        topic: Rc<Tree>,
        out: &mut dyn FnMut(Value<'t>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let scope = Scope { name: "topic", value: Value::Own(topic), up: None };
        self.eval(ast, Value::Ref(tree), Some(&scope), &mut |_, value| out(value))
    }

    /// Counts steps.
    pub(super) fn charge(&mut self, steps: usize) -> Result<(), Stop> {
        self.steps = self.steps.saturating_add(steps);
        match self.steps > STEPS_MAX {
            true => Err(Stop::Limit(format!("more than {STEPS_MAX} steps"))),
            false => Ok(()),
        }
    }

    /// Counts the bytes of a text that is about to be made.
    pub(super) fn charge_text(&mut self, bytes: usize) -> Result<(), Stop> {
        self.charge(1 + bytes / STEP_BYTES)
    }

    /// A copy, counted.
    pub(super) fn copy(&mut self, tree: &Tree) -> Result<Tree, Stop> {
        match tree {
            Tree::Text(text) => self.charge_text(text.len())?,
            Tree::Bytes(bytes) => self.charge_text(bytes.len())?,
            _ => self.charge(1)?,
        }
        Ok(match tree {
            Tree::List(items) => Tree::List(items.iter().map(|item| self.copy(item)).collect::<Result<_, _>>()?),
            Tree::Object(members) => {
                let copied = members.iter().map(|(key, value)| Ok((key.clone(), self.copy(value)?)));
                Tree::Object(copied.collect::<Result<_, Stop>>()?)
            }
            other => other.clone(),
        })
    }

    /// All outputs of an expression.
    pub(super) fn all<'t>(
        &mut self,
        ast: &Ast,
        input: Value<'t>,
        scope: Option<&Scope<'_, 't>>,
    ) -> Result<Vec<Value<'t>>, Stop> {
        let mut all = Vec::new();
        self.eval(ast, input, scope, &mut |_, value| {
            all.push(value);
            Ok(())
        })?;
        Ok(all)
    }

    /// All outputs of an expression as a list.
    pub(super) fn list<'t>(
        &mut self,
        ast: &Ast,
        input: Value<'t>,
        scope: Option<&Scope<'_, 't>>,
    ) -> Result<Vec<Tree>, Stop> {
        let mut list = Vec::new();
        self.eval(ast, input, scope, &mut |run, value| {
            list.push(run.copy(value.tree())?);
            Ok(())
        })?;
        Ok(list)
    }

    /// Runs an expression.
    pub(super) fn eval<'t>(
        &mut self,
        ast: &Ast,
        input: Value<'t>,
        scope: Option<&Scope<'_, 't>>,
        out: Out<'_, 't>,
    ) -> Result<(), Stop> {
        self.charge(1)?;
        match ast {
            Ast::Identity => out(self, input),
            Ast::Literal(tree) => {
                let made = self.copy(tree)?;
                out(self, Value::new(made))
            }
            Ast::Variable(name) => {
                let value = lookup(scope, name);
                out(self, value)
            }
            Ast::Pipe(left, right) => {
                self.eval(left, input, scope, &mut |run, value| run.eval(right, value, scope, out))
            }
            Ast::Comma(left, right) => {
                self.eval(left, input.clone(), scope, out)?;
                self.eval(right, input, scope, out)
            }
            Ast::Index(target, index) => self.eval(target, input.clone(), scope, &mut |run, value| {
                run.eval(index, input.clone(), scope, &mut |run, index| {
                    let part = index_of(run, &value, index.tree())?;
                    out(run, part)
                })
            }),
            Ast::Slice(target, from, to) => self.slice(target, from.as_deref(), to.as_deref(), input, scope, out),
            Ast::Each(target) => self.eval(target, input, scope, &mut |run, value| each(run, &value, out)),
            Ast::Recurse => recurse(self, &input, out),
            Ast::List(None) => out(self, Value::new(Tree::List(Vec::new()))),
            Ast::List(Some(inner)) => {
                let list = self.list(inner, input, scope)?;
                out(self, Value::new(Tree::List(list)))
            }
            Ast::Object(members) => self.object(members, Vec::new(), &input, scope, out),
            Ast::Text(parts) => self.text(parts, String::new(), &input, scope, out),
            Ast::Minus(inner) => self.eval(inner, input, scope, &mut |run, value| {
                let zero = Tree::Integer(0);
                let negative = functions::binary(run, Op::Subtract, &zero, value.tree())?;
                out(run, Value::new(negative))
            }),
            Ast::Binary(op, left, right) => self.eval(right, input.clone(), scope, &mut |run, right| {
                run.eval(left, input.clone(), scope, &mut |run, left| {
                    let made = functions::binary(run, *op, left.tree(), right.tree())?;
                    out(run, Value::new(made))
                })
            }),
            Ast::And(left, right) => self.logic(left, right, false, input, scope, out),
            Ast::Or(left, right) => self.logic(left, right, true, input, scope, out),
            Ast::Alternative(left, right) => self.alternative(left, right, input, scope, out),
            Ast::If(condition, then, other) => self.eval(condition, input.clone(), scope, &mut |run, value| {
                let chosen = if is_true(value.tree()) { then } else { other };
                run.eval(chosen, input.clone(), scope, out)
            }),
            Ast::Try(body, handler) => {
                // Only mistakes of the body are caught, not those of what comes behind.
                let mut behind = None;
                let ended = self.eval(body, input, scope, &mut |run, value| {
                    out(run, value).map_err(|stop| {
                        behind = Some(stop);
                        Stop::Enough
                    })
                });
                match (behind, ended, handler) {
                    (Some(stop), ..) => Err(stop),
                    (None, Err(Stop::Error(error)), Some(handler)) => self.eval(handler, error, scope, out),
                    (None, Err(Stop::Error(_)), None) => Ok(()),
                    (None, ended, _) => ended,
                }
            }
            Ast::Bind(source, pattern, body) => self.eval(source, input.clone(), scope, &mut |run, value| {
                let names = bind(run, pattern, &value)?;
                with(&names, scope, &mut |scope| run.eval(body, input.clone(), scope, out))
            }),
            Ast::Reduce(source, pattern, init, update) => {
                let mut state = self.last(init, input.clone(), scope)?;
                self.eval(source, input, scope, &mut |run, value| {
                    let names = bind(run, pattern, &value)?;
                    let before = std::mem::replace(&mut state, Value::new(Tree::Null));
                    state = with(&names, scope, &mut |scope| run.last(update, before.clone(), scope))?;
                    Ok(())
                })?;
                out(self, state)
            }
            Ast::Foreach(source, pattern, init, update, extract) => {
                let mut state = self.last(init, input.clone(), scope)?;
                self.eval(source, input, scope, &mut |run, value| {
                    let names = bind(run, pattern, &value)?;
                    with(&names, scope, &mut |scope| {
                        state = run.last(update, state.clone(), scope)?;
                        match extract {
                            Some(extract) => run.eval(extract, state.clone(), scope, out),
                            None => out(run, state.clone()),
                        }
                    })
                })
            }
            Ast::Call(name, arguments) => functions::call(self, name, arguments, input, scope, out),
        }
    }

    /// The last output; null where there is none.
    fn last<'t>(&mut self, ast: &Ast, input: Value<'t>, scope: Option<&Scope<'_, 't>>) -> Result<Value<'t>, Stop> {
        let mut last = Value::new(Tree::Null);
        self.eval(ast, input, scope, &mut |_, value| {
            last = value;
            Ok(())
        })?;
        Ok(last)
    }

    fn slice<'t>(
        &mut self,
        target: &Ast,
        from: Option<&Ast>,
        to: Option<&Ast>,
        input: Value<'t>,
        scope: Option<&Scope<'_, 't>>,
        out: Out<'_, 't>,
    ) -> Result<(), Stop> {
        let bound = |run: &mut Self, ast: Option<&Ast>| match ast {
            Some(ast) => Ok(functions::as_f64(run.last(ast, input.clone(), scope)?.tree())),
            None => Ok(None),
        };
        let (from, to) = (bound(self, from)?, bound(self, to)?);
        self.eval(target, input, scope, &mut |run, value| {
            let range = |length: usize| {
                let place =
                    |at: f64| if at < 0.0 { (at + length as f64).max(0.0) } else { at.min(length as f64) } as usize;
                let start = place(from.unwrap_or(0.0).floor());
                start..place(to.map_or(length as f64, f64::ceil)).max(start)
            };
            let made = match value.tree() {
                Tree::Null => Tree::Null,
                Tree::List(items) => {
                    Tree::List(items[range(items.len())].iter().map(|item| run.copy(item)).collect::<Result<_, _>>()?)
                }
                Tree::Text(text) => {
                    run.charge_text(text.len())?;
                    let range = range(text.chars().count());
                    let cut: String = text.chars().skip(range.start).take(range.len()).collect();
                    Tree::Text(cut.into())
                }
                other => return Err(Stop::error(format!("cannot cut {}", functions::kind(other)))),
            };
            out(run, Value::new(made))
        })
    }

    /// Every combination of the members' outputs.
    fn object<'t>(
        &mut self,
        members: &[(Ast, Ast)],
        made: Vec<(Box<str>, Tree)>,
        input: &Value<'t>,
        scope: Option<&Scope<'_, 't>>,
        out: Out<'_, 't>,
    ) -> Result<(), Stop> {
        let Some(((key, value), rest)) = members.split_first() else {
            return out(self, Value::new(Tree::Object(made)));
        };
        self.eval(key, input.clone(), scope, &mut |run, key| {
            let Tree::Text(key) = key.tree() else {
                return Err(Stop::error(format!("{} cannot be a key", functions::kind(key.tree()))));
            };
            run.eval(value, input.clone(), scope, &mut |run, value| {
                run.charge(made.len())?;
                let mut made = made.clone();
                made.retain(|(known, _)| known != key);
                made.push((key.clone(), run.copy(value.tree())?));
                run.object(rest, made, input, scope, out)
            })
        })
    }

    fn text<'t>(
        &mut self,
        parts: &[Ast],
        made: String,
        input: &Value<'t>,
        scope: Option<&Scope<'_, 't>>,
        out: Out<'_, 't>,
    ) -> Result<(), Stop> {
        let Some((part, rest)) = parts.split_first() else {
            return out(self, Value::new(Tree::Text(made.into())));
        };
        self.eval(part, input.clone(), scope, &mut |run, value| {
            let text = format!("{made}{}", functions::written(value.tree()));
            run.charge_text(text.len())?;
            run.text(rest, text, input, scope, out)
        })
    }

    fn logic<'t>(
        &mut self,
        left: &Ast,
        right: &Ast,
        decides: bool,
        input: Value<'t>,
        scope: Option<&Scope<'_, 't>>,
        out: Out<'_, 't>,
    ) -> Result<(), Stop> {
        self.eval(left, input.clone(), scope, &mut |run, value| {
            if is_true(value.tree()) == decides {
                return out(run, Value::new(Tree::Bool(decides)));
            }
            run.eval(right, input.clone(), scope, &mut |run, value| {
                out(run, Value::new(Tree::Bool(is_true(value.tree()))))
            })
        })
    }

    /// The outputs of the left that are neither null nor false, or else the right.
    fn alternative<'t>(
        &mut self,
        left: &Ast,
        right: &Ast,
        input: Value<'t>,
        scope: Option<&Scope<'_, 't>>,
        out: Out<'_, 't>,
    ) -> Result<(), Stop> {
        let mut found = Vec::new();
        let ended = self.eval(left, input.clone(), scope, &mut |_, value| {
            if is_true(value.tree()) {
                found.push(value);
            }
            Ok(())
        });
        match ended {
            Err(Stop::Error(_)) | Ok(()) if found.is_empty() => self.eval(right, input, scope, out),
            Err(Stop::Error(_)) | Ok(()) => found.into_iter().try_for_each(|value| out(self, value)),
            ended => ended,
        }
    }
}

fn lookup<'t>(mut scope: Option<&Scope<'_, 't>>, name: &str) -> Value<'t> {
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
fn with<'s, 't, T>(
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

fn bind<'p, 't>(run: &mut Run, pattern: &'p Pattern, value: &Value<'t>) -> Result<Vec<(&'p str, Value<'t>)>, Stop> {
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

pub(super) fn is_true(tree: &Tree) -> bool {
    !matches!(tree, Tree::Null | Tree::Bool(false))
}

pub(super) fn index_of<'t>(run: &mut Run, value: &Value<'t>, index: &Tree) -> Result<Value<'t>, Stop> {
    match (value.tree(), index) {
        (Tree::Null, Tree::Text(_) | Tree::Integer(_) | Tree::Real(_)) => Ok(Value::new(Tree::Null)),
        (Tree::Object(_), Tree::Text(key)) => value.part(run, |tree| tree.get(key)),
        (Tree::List(items), Tree::Integer(_) | Tree::Real(_)) => {
            let index = functions::as_f64(index).unwrap_or(0.0).floor();
            let index = if index < 0.0 { index + items.len() as f64 } else { index };
            let place = if index < 0.0 { usize::MAX } else { index as usize };
            value.part(run, |tree| tree.item(place))
        }
        (value, index) => {
            Err(Stop::error(format!("cannot take {} of {}", functions::kind(index), functions::kind(value))))
        }
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
                other => return Err(Stop::error(format!("cannot go through {}", functions::kind(other)))),
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

/// jq's order: null, false, true, numbers, texts, lists, objects.
pub(super) fn compare(a: &Tree, b: &Tree) -> Ordering {
    let rank = |tree: &Tree| match tree {
        Tree::Null => 0,
        Tree::Bool(false) => 1,
        Tree::Bool(true) => 2,
        Tree::Integer(_) | Tree::Unsigned(_) | Tree::Real(_) => 3,
        Tree::Text(_) | Tree::Bytes(_) => 4,
        Tree::List(_) => 5,
        Tree::Object(_) => 6,
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
        (a, b) => match (functions::as_f64(a), functions::as_f64(b)) {
            (Some(a), Some(b)) => a.total_cmp(&(b + 0.0)),
            _ => rank(a).cmp(&rank(b)),
        },
    }
}
