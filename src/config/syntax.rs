//! From text to a tree, past every syntax error.
//!
//! Owns recovery: the parser's own carries on inside whatever it was in (an array that is never closed swallows the
//! file, one mistake becomes twenty). Here a broken statement is reported once, blanked out (same length, so all
//! positions stay right), and the text parsed again. Bounded by [`SYNTAX_ERRORS_MAX`] rounds.

use std::ops::Range;

use toml::de::DeTable;

use super::pieces;
use super::render::is_secret;
use super::tree::{Context, Entry, Spot, copy_table};

/// Broken statements reported in one file. Each costs one parse; a file with more is no configuration file.
const SYNTAX_ERRORS_MAX: usize = 20;

/// Parses file number `file` of the context, reports what is broken, and returns what is not.
pub fn parse(ctx: &mut Context<'_>, file: usize) -> Vec<Entry> {
    let source = std::sync::Arc::clone(&ctx.files[file]);
    if let Some(entries) = pieces::parse(source.text(), file) {
        return entries;
    }
    let mut text = source.text().to_owned();
    for round in 0.. {
        let error = match DeTable::parse(&text) {
            Ok(table) => return copy_table(table.get_ref(), file, 0),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let spot = |bytes: &Range<usize>| Spot { file, start: bytes.start, end: bytes.end };
        if round >= SYNTAX_ERRORS_MAX {
            ctx.error(spot(&span), "too many syntax errors; the rest of this file was not read");
            break;
        }
        let broken = statement(&text, span.start.min(text.len()));
        report(ctx, file, &text, error.message(), &span, &broken);
        if text[broken.bytes.clone()].trim().is_empty() {
            break;
        }
        ctx.damaged.push(spot(&broken.bytes));
        blank(&mut text, &broken.bytes);
    }
    ctx.damaged.push(Spot { file, start: 0, end: text.len() });
    Vec::new()
}

fn report(ctx: &mut Context<'_>, file: usize, text: &str, message: &str, span: &Range<usize>, broken: &Broken) {
    let spot = |start: usize, end: usize| Spot { file, start, end };
    if let Some(open) = broken.unclosed {
        let bracket = &text[open..open + 1];
        if matches!(bracket, "\"" | "'") {
            let quotes = bracket.repeat(3);
            ctx.error(spot(open, open + 3), "this text is never closed").label(format!("expected {quotes} at its end"));
            return;
        }
        let close = if bracket == "[" { "]" } else { "}" };
        ctx.error(spot(open, open + 1), format!("`{bracket}` is never closed"))
            .label(format!("expected a `{close}` before the next statement"));
        return;
    }
    if message.starts_with("duplicate key") {
        report_duplicate(ctx, file, text, span);
        return;
    }
    // The parser points at the end of a line by a span of no bytes; a caret needs something to stand under.
    let line = line_range(text, span.start.min(text.len()));
    let here = &text[line.clone()];
    let at = spot(span.start, span.end.max(span.start).min(line.end.max(span.start)));
    let value = here.split_once('=').map_or("", |(_, value)| value.trim());
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if let Some((whole, rest)) = value.split_once(',')
        && digits(whole.trim_start_matches('-'))
        && digits(rest.split_whitespace().next().unwrap_or(""))
    {
        ctx.error(at, "a number is written with a point, not a comma")
            .help(format!("write {whole}.{}", rest.split_whitespace().next().unwrap_or("")));
    } else if what.starts_with("key with no value") || what.starts_with("missing assignment") {
        ctx.error(at, "syntax error: a key without a value").label("expected `=` and a value");
    } else if what.starts_with("string values must be quoted") || what.starts_with("invalid boolean") {
        let help = quoting_help(here, value);
        ctx.error(at, "syntax error: this is no TOML value")
            .label("a text stands in quotes, as in \"temperature\"")
            .help(help);
    } else if what.starts_with("invalid basic string") || what.starts_with("invalid literal string") {
        ctx.error(at, format!("syntax error: {what}")).label(match expected.len() {
            1..=5 => "this text is not closed by its quote".to_owned(),
            _ => format!("expected {expected}"),
        });
    } else if what.contains("recursion limit") || what.contains("recurse") {
        ctx.error(at, "nested too deeply").label("no configuration needs this many levels");
    } else {
        let problem = ctx.error(at, format!("syntax error: {what}"));
        if !matches!(expected, "" | "nothing") {
            problem.label(format!("expected {expected}"));
        }
    }
}

/// How a value that stands without quotes was probably meant.
fn quoting_help(line: &str, value: &str) -> String {
    let key = statement_key(line).unwrap_or("");
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => return format!("write {key} = true"),
        "false" | "no" | "off" => return format!("write {key} = false"),
        _ => {}
    }
    let simple = |c: char| c.is_alphanumeric() || matches!(c, '.' | '/' | '-' | '_' | ':' | '+' | '%' | '°');
    // A repeated value could be a password.
    if value.len() <= 60 && !value.is_empty() && value.chars().all(simple) && !is_secret(line) {
        return format!("write {key} = \"{value}\"");
    }
    "numbers are written 8.0, durations and sizes \"30s\" and \"64MiB\", switches true or false".to_owned()
}

