//! The short way through a plain JSON document, as nearly all are that devices send.
//!
//! Owns a scanner that knows no escapes, no exponents, no numbers beyond what a double holds exactly and no deep nesting.
//! It never decides that a document is wrong: where it meets anything but the plain it ends, and the document goes
//! through serde_json from its beginning. What it takes serde_json takes too, with the same values in the same order.

use super::Node;
use crate::decode::sink::Sink;
use crate::decode::value::Raw;

/// Objects and lists inside each other. Real messages have up to five; it bounds the recursion.
const DEPTH_MAX: usize = 16;

/// Digits of a number, which an `i64` then holds in any case.
const DIGITS_MAX: usize = 18;

/// Above this magnitude `f64` does not hold every whole number.
const EXACT_MAX: u64 = 1 << 53;

/// Powers of ten. All of them are exact, so that a whole number up to [`EXACT_MAX`] divided by one is rounded once: the
/// nearest double to the decimal number (W. D. Clinger, How to Read Floating Point Numbers Accurately, 1990).
const POWERS: [f64; DIGITS_MAX] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17];

/// Puts what is wanted into the sink. `None`: this is no plain document, and what is in the sink by then has to go.
pub(super) fn read(text: &[u8], root: &Node, sink: &mut Sink<'_>) -> Option<()> {
    let mut scan = Scan { text, at: 0 };
    scan.blanks();
    match scan.peek()? {
        b'{' => scan.object(root, sink.takes_all(), DEPTH_MAX, sink)?,
        b'[' => scan.list(root, DEPTH_MAX, sink)?,
        _ => return None,
    }
    scan.blanks();
    (scan.at == text.len()).then_some(())
}

/// The bytes that a text goes on with: neither its end nor an escape nor what may not stand in it.
const GOES_ON: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = false;
        byte += 1;
    }
    table[b'"' as usize] = false;
    table[b'\\' as usize] = false;
    table
};

