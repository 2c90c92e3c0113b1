//! Single values: texts with their variables filled in, and numbers.

use super::interpolate::interpolate;
use super::report::Problem;
use super::tree::{Context, Data, Entry, Node, Spot};

/// Longest text value, bytes, after variables are filled in. Paths end at 4096.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Characters of a value repeated in a message.
pub const FOUND_CHARS_MAX: usize = 60;

/// A text value, variables filled in.
#[derive(Clone)]
pub struct Text {
    /// The text.
    pub value: String,
    /// Its value's place, quotes included.
    pub spot: Spot,
    /// It stands in the file as it is: one quote, no escapes, no variables.
    plain: bool,
}

impl Text {
    /// A key's own name, as a text.
    pub fn of_key(entry: &Entry) -> Self {
        Self { value: entry.name.clone(), spot: entry.key, plain: false }
    }

    /// The place of some bytes of the text, where it is possible to tell.
    pub fn at(&self, start: usize, end: usize) -> Spot {
        match self.plain {
            true => Spot { start: self.spot.start + 1 + start, end: self.spot.start + 1 + end, ..self.spot },
            false => self.spot,
        }
    }

    /// The text for a message: only if it stands in the file so, since variables may hold secrets, and only if short.
    pub fn shown(&self) -> Option<&str> {
        (self.plain && self.value.chars().count() <= FOUND_CHARS_MAX).then_some(&*self.value)
    }
}

/// Reads a text and fills in its variables.
pub fn text(ctx: &mut Context<'_>, node: &Node, what: &str) -> Option<Text> {
    let Data::Text(written) = &node.data else {
        wrong_type(ctx, node, what, "a text");
        return None;
    };
    let raw = ctx.raw(node.spot);
    let plain = raw.len() == written.len() + 2 && raw.get(1..raw.len() - 1) == Some(written);
    if written.len() > TEXT_BYTES_MAX {
        ctx.error(node.spot, format!("{what} is {} bytes long", written.len()))
            .label(format!("at most {TEXT_BYTES_MAX}"));
        return None;
    }
    match interpolate(written, ctx.env) {
        Ok(value) if value.len() > TEXT_BYTES_MAX => {
            ctx.error(node.spot, format!("{what} is {} bytes long", value.len()))
                .label(format!("at most {TEXT_BYTES_MAX}"));
            None
        }
        Ok(value) => Some(Text { plain: plain && value == *written, value, spot: node.spot }),
        Err(faults) => {
            let whole = Text { value: String::new(), spot: node.spot, plain };
            for fault in faults {
                let problem = ctx.error(whole.at(fault.bytes.start, fault.bytes.end), fault.message);
                if fault.variable == "CREDENTIALS_DIRECTORY" {
                    problem.help(
                        "systemd sets it for the service (LoadCredential=); \
                         to check by hand, set it to a directory with the same files",
                    );
                } else if matches!(
                    fault.variable.as_str(),
                    "topic" | "payload" | "sensor" | "gateway" | "severity" | "alarm" | "type"
                ) {
                    problem
                        .help(format!("a place in a template is written {{{}}}, without the dollar", fault.variable));
                } else if !fault.variable.is_empty() {
                    problem.help(format!("set it, or give a default: ${{{}:-default}}", fault.variable));
                } else {
                    problem.help("an environment variable is written ${NAME}; for a dollar sign itself write $$");
                }
            }
            None
        }
    }
}

/// Reads a finite number.
pub fn number(ctx: &mut Context<'_>, node: &Node, what: &str) -> Option<f64> {
    match &node.data {
        Data::Integer(Some(number)) => Some(*number as f64),
        Data::Number(Some(number)) if number.is_finite() => Some(*number),
        Data::Integer(None) | Data::Number(_) => {
            ctx.error(node.spot, format!("{what} is no number that can be compared")).label("expected a finite number");
            None
        }
        Data::Text(text) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
            let help = format!("write {}, without quotes", text.trim());
            wrong_type(ctx, node, what, "a number").help(help);
            None
        }
        Data::Text(text) if text.contains("${") => {
            wrong_type(ctx, node, what, "a number")
                .help("variables are filled in inside texts only; write the number itself");
            None
        }
        _ => {
            wrong_type(ctx, node, what, "a number");
            None
        }
    }
}

/// Reports a value of the wrong type.
pub fn wrong_type<'c>(ctx: &'c mut Context<'_>, node: &Node, what: &str, expected: &str) -> &'c mut Problem {
    ctx.error(node.spot, format!("{what} is {}", node.kind())).label(format!("expected {expected}"))
}

/// Reports a text that cannot be read as what it should be; say why by a label.
pub fn unreadable<'c>(ctx: &'c mut Context<'_>, text: &Text, name: &str) -> &'c mut Problem {
    match text.shown() {
        // An address may hold a password; the report masks the line, and the message must not give it away.
        Some(shown) if !shown.contains('@') => ctx.error(text.spot, format!("`{name}`: cannot read \"{shown}\"")),
        _ => ctx.error(text.spot, format!("`{name}` cannot be read")),
    }
}