fn report_duplicate(ctx: &mut Context<'_>, file: usize, text: &str, span: &Range<usize>) {
    let name = text.get(span.clone()).unwrap_or("").to_owned();
    let line = line_range(text, span.start);
    let header = is_header(&text[line.clone()]);
    let wanted = statement_key(&text[line.clone()]);
    // For a key: back to the heading it stands under. For a heading: the same heading, anywhere before.
    let mut first = None;
    let mut end = line.start;
    while end > 0 {
        let before = line_range(text, end - 1);
        let content = &text[before.clone()];
        if (is_header(content) == header) && statement_key(content) == wanted {
            first = Some(before.start..before.start + content.trim_end().len());
        }
        if !header && (is_header(content) || first.is_some()) {
            break;
        }
        end = before.start;
    }
    let note = first.map(|range| ctx.place(Spot { file, start: range.start, end: range.end }));
    let what = if header { "table" } else { "key" };
    let problem = ctx.error(Spot { file, start: span.start, end: span.end }, format!("{what} `{name}` is there twice"));
    problem.label("the second time");
    if let Some(place) = note {
        problem.note(place, "the first time");
    }
    if header && matches!(name.as_str(), "source" | "alarm") {
        problem.help(format!("every {name} starts with [[{name}]], in double brackets"));
    } else if header {
        problem.help(format!("put all keys of `{name}` under one heading"));
    }
}

/// A statement that cannot be parsed.
struct Broken {
    /// What to blank.
    bytes: Range<usize>,
    /// The bracket that is never closed.
    unclosed: Option<usize>,
}

/// Finds the statement that an error at `at` belongs to.
fn statement(text: &str, at: usize) -> Broken {
    let scan = Scan::run(text, at);
    let line = line_range(text, at);
    if is_header(&text[line.clone()]) && scan.open.is_none() {
        // A broken heading takes its keys with it: under the heading before they would only make false errors.
        return Broken { bytes: line.start..next_header(text, line.end), unclosed: None };
    }
    let Some((open, quoted)) = scan.open else {
        return Broken { bytes: line, unclosed: None };
    };
    let start = line_range(text, open).start;
    match scan.closed_at {
        None if quoted => Broken { bytes: start..text.len(), unclosed: Some(open) },
        Some(close) => Broken { bytes: start..line_range(text, close).end.max(line.end), unclosed: None },
        None => Broken { bytes: start..scan.gave_up.max(line_range(text, start).end), unclosed: Some(open) },
    }
}

/// Where the bracket around a position opens and closes.
struct Scan {
    /// The outermost bracket that is open at the position (or the multi-line text it is inside of: `true`).
    open: Option<(usize, bool)>,
    /// Where that bracket closes.
    closed_at: Option<usize>,
    /// Start of the line that cannot be inside the bracket, where the search for its end was given up.
    gave_up: usize,
}

