//! An expression as a tree.

use super::super::tree::Tree;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ast {
    /// `.`
    Identity,
    /// `..`
    Recurse,
    /// A number, text, `true`, `false`, `null`.
    Literal(Tree),
    /// `"a\(.b)"`
    Text(Vec<Ast>),
    /// `$name`
    Variable(Box<str>),
    /// `target.name`, `target[index]`; the index sees the expression's input.
    Index(Box<Ast>, Box<Ast>),
    /// `target[from:to]`
    Slice(Box<Ast>, Option<Box<Ast>>, Option<Box<Ast>>),
    /// `target[]`
    Each(Box<Ast>),
    /// `[..]`
    List(Option<Box<Ast>>),
    /// `{..}`: keys and values.
    Object(Vec<(Ast, Ast)>),
    /// `-x`
    Minus(Box<Ast>),
    /// `a | b`
    Pipe(Box<Ast>, Box<Ast>),
    /// `a, b`
    Comma(Box<Ast>, Box<Ast>),
    /// `a // b`
    Alternative(Box<Ast>, Box<Ast>),
    And(Box<Ast>, Box<Ast>),
    Or(Box<Ast>, Box<Ast>),
    /// `a + b`, `a < b`, ..
    Binary(Op, Box<Ast>, Box<Ast>),
    /// `source as pattern | body`
    Bind(Box<Ast>, Pattern, Box<Ast>),
    /// `reduce source as pattern (init; update)`
    Reduce(Box<Ast>, Pattern, Box<Ast>, Box<Ast>),
    /// `foreach source as pattern (init; update; extract)`
    Foreach(Box<Ast>, Pattern, Box<Ast>, Box<Ast>, Option<Box<Ast>>),
    /// `if .. then .. else .. end`
    If(Box<Ast>, Box<Ast>, Box<Ast>),
    /// `try body catch handler`, `body?`
    Try(Box<Ast>, Option<Box<Ast>>),
    /// `name(arguments)`
    Call(Box<str>, Vec<Ast>),
}

/// What names are given to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
    Name(Box<str>),
    List(Vec<Pattern>),
    Object(Vec<(Box<str>, Pattern)>),
}

/// An operator on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
