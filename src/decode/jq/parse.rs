//! Words as an [`Ast`], by jq's precedence: `|`, `,`, `//`, `or`, `and`, comparisons, `+ -`, `* / %`, then terms.
//!
//! Bounded: parts of an expression and nesting, so that running it needs little stack.

mod shapes;

use super::super::tree::Tree;
use super::ast::{Ast, Op, Pattern};
use super::functions;
use super::lex::{Piece, Token, lex};
use super::value::number as number_of;

/// Most parts of an expression.
const PARTS_MAX: usize = 400;

/// Deepest nesting of brackets.
const DEPTH_MAX: usize = 40;

/// Words that are no functions.
const RESERVED: [&str; 13] =
    ["if", "then", "elif", "else", "end", "as", "and", "or", "try", "catch", "reduce", "foreach", "def"];

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Ast, String> {
    let mut parser = Parser { tokens: lex(text)?, at: 0, parts: 0, depth: 0, names: vec!["topic".into()] };
    let ast = parser.pipe()?;
    match parser.peek() {
        None => Ok(ast),
        Some(token) => Err(unexpected(Some(token))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    parts: usize,
    depth: usize,
    /// Variables in scope.
    names: Vec<Box<str>>,
}

fn unexpected(token: Option<&Token>) -> String {
    match token {
        None => "the expression ends too early".to_owned(),
        Some(Token::Sign(sign @ ("=" | "|=" | "+=" | "-=" | "*=" | "/=" | "//="))) => {
            format!("`{sign}`: assignments are not part of the language here")
        }
        Some(Token::Sign(sign)) => format!("`{sign}` does not belong there"),
        Some(Token::Word(word)) if &**word == "def" => "definitions are not part of the language here".to_owned(),
        Some(Token::Word(word)) => format!("`{word}` does not belong there"),
        Some(Token::Variable(name)) => format!("`${name}` does not belong there"),
        Some(Token::Field(name)) => format!("`.{name}` does not belong there"),
        Some(Token::Number(number)) => format!("`{number}` does not belong there"),
        Some(Token::Text(_)) => "a text does not belong there".to_owned(),
    }
}

fn boxed(ast: Ast) -> Box<Ast> {
    Box::new(ast)
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(is);
        is
    }

    fn word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(found)) if **found == *word);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(format!("expected `{sign}`: {}", unexpected(self.peek()))) }
    }

    fn expect_word(&mut self, word: &str) -> Result<(), String> {
        if self.word(word) { Ok(()) } else { Err(format!("expected `{word}`: {}", unexpected(self.peek()))) }
    }

    fn part(&mut self) -> Result<(), String> {
        self.parts += 1;
        if self.parts > PARTS_MAX { Err(format!("more than {PARTS_MAX} parts")) } else { Ok(()) }
    }

    /// Something in brackets.
    fn inside<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} brackets inside each other"));
        }
        let read = read(self)?;
        self.depth -= 1;
        Ok(read)
    }

    fn pipe(&mut self) -> Result<Ast, String> {
        let left = self.comma()?;
        if self.word("as") {
            let pattern = self.pattern()?;
            self.expect("|")?;
            return self.bound(&pattern, Self::pipe).map(|body| Ast::Bind(boxed(left), pattern.clone(), boxed(body)));
        }
        if self.sign("|") {
            return Ok(Ast::Pipe(boxed(left), boxed(self.pipe()?)));
        }
        Ok(left)
    }

    /// Reads with the names of a pattern in scope.
    fn bound<T>(&mut self, pattern: &Pattern, read: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        let before = self.names.len();
        pattern.names(&mut self.names);
        let read = read(self)?;
        self.names.truncate(before);
        Ok(read)
    }

    fn comma(&mut self) -> Result<Ast, String> {
        let mut left = self.alternative()?;
        while self.sign(",") {
            self.part()?;
            left = Ast::Comma(boxed(left), boxed(self.alternative()?));
        }
        Ok(left)
    }

    fn alternative(&mut self) -> Result<Ast, String> {
        let left = self.or()?;
        if self.sign("//") {
            self.part()?;
            return Ok(Ast::Alternative(boxed(left), boxed(self.alternative()?)));
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Ast, String> {
        let mut left = self.and()?;
        while self.word("or") {
            self.part()?;
            left = Ast::Or(boxed(left), boxed(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Ast, String> {
        let mut left = self.comparison()?;
        while self.word("and") {
            self.part()?;
            left = Ast::And(boxed(left), boxed(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Ast, String> {
        let ops = [
            ("==", Op::Equal),
            ("!=", Op::NotEqual),
            ("<=", Op::LessOrEqual),
            (">=", Op::GreaterOrEqual),
            ("<", Op::Less),
            (">", Op::Greater),
        ];
        let left = self.sum()?;
        match ops.iter().find(|(sign, _)| self.sign(sign)) {
            Some((_, op)) => Ok(Ast::Binary(*op, boxed(left), boxed(self.sum()?))),
            None => Ok(left),
        }
    }

    fn sum(&mut self) -> Result<Ast, String> {
        self.chain(&[("+", Op::Add), ("-", Op::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Ast, String> {
        self.chain(&[("*", Op::Multiply), ("/", Op::Divide), ("%", Op::Remainder)], Self::postfix)
    }

    fn chain(&mut self, ops: &[(&str, Op)], operand: fn(&mut Self) -> Result<Ast, String>) -> Result<Ast, String> {
        let mut left = operand(self)?;
        while let Some((_, op)) = ops.iter().find(|(sign, _)| self.sign(sign)) {
            self.part()?;
            left = Ast::Binary(*op, boxed(left), boxed(operand(self)?));
        }
        Ok(left)
    }

    /// A term and what follows it: `.a`, `[..]`, `?`.
    fn postfix(&mut self) -> Result<Ast, String> {
        self.part()?;
        let mut term = self.term()?;
        loop {
            self.part()?;
            if let Some(Token::Field(name)) = self.peek() {
                let name = Ast::Literal(Tree::Text(name.clone()));
                self.at += 1;
                term = Ast::Index(boxed(term), boxed(name));
            } else if matches!(self.peek(), Some(Token::Sign("[")))
                || (matches!(self.peek(), Some(Token::Sign(".")))
                    && matches!(self.tokens.get(self.at + 1), Some(Token::Sign("[") | Token::Text(_))))
            {
                self.sign(".");
                term = if self.sign("[") { self.inside(|parser| parser.bracket(term))? } else { self.key(term)? };
            } else if self.sign("?") {
                term = Ast::Try(boxed(term), None);
            } else {
                return Ok(term);
            }
        }
    }

    /// `."key"`
    fn key(&mut self, target: Ast) -> Result<Ast, String> {
        match self.next() {
            Some(Token::Text(pieces)) => Ok(Ast::Index(boxed(target), boxed(self.text(pieces)?))),
            other => Err(unexpected(other.as_ref())),
        }
    }

    /// What follows `[`.
    fn bracket(&mut self, target: Ast) -> Result<Ast, String> {
        if self.sign("]") {
            return Ok(Ast::Each(boxed(target)));
        }
        if self.sign(":") {
            let to = self.pipe()?;
            self.expect("]")?;
            return Ok(Ast::Slice(boxed(target), None, Some(boxed(to))));
        }
        let index = self.pipe()?;
        if self.sign(":") {
            let to = if self.sign("]") {
                None
            } else {
                let to = self.pipe()?;
                self.expect("]")?;
                Some(boxed(to))
            };
            return Ok(Ast::Slice(boxed(target), Some(boxed(index)), to));
        }
        self.expect("]")?;
        Ok(Ast::Index(boxed(target), boxed(index)))
    }

    fn term(&mut self) -> Result<Ast, String> {
        let token = self.next();
        match token {
            Some(Token::Number(number)) => Ok(Ast::Literal(number_of(number))),
            Some(Token::Text(pieces)) => self.text(pieces),
            Some(Token::Field(name)) => Ok(Ast::Index(boxed(Ast::Identity), boxed(Ast::Literal(Tree::Text(name))))),
            Some(Token::Variable(name)) if self.names.contains(&name) => Ok(Ast::Variable(name)),
            Some(Token::Variable(name)) => Err(format!("`${name}` is not defined")),
            Some(Token::Sign("..")) => Ok(Ast::Recurse),
            Some(Token::Sign(".")) => match self.peek() {
                Some(Token::Text(_)) => self.key(Ast::Identity),
                _ => Ok(Ast::Identity),
            },
            Some(Token::Sign("-")) => Ok(Ast::Minus(boxed(self.inside(Self::postfix)?))),
            Some(Token::Sign("(")) => {
                let ast = self.inside(Self::pipe)?;
                self.expect(")")?;
                Ok(ast)
            }
            Some(Token::Sign("[")) if self.sign("]") => Ok(Ast::List(None)),
            Some(Token::Sign("[")) => {
                let ast = self.inside(Self::pipe)?;
                self.expect("]")?;
                Ok(Ast::List(Some(boxed(ast))))
            }
            Some(Token::Sign("{")) => self.inside(Self::object),
            Some(Token::Word(word)) => self.inside(|parser| parser.named(&word)),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn text(&mut self, pieces: Vec<Piece>) -> Result<Ast, String> {
        let mut parts = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Plain(plain) => parts.push(Ast::Literal(Tree::Text(plain.into()))),
                Piece::Inner(tokens) => {
                    let names = self.names.clone();
                    let mut inner = Parser { tokens, at: 0, parts: self.parts, depth: self.depth + 1, names };
                    parts.push(inner.pipe()?);
                    if inner.peek().is_some() {
                        return Err(unexpected(inner.peek()));
                    }
                    self.parts = inner.parts;
                }
            }
        }
        Ok(match (parts.pop(), parts.is_empty()) {
            (Some(only @ Ast::Literal(_)), true) => only,
            (Some(last), _) => {
                parts.push(last);
                Ast::Text(parts)
            }
            (None, _) => Ast::Literal(Tree::Text("".into())),
        })
    }

    fn named(&mut self, word: &str) -> Result<Ast, String> {
        match word {
            "true" | "false" => Ok(Ast::Literal(Tree::Bool(word == "true"))),
            "null" => Ok(Ast::Literal(Tree::Null)),
            "if" => self.condition(),
            "try" => {
                let body = self.postfix()?;
                let handler = if self.word("catch") { Some(boxed(self.postfix()?)) } else { None };
                Ok(Ast::Try(boxed(body), handler))
            }
            "reduce" | "foreach" => self.fold(word),
            reserved if RESERVED.contains(&reserved) => Err(unexpected(Some(&Token::Word(reserved.into())))),
            name => {
                let mut arguments = Vec::new();
                if self.sign("(") {
                    arguments.push(self.pipe()?);
                    while self.sign(";") {
                        arguments.push(self.pipe()?);
                    }
                    self.expect(")")?;
                }
                functions::check(name, arguments.len())?;
                Ok(Ast::Call(name.into(), arguments))
            }
        }
    }

    fn condition(&mut self) -> Result<Ast, String> {
        self.part()?;
        let condition = self.pipe()?;
        self.expect_word("then")?;
        let then = self.pipe()?;
        let other = if self.word("elif") {
            self.inside(Self::condition)?
        } else if self.word("else") {
            let other = self.pipe()?;
            self.expect_word("end")?;
            other
        } else {
            self.expect_word("end")?;
            Ast::Identity
        };
        Ok(Ast::If(boxed(condition), boxed(then), boxed(other)))
    }

    fn fold(&mut self, word: &str) -> Result<Ast, String> {
        let source = self.postfix()?;
        self.expect_word("as")?;
        let pattern = self.pattern()?;
        self.expect("(")?;
        let init = boxed(self.pipe()?);
        self.expect(";")?;
        let (update, extract) = self.bound(&pattern, |parser| {
            let update = boxed(parser.pipe()?);
            let more = word == "foreach" && parser.sign(";");
            Ok((update, if more { Some(boxed(parser.pipe()?)) } else { None }))
        })?;
        self.expect(")")?;
        Ok(match word {
            "reduce" => Ast::Reduce(boxed(source), pattern, init, update),
            _ => Ast::Foreach(boxed(source), pattern, init, update, extract),
        })
    }
}
