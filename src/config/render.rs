//! How a problem is written out: like a compiler's, with the line and a caret, in plain or coloured text.
//!
//! Never shows a secret: what follows a key such as `password` on its line, the user part of a URL, and the inside of a
//! PEM block are masked before anything is printed; control characters do not reach the terminal.

use super::report::{Level, Place, Problem, SourceFile, floor};

/// Characters of a source line shown around the caret.
const LINE_CHARS_MAX: usize = 140;

/// Words that mark what follows on the line as secret.
const SECRET_WORDS: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey"];

struct Style {
    colour: bool,
}

impl Style {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const BLUE: &str = "1;34";

/// Writes one problem: headline, place, line with caret, second places, help.
pub(super) fn render_problem(problem: &Problem, colour: bool, out: &mut String) {
    let style = &Style { colour };
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
        let hidden = problem.hidden.then_some(place.span.start);
        snippet(place, "-->", ('^', colour), (&problem.label, hidden), width, style, out);
    }
    for (place, text) in &problem.notes {
        snippet(place, ":::", ('-', BLUE), (text, None), width, style, out);
    }
    for help in &problem.helps {
        out.push_str(&format!("{:width$} {} {}\n", "", style.paint(BLUE, "="), printable(&format!("help: {help}"))));
    }
}

fn snippet(
    place: &Place,
    arrow: &str,
    (mark, colour): (char, &str),
    (label, hidden): (&str, Option<usize>),
    width: usize,
    style: &Style,
    out: &mut String,
) {
    let (line, column) = (place.line(), place.column());
    let path = printable(&place.file.path().to_string_lossy());
    out.push_str(&format!("{:width$}{} {path}:{line}:{column}\n", "", style.paint(BLUE, arrow)));
    let (text, masked) = shown_line(&place.file, line - 1, hidden);
    let range = place.file.line_range(line - 1);
    let chars: Vec<char> = text.chars().collect();
    let last = masked.unwrap_or(chars.len());
    let from = (column - 1).min(last);
    let span_end = floor(place.file.text(), place.span.end.min(range.end)).unwrap_or(range.start).max(range.start);
    let to = place.file.text()[range.start..span_end].chars().count().min(last).max(from);
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
fn shown_line(file: &SourceFile, line: usize, hidden: Option<usize>) -> (String, Option<usize>) {
    let range = file.line_range(line);
    let text = &file.text()[range.clone()];
    let hidden = hidden.map(|at| at.saturating_sub(range.start).min(text.len()));
    let hide_from = hidden_from(file, range.start, text).into_iter().chain(hidden).min();
    let kept: String = text[..hide_from.unwrap_or(text.len())].chars().map(plain_char).collect();
    match hide_from {
        Some(_) => (format!("{kept} (not shown)"), Some(kept.chars().count())),
        None => (kept, None),
    }
}

/// Byte of a line from which on it may hold a secret.
fn hidden_from(file: &SourceFile, start: usize, line: &str) -> Option<usize> {
    let before = &file.text()[..start];
    if let Some(begin) = before.rfind("-----BEGIN")
        && !before[begin..].contains("-----END")
    {
        return Some(0);
    }
    // Inside a text of several lines nobody can tell what it is.
    if ["\"\"\"", "'''"].iter().any(|quotes| before.matches(quotes).count() % 2 == 1) {
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

/// Whether a line may hold a secret, as far as it tells by itself.
pub(super) fn is_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.contains('@') || SECRET_WORDS.iter().any(|word| lower.contains(word))
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
    text.chars().map(plain_char).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::report::{Report, SourceFile};

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
            "x = \"\"\"\nhunter2\n\"\"\"",
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
