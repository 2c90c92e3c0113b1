//! What is wrong with a configuration, and how a person is told.
//!
//! Owns [`Report`]: every problem found in one run, each with file, line, column, the line itself with a caret, and
//! what to do. Never decides what is a problem, and never shows a secret: what follows a key such as `password` on its
//! line, the user part of a URL, and the inside of a PEM block are masked before anything is printed.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Problems written out; more than this helps nobody and a damaged 1 MiB file could have 100,000.
const SHOWN_MAX: usize = 100;

/// Characters of a source line shown around the caret.
const LINE_CHARS_MAX: usize = 140;

/// Words that mark what follows on the line as secret.
const SECRET_WORDS: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey"];

/// Whether a problem stops the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The configuration is refused.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// The text of one configuration file.
pub struct SourceFile {
    path: PathBuf,
    text: String,
    /// Offset of the first byte of each line.
    lines: Vec<usize>,
}

impl SourceFile {
    /// A file's text under the name it is reported with.
    pub fn new(path: &Path, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.to_owned(), text, lines }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Index of the line that holds an offset, from 0.
    fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Byte range of a line, without its end.
    fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        start..start + self.text[start..end].trim_end_matches(['\n', '\r']).len()
    }
}

/// A stretch of a configuration file.
#[derive(Clone)]
pub struct Place {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Bytes of its text.
    pub span: Range<usize>,
}

impl Place {
    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.file.line_of(self.span.start) + 1
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> usize {
        let range = self.file.line_range(self.line() - 1);
        floor(&self.file.text, self.span.start)
            .map_or(1, |to| self.file.text[range.start..to.max(range.start)].chars().count() + 1)
    }
}

/// The nearest character boundary at or before an offset.
fn floor(text: &str, offset: usize) -> Option<usize> {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at))
}

/// One thing wrong.
#[derive(Clone)]
pub struct Problem {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) place: Option<Place>,
    /// Where there is no text to point at: the file that could not be read.
    path: Option<PathBuf>,
    label: String,
    notes: Vec<(Place, String)>,
    helps: Vec<String>,
}

impl Problem {
    pub(super) fn at(level: Level, place: Place, message: impl Into<String>) -> Self {
        Self {
            level,
            message: message.into(),
            place: Some(place),
            path: None,
            label: String::new(),
            notes: vec![],
            helps: vec![],
        }
    }

    pub(super) fn of_file(level: Level, path: &Path, message: impl Into<String>) -> Self {
        let path = Some(path.to_owned());
        Self { level, message: message.into(), place: None, path, label: String::new(), notes: vec![], helps: vec![] }
    }

    /// Said beside the caret.
    pub(super) fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.label = text.into();
        self
    }

    /// Said below: what to do.
    pub(super) fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.helps.push(text.into());
        self
    }

    /// A second place that belongs to the problem.
    pub(super) fn note(&mut self, place: Place, text: impl Into<String>) -> &mut Self {
        self.notes.push((place, text.into()));
        self
    }
}

/// Every problem of a configuration.
#[derive(Clone, Default)]
pub struct Report {
    pub(super) problems: Vec<Problem>,
}

impl Report {
    /// Nothing to say.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems refuse the configuration.
    pub fn error_count(&self) -> usize {
        self.count(Level::Error)
    }

    /// How many do not.
    pub fn warning_count(&self) -> usize {
        self.count(Level::Warning)
    }

    fn count(&self, level: Level) -> usize {
        self.problems.iter().filter(|problem| problem.level == level).count()
    }

    /// Adds another report's problems to this one.
    pub fn extend(&mut self, other: Report) {
        self.problems.extend(other.problems);
    }

    /// The headline of each problem with its line (0 when it has none), for logs and tests.
    pub fn headlines(&self) -> impl Iterator<Item = (Level, usize, &str)> {
        self.problems.iter().map(|p| (p.level, p.place.as_ref().map_or(0, Place::line), p.message.as_str()))
    }

