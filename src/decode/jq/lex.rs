//! An expression as words.

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(f64),
    /// A text in pieces: plain ones, and the expressions of `\( )`.
    Text(Vec<Piece>),
    /// `name`, `if`, `and`, `@base64d`
    Word(Box<str>),
    /// `$name`
    Variable(Box<str>),
    /// `.name`
    Field(Box<str>),
    /// `|`, `//`, `==`, ..
    Sign(&'static str),
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Plain(String),
    Inner(Vec<Token>),
}

/// Longer ones first.
const SIGNS: [&str; 27] = [
    "?//", "//=", "//", "..", "==", "!=", "<=", ">=", "|=", "+=", "-=", "*=", "/=", "|", ",", "(", ")", "[", "]", "{",
    "}", ":", ";", "?", "+", "-", "*",
];
const MORE_SIGNS: [&str; 6] = ["/", "%", "<", ">", "=", "."];

/// Deepest `\( )` inside each other.
const INNER_MAX: usize = 8;

/// Cuts an expression into words.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { text, at: 0, depth: 0 };
    let tokens = lexer.tokens(false)?;
    Ok(tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// All words, up to the `)` that closes an inner expression.
    fn tokens(&mut self, inner: bool) -> Result<Vec<Token>, String> {
        let mut tokens = Vec::new();
        let mut open = 0_usize;
        loop {
            self.at += self.rest().len() - self.rest().trim_start().len();
            let rest = self.rest();
            let Some(first) = rest.chars().next() else {
                return if inner { Err("`\\(` is never closed".to_owned()) } else { Ok(tokens) };
            };
            match first {
                '#' => {
                    self.at += rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                '(' => open += 1,
                ')' if inner && open == 0 => {
                    self.at += 1;
                    return Ok(tokens);
                }
                ')' => open = open.saturating_sub(1),
                _ => {}
            }
            tokens.push(self.token(first)?);
        }
    }

    fn token(&mut self, first: char) -> Result<Token, String> {
        let rest = self.rest();
        let second = rest[first.len_utf8()..].chars().next();
        let begins_name = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        Ok(match first {
            '"' => {
                self.at += 1;
                Token::Text(self.text()?)
            }
            '0'..='9' => self.number()?,
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => self.number()?,
            '.' if begins_name(second) => {
                self.at += 1;
                Token::Field(self.word().into())
            }
            '$' if begins_name(second) => {
                self.at += 1;
                Token::Variable(self.word().into())
            }
            '@' if begins_name(second) => {
                self.at += 1;
                Token::Word(format!("@{}", self.word()).into())
            }
            c if begins_name(Some(c)) => Token::Word(self.word().into()),
            _ => {
                let sign = SIGNS.iter().chain(&MORE_SIGNS).find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| format!("at byte {}: {first:?} is no part of an expression", self.at))?;
                self.at += sign.len();
                Token::Sign(sign)
            }
        })
    }

    fn number(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        let mut end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if let Some(exponent) = rest[end..].strip_prefix(['e', 'E']) {
            let sign = usize::from(exponent.starts_with(['+', '-']));
            let digits = exponent[sign..].bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 {
                end += 1 + sign + digits;
            }
        }
        let number = rest[..end].parse::<f64>().ok().filter(|number| number.is_finite());
        self.at += end;
        number.map(Token::Number).ok_or_else(|| format!("`{}` is no number", &rest[..end]))
    }

    /// What stands between quotes.
    fn text(&mut self) -> Result<Vec<Piece>, String> {
        let unclosed = || "a text is never closed by `\"`".to_owned();
        let mut pieces = Vec::new();
        let mut plain = String::new();
        loop {
            let first = self.rest().chars().next().ok_or_else(unclosed)?;
            self.at += first.len_utf8();
            match first {
                '"' => {
                    if !plain.is_empty() || pieces.is_empty() {
                        pieces.push(Piece::Plain(plain));
                    }
                    return Ok(pieces);
                }
                '\\' => {
                    let escaped = self.rest().chars().next().ok_or_else(unclosed)?;
                    self.at += escaped.len_utf8();
                    match escaped {
                        'n' => plain.push('\n'),
                        't' => plain.push('\t'),
                        'r' => plain.push('\r'),
                        '"' | '\\' | '/' => plain.push(escaped),
                        'u' => {
                            let code = self.rest().get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                            plain.push(code.and_then(char::from_u32).ok_or("`\\u` needs four hex digits")?);
                            self.at += 4;
                        }
                        '(' => {
                            self.depth += 1;
                            if self.depth > INNER_MAX {
                                return Err("texts inside texts, too deep".to_owned());
                            }
                            pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                            pieces.push(Piece::Inner(self.tokens(true)?));
                            self.depth -= 1;
                        }
                        other => return Err(format!("`\\{other}` is no escape")),
                    }
                }
                other => plain.push(other),
            }
        }
    }
}
