//! Runs an [`Ast`] over a document.
//!
//! Owns the language's meaning: every expression hands its outputs, none or several, to what comes behind it. Bounded by
//! [`STEPS_MAX`] in time and in what is built; parts of the document are passed on by reference. Nesting is that of the
//! expression, which the parser bounds.

use std::rc::Rc;

use super::super::tree::Tree;
use super::ast::{Ast, Op};
use super::scope::{Scope, bind, lookup, with};
use super::value::{Value, as_f64, each, index_of, is_true, kind, recurse, written};
use super::{functions, operators};
use crate::clock::WallTime;

/// Most steps of a run, where every value copied or built counts as one: about 20 ms on a slow box.
pub(super) const STEPS_MAX: usize = 200_000;

/// How many bytes of a text count as a step.
pub(super) const STEP_BYTES: usize = 16;

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
                let negative = operators::binary(run, Op::Subtract, &zero, value.tree())?;
                out(run, Value::new(negative))
            }),
            Ast::Binary(op, left, right) => self.eval(right, input.clone(), scope, &mut |run, right| {
                run.eval(left, input.clone(), scope, &mut |run, left| {
                    let made = operators::binary(run, *op, left.tree(), right.tree())?;
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
            Some(ast) => Ok(as_f64(run.last(ast, input.clone(), scope)?.tree())),
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
                other => return Err(Stop::error(format!("cannot cut {}", kind(other)))),
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
                return Err(Stop::error(format!("{} cannot be a key", kind(key.tree()))));
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
            let text = format!("{made}{}", written(value.tree()));
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