    /// Sorts by file (in the order of the paths given), then by position.
    pub(super) fn sort(&mut self, files: &[Arc<SourceFile>]) {
        let order = |problem: &Problem| match &problem.place {
            Some(place) => (files.iter().position(|file| Arc::ptr_eq(file, &place.file)), place.span.start),
            None => (None, 0),
        };
        self.problems.sort_by_key(order);
    }

    /// The whole report as text, with terminal colours when asked for.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        let style = Style { colour };
        for problem in self.problems.iter().take(SHOWN_MAX) {
            render_problem(problem, &style, &mut out);
            out.push('\n');
        }
        if self.problems.len() > SHOWN_MAX {
            out.push_str(&format!("... and {} more problems, not shown\n", self.problems.len() - SHOWN_MAX));
        }
        if !self.is_empty() {
            out.push_str(&counted(self.error_count(), self.warning_count()));
            out.push('\n');
        }
        out
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Report {}

fn counted(errors: usize, warnings: usize) -> String {
    let say = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (errors, 0) => say(errors, "error"),
        (0, warnings) => say(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", say(errors, "error"), say(warnings, "warning")),
    }
}

struct Style {
    colour: bool,
}

impl Style {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const BLUE: &str = "1;34";

fn render_problem(problem: &Problem, style: &Style, out: &mut String) {
    let (word, colour) = match problem.level {
        Level::Error => ("error", "1;31"),
        Level::Warning => ("warning", "1;33"),
    };
    let message = printable(&problem.message);
    out.push_str(&format!("{}{}\n", style.paint(colour, word), style.paint("1", &format!(": {message}"))));
    let places = problem.place.iter().chain(problem.notes.iter().map(|(place, _)| place));
    let width = places.map(|place| place.line().to_string().len()).max().unwrap_or(1);
    if let Some(path) = &problem.path {
        out.push_str(&format!("{:width$}{} {}\n", "", style.paint(BLUE, "-->"), printable(&path.to_string_lossy())));
    }
    if let Some(place) = &problem.place {
        snippet(place, "-->", ('^', colour), &problem.label, width, style, out);
    }
    for (place, text) in &problem.notes {
        snippet(place, ":::", ('-', BLUE), text, width, style, out);
    }
    for help in &problem.helps {
        out.push_str(&format!("{:width$} {} {}\n", "", style.paint(BLUE, "="), printable(&format!("help: {help}"))));
    }
}

fn snippet(
    place: &Place,
    arrow: &str,
    (mark, colour): (char, &str),
    label: &str,
    width: usize,
    style: &Style,
    out: &mut String,
) {
    let (line, column) = (place.line(), place.column());
    let path = printable(&place.file.path.to_string_lossy());
    out.push_str(&format!("{:width$}{} {path}:{line}:{column}\n", "", style.paint(BLUE, arrow)));
    let (text, masked) = shown_line(&place.file, line - 1);
    let range = place.file.line_range(line - 1);
    let chars: Vec<char> = text.chars().collect();
    let last = masked.unwrap_or(chars.len());
    let from = (column - 1).min(last);
    let span_end = floor(&place.file.text, place.span.end.min(range.end)).unwrap_or(range.start).max(range.start);
    let to = place.file.text[range.start..span_end].chars().count().min(last).max(from);
    // A window of a very long line, around the caret.
    let skip = if chars.len() > LINE_CHARS_MAX { from.saturating_sub(LINE_CHARS_MAX / 2) } else { 0 };
    let window: String = chars.iter().skip(skip).take(LINE_CHARS_MAX).collect();
    let (before, after) =
        (if skip > 0 { "..." } else { "" }, if chars.len() > skip + LINE_CHARS_MAX { "..." } else { "" });
    let marks = (to - from).clamp(1, (LINE_CHARS_MAX + skip).saturating_sub(from).max(1));
    let bar = style.paint(BLUE, "|");
    let number = style.paint(BLUE, &format!("{line:>width$}"));
    let under = format!("{} {}", mark.to_string().repeat(marks), printable(label));
    out.push_str(&format!("{:width$} {bar}\n", ""));
    out.push_str(format!("{number} {bar} {before}{window}{after}").trim_end());
    let indent = before.len() + from - skip;
    out.push_str(&format!("\n{:width$} {bar} {:indent$}{}\n", "", "", style.paint(colour, under.trim_end())));
}

/// A line as it may be shown, and where (in characters) it was masked. One character a character, so carets stay right.
fn shown_line(file: &SourceFile, line: usize) -> (String, Option<usize>) {
    let range = file.line_range(line);
    let text = &file.text[range.clone()];
    let hide_from = hidden_from(file, range.start, text);
    let kept: String = text[..hide_from.unwrap_or(text.len())].chars().map(plain_char).collect();
    match hide_from {
        Some(_) => (format!("{kept}(not shown)"), Some(kept.chars().count())),
        None => (kept, None),
    }
}

/// Byte of a line from which on it may hold a secret.
fn hidden_from(file: &SourceFile, start: usize, line: &str) -> Option<usize> {
    let before = &file.text[..start];
    if let Some(begin) = before.rfind("-----BEGIN")
        && !before[begin..].contains("-----END")
    {
        return Some(0);
    }
    let lower = line.to_ascii_lowercase();
    let words = SECRET_WORDS.iter().flat_map(|word| lower.match_indices(word).map(move |(at, _)| at + word.len()));
    let keyed = words
        .filter(|end| !lower[*end..].starts_with("_file"))
        .filter_map(|end| lower[end..].find(['=', ':']).map(|at| end + at + 1));
    let url = lower.match_indices("://").filter_map(|(at, _)| {
        let rest = &lower[at + 3..];
        rest[..rest.find(['/', '"', '\'', ' ']).unwrap_or(rest.len())].contains('@').then_some(at + 3)
    });
    let pem = lower.find("-----begin");
    keyed.chain(url).chain(pem).min()
}

fn plain_char(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Text from a file or the environment, safe for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { plain_char(c) }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn place(text: &str, part: &str) -> Place {
        let start = text.find(part).unwrap();
        Place { file: Arc::new(SourceFile::new(Path::new("t.toml"), text.to_owned())), span: start..start + part.len() }
    }

    fn rendered(text: &str, part: &str) -> String {
        let mut problem = Problem::at(Level::Error, place(text, part), "wrong");
        problem.label("here").help("do it right");
        Report { problems: vec![problem] }.render(false)
    }

    #[test]
    fn a_problem_is_shown_with_its_line_a_caret_and_help() {
        let expected = "\
error: wrong
 --> t.toml:2:1
  |
2 | bad = 1
  | ^^^ here
  = help: do it right

1 error
";
        assert_eq!(rendered("a = 1\nbad = 1\n", "bad"), expected);
    }

    #[test]
    fn columns_and_carets_count_characters_not_bytes() {
        let text = rendered("unit = \"°C\" bad", "bad");
        assert!(text.contains("t.toml:1:13\n"), "{text}");
        assert!(text.contains("\n  |             ^^^ here\n"), "{text}");
    }

    #[test]
    fn what_follows_a_password_key_is_never_shown() {
        for text in [
            "password = \"hunter2\"",
            "decode = { x = 1, Password = \"hunter2\" }",
            "url = \"mqtt://me:hunter2@host\"",
            "access_token = 'hunter2'",
            "key = '''-----BEGIN PRIVATE KEY-----\nhunter2\n-----END'''",
        ] {
            let text = rendered(text, "hunter2");
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(rendered("password_file = \"/etc/pw\"", "password").contains("/etc/pw"));
    }

    #[test]
    fn a_very_long_line_is_shown_around_the_caret() {
        let text = rendered(&format!("a = \"{}\" bad {}", "x".repeat(5000), "y".repeat(5000)), "bad");
        assert!(text.contains(" bad y") && text.len() < 700, "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!rendered("a = \"\u{1b}[2J\" bad", "bad").contains('\u{1b}'));
    }

    #[test]
    fn colour_is_used_only_when_asked_for() {
        let report = Report { problems: vec![Problem::at(Level::Warning, place("a", "a"), "m")] };
        assert!(report.render(true).contains("\x1b[1;33mwarning"));
        assert!(!report.to_string().contains('\x1b'));
    }
}
