//! What is wrong with a configuration, and how a person is told.
//!
//! Owns [`Report`]: every problem found in one run, each with its place, and what to do. Never decides what is a problem;
//! how it is written out is in `render`.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::render::render_problem;

/// Problems written out; more than this helps nobody and a damaged 1 MiB file could have 100,000.
const SHOWN_MAX: usize = 100;

/// Whether a problem stops the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// Byte range of a line, without its end.
    pub(super) fn line_range(&self, line: usize) -> Range<usize> {
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

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.path.display(), self.line(), self.column())
    }
}

/// Where a place comes in the order of the files.
pub(super) fn order(files: &[Arc<SourceFile>], place: &Place) -> (Option<usize>, usize) {
    (files.iter().position(|file| Arc::ptr_eq(file, &place.file)), place.span.start)
}

/// The nearest character boundary at or before an offset.
pub(super) fn floor(text: &str, offset: usize) -> Option<usize> {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at))
}

/// One thing wrong.
#[derive(Clone)]
pub struct Problem {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) place: Option<Place>,
    /// Where there is no text to point at: the file that could not be read.
    pub(super) path: Option<PathBuf>,
    pub(super) label: String,
    pub(super) notes: Vec<(Place, String)>,
    pub(super) helps: Vec<String>,
    /// What the caret stands under is a secret, whatever its line looks like.
    pub(super) hidden: bool,
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
            hidden: false,
        }
    }

    pub(super) fn of_file(level: Level, path: &Path, message: impl Into<String>) -> Self {
        let path = Some(path.to_owned());
        Self {
            level,
            message: message.into(),
            place: None,
            path,
            label: String::new(),
            notes: vec![],
            helps: vec![],
            hidden: false,
        }
    }

    /// Keeps what stands at the place from being shown.
    pub(super) fn hide(&mut self) -> &mut Self {
        self.hidden = true;
        self
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

/// A problem for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whether it stops the program.
    pub level: Level,
    /// The file, where there is one to name.
    pub file: Option<PathBuf>,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What is said at the place itself: what was meant, most often.
    #[serde(default)]
    pub label: Option<String>,
    /// What to do.
    pub help: Vec<String>,
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

    /// Each problem for programs, without the text it is about: that may be a secret.
    pub fn told(&self) -> impl Iterator<Item = Told> {
        self.problems.iter().map(|problem| {
            let place = problem.place.as_ref();
            Told {
                level: problem.level,
                file: place.map(|place| place.file.path()).or(problem.path.as_deref()).map(Path::to_owned),
                line: place.map(Place::line),
                column: place.map(Place::column),
                message: problem.message.clone(),
                label: (!problem.label.is_empty()).then(|| problem.label.clone()),
                help: problem.helps.clone(),
            }
        })
    }

    /// Sorts by file (in the order of the paths given), then by position.
    pub(super) fn sort(&mut self, files: &[Arc<SourceFile>]) {
        self.problems.sort_by_key(|problem| problem.place.as_ref().map(|place| order(files, place)));
    }

    /// The whole report as text, with terminal colours when asked for.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for problem in self.problems.iter().take(SHOWN_MAX) {
            render_problem(problem, colour, &mut out);
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