/// A text, and how far it has been read.
struct Scan<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scan<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_it = self.peek() == Some(wanted);
        self.at += usize::from(is_it);
        is_it
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Behind a value: whether another one follows.
    fn goes_on(&mut self, closing: u8) -> Option<bool> {
        self.blanks();
        match self.next()? {
            b',' => {
                self.blanks();
                Some(true)
            }
            byte => (byte == closing).then_some(false),
        }
    }

    fn object(&mut self, node: &Node, takes_all: bool, depth: usize, sink: &mut Sink<'_>) -> Option<()> {
        self.begin(node, sink)?;
        if self.take(b'}') {
            return Some(());
        }
        let depth = depth.checked_sub(1)?;
        let mut next = 0;
        loop {
            let key = self.key()?;
            match node.key(key, &mut next) {
                Some(child) => self.value(child, depth, sink)?,
                None if takes_all => self.other(std::str::from_utf8(key).ok()?, depth, sink)?,
                None => self.skip(depth)?,
            }
            if !self.goes_on(b'}')? {
                return Some(());
            }
        }
    }

    fn list(&mut self, node: &Node, depth: usize, sink: &mut Sink<'_>) -> Option<()> {
        self.begin(node, sink)?;
        if self.take(b']') {
            return Some(());
        }
        let depth = depth.checked_sub(1)?;
        for index in 0_usize.. {
            match node.item(index) {
                Some(child) => self.value(child, depth, sink)?,
                None => self.skip(depth)?,
            }
            if !self.goes_on(b']')? {
                break;
            }
        }
        Some(())
    }

    /// The opening bracket of something that is wanted. What is carried whole takes more than this scanner.
    fn begin(&mut self, node: &Node, sink: &mut Sink<'_>) -> Option<()> {
        if node.carried().is_some() {
            return None;
        }
        node.put(&Raw::Composite, sink);
        self.at += 1;
        self.blanks();
        Some(())
    }

    fn value(&mut self, node: &Node, depth: usize, sink: &mut Sink<'_>) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(node, false, depth, sink),
            b'[' => self.list(node, depth, sink),
            _ => {
                node.put(&self.single()?, sink);
                Some(())
            }
        }
    }

    /// A member that nothing is configured for, where such are wanted.
    fn other(&mut self, key: &str, depth: usize, sink: &mut Sink<'_>) -> Option<()> {
        match self.peek()? {
            b'{' | b'[' => self.skip(depth),
            _ => {
                match self.single()? {
                    Raw::Text(_) => {}
                    raw => sink.other(key, &raw),
                }
                Some(())
            }
        }
    }

    /// What nobody wants; it has to be JSON all the same.
    fn skip(&mut self, depth: usize) -> Option<()> {
        let closing = match self.peek()? {
            b'{' => b'}',
            b'[' => b']',
            b'"' => return self.quoted().map(drop),
            _ => return self.single().map(drop),
        };
        self.at += 1;
        self.blanks();
        if self.take(closing) {
            return Some(());
        }
        let depth = depth.checked_sub(1)?;
        loop {
            if closing == b'}' {
                self.key()?;
            }
            self.skip(depth)?;
            if !self.goes_on(closing)? {
                return Some(());
            }
        }
    }

    /// A name, and the colon behind it.
    fn key(&mut self) -> Option<&'t [u8]> {
        let key = self.quoted()?;
        self.blanks();
        if !self.take(b':') {
            return None;
        }
        self.blanks();
        Some(key)
    }

    /// A text without an escape in it. It has to be UTF-8, wanted or not.
    fn quoted(&mut self) -> Option<&'t [u8]> {
        if !self.take(b'"') {
            return None;
        }
        let rest = self.text.get(self.at..)?;
        let (mut length, mut all_bits) = (0, 0);
        for byte in rest.iter().take_while(|byte| GOES_ON[usize::from(**byte)]) {
            length += 1;
            all_bits |= byte;
        }
        self.at += length;
        let inside = rest.get(..length)?;
        let is_text = all_bits < 0x80 || std::str::from_utf8(inside).is_ok();
        (self.take(b'"') && is_text).then_some(inside)
    }

    /// A value that is no object and no list.
    fn single(&mut self) -> Option<Raw<'t>> {
        match self.peek()? {
            b'"' => Some(Raw::Text(std::str::from_utf8(self.quoted()?).ok()?)),
            b't' => self.word("true", Raw::Bool(true)),
            b'f' => self.word("false", Raw::Bool(false)),
            b'n' => self.word("null", Raw::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, raw: Raw<'t>) -> Option<Raw<'t>> {
        let is_it = self.text.get(self.at..)?.starts_with(word.as_bytes());
        self.at += word.len();
        is_it.then_some(raw)
    }

    fn number(&mut self) -> Option<Raw<'t>> {
        let is_negative = self.take(b'-');
        let is_zero_first = self.peek() == Some(b'0');
        let (mut number, before) = self.digits(0)?;
        if is_zero_first && before > 1 {
            return None;
        }
        let mut behind = 0;
        if self.take(b'.') {
            (number, behind) = self.digits(number)?;
        }
        if before + behind > DIGITS_MAX || matches!(self.peek(), Some(b'e' | b'E')) {
            return None;
        }
        if behind == 0 {
            // A zero with a sign is no whole number.
            let whole = i64::try_from(number).ok().filter(|whole| *whole != 0 || !is_negative)?;
            return Some(Raw::Integer(if is_negative { -whole } else { whole }));
        }
        if number > EXACT_MAX {
            return None;
        }
        let size = number as f64 / POWERS.get(behind)?;
        Some(Raw::Number(if is_negative { -size } else { size }))
    }

    /// Digits, at least one, behind those that were read; and how many.
    fn digits(&mut self, mut number: u64) -> Option<(u64, usize)> {
        let from = self.at;
        for byte in self.text.get(from..)? {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            // Wraps only where there are more than are taken.
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        (self.at > from).then_some((number, self.at - from))
    }
}