impl Scan {
    /// Walks over the text once, knowing texts, comments and brackets.
    fn run(text: &str, at: usize) -> Self {
        let bytes = text.as_bytes();
        let mut scan = Self { open: None, closed_at: None, gave_up: text.len() };
        // The outermost bracket and how many are open; only `[` and `{` after a `=`, not headings.
        let (mut outer, mut depth) = (0, 0usize);
        let mut i = 0;
        let mut line_start = true;
        while i < bytes.len() {
            if line_start {
                line_start = false;
                let line = &text[i..line_range(text, i).end];
                let array = depth > 0 && bytes[outer] == b'[';
                if is_header(line) || (array && depth == 1 && statement_key(line).is_some()) {
                    // A line that starts anew cannot be inside a bracket: that one was never closed.
                    if depth > 0 {
                        scan.open = Some((outer, false));
                        scan.gave_up = i;
                        return scan;
                    }
                    if is_header(line) {
                        i += line.len();
                        continue;
                    }
                }
            }
            match bytes[i] {
                b'\n' => line_start = true,
                b'#' => {
                    i = line_range(text, i).end;
                    continue;
                }
                quote @ (b'"' | b'\'') => {
                    let end = text_end(bytes, i, quote);
                    if i < at && end >= at && bytes[i..].starts_with(&[quote; 3]) {
                        scan.open = Some((i, true));
                        let closed = end >= i + 6 && bytes[..end].ends_with(&[quote; 3]);
                        scan.closed_at = closed.then_some(end - 1);
                        return scan;
                    }
                    i = end;
                    continue;
                }
                b'[' | b'{' => {
                    if depth == 0 {
                        if i >= at {
                            return scan;
                        }
                        outer = i;
                    }
                    depth += 1;
                }
                b']' | b'}' if depth > 0 => {
                    depth -= 1;
                    if depth == 0 && i >= at {
                        scan.open = Some((outer, false));
                        scan.closed_at = Some(i);
                        return scan;
                    }
                }
                _ => {}
            }
            if depth == 0 && i >= at {
                return scan;
            }
            i += 1;
        }
        if depth > 0 {
            scan.open = Some((outer, false));
        }
        scan
    }
}

/// The byte after a quoted text that starts at `start`; a text on one line ends at the line's end at the latest.
fn text_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let triple = [quote; 3];
    let many = bytes[start..].starts_with(&triple);
    let mut i = start + if many { 3 } else { 1 };
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if quote == b'"' => i += 1,
            b'\n' if !many => return i,
            _ if many && bytes[i..].starts_with(&triple) => return i + 3,
            byte if !many && byte == quote => return i + 1,
            _ => {}
        }
        i += 1;
    }
    bytes.len()
}

/// The line around a position, without its end.
fn line_range(text: &str, at: usize) -> Range<usize> {
    let bytes = text.as_bytes();
    let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |found| found + 1);
    let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(text.len(), |found| at + found);
    start..end.max(start)
}

/// Whether a line looks like `[table]` or `[[table]]`, or was meant to.
fn is_header(line: &str) -> bool {
    let line = line.trim_start();
    let name = line.trim_start_matches('[');
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let rest = name.trim_start_matches(word).trim_start_matches(']').trim();
    line.starts_with('[')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && (rest.is_empty() || rest.starts_with('#'))
}

fn next_header(text: &str, from: usize) -> usize {
    let mut at = from;
    while at < text.len() {
        let line = line_range(text, at + 1);
        if is_header(&text[line.clone()]) {
            return line.start;
        }
        at = line.end;
    }
    text.len()
}

/// The key that a line sets, or the name in a heading.
fn statement_key(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if is_header(line) {
        return Some(line.trim_start_matches('[').split([']', '#']).next().unwrap_or("").trim());
    }
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!key.is_empty() && key.chars().all(word)).then_some(key)
}

/// Replaces a stretch by blanks, keeping its line ends and its length.
fn blank(text: &mut String, bytes: &Range<usize>) {
    let blanks: String = text[bytes.clone()].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
    text.replace_range(bytes.clone(), &blanks);
}
