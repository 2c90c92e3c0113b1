//! Objects that are made, and patterns that name the parts of a value.

use super::super::super::tree::Tree;
use super::super::ast::{Ast, Pattern};
use super::super::lex::Token;
use super::{Parser, boxed, unexpected};

impl Parser {
    pub(super) fn object(&mut self) -> Result<Ast, String> {
        let mut members = Vec::new();
        while !self.sign("}") {
            self.part()?;
            let (key, short) = match self.next() {
                Some(Token::Word(word)) => (Ast::Literal(Tree::Text(word)), None),
                Some(Token::Text(pieces)) => (self.text(pieces)?, None),
                Some(Token::Variable(name)) if self.names.contains(&name) => {
                    (Ast::Literal(Tree::Text(name.clone())), Some(Ast::Variable(name)))
                }
                Some(Token::Sign("(")) => {
                    let key = self.inside(Self::pipe)?;
                    self.expect(")")?;
                    (key, None)
                }
                other => return Err(unexpected(other.as_ref())),
            };
            let value = match short {
                Some(value) => value,
                // No comma and no pipe: they would end the member.
                None if self.sign(":") => self.inside(Self::alternative)?,
                None => Ast::Index(boxed(Ast::Identity), boxed(key.clone())),
            };
            members.push((key, value));
            if !self.sign(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Ast::Object(members))
    }

    pub(super) fn pattern(&mut self) -> Result<Pattern, String> {
        self.part()?;
        match self.next() {
            Some(Token::Variable(name)) => Ok(Pattern::Name(name)),
            Some(Token::Sign("[")) => {
                let mut items = vec![self.inside(Self::pattern)?];
                while self.sign(",") {
                    items.push(self.inside(Self::pattern)?);
                }
                self.expect("]")?;
                Ok(Pattern::List(items))
            }
            Some(Token::Sign("{")) => {
                let mut members = Vec::new();
                loop {
                    members.push(match self.next() {
                        Some(Token::Variable(name)) => (name.clone(), Pattern::Name(name)),
                        Some(Token::Word(key)) => {
                            self.expect(":")?;
                            (key, self.inside(Self::pattern)?)
                        }
                        other => return Err(unexpected(other.as_ref())),
                    });
                    if !self.sign(",") {
                        self.expect("}")?;
                        return Ok(Pattern::Object(members));
                    }
                }
            }
            other => Err(unexpected(other.as_ref())),
        }
    }
}

impl Pattern {
    pub(super) fn names(&self, into: &mut Vec<Box<str>>) {
        match self {
            Self::Name(name) => into.push(name.clone()),
            Self::List(items) => items.iter().for_each(|item| item.names(into)),
            Self::Object(members) => members.iter().for_each(|(_, item)| item.names(into)),
        }
    }
}
