//! A parsed file with the place of everything in it, and the list of problems that grows while it is read.
//!
//! Owns [`Node`] (our copy of the TOML tree) and [`Context`]. Knows TOML's types, not the meaning of any key.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::report::{Level, Place, Problem, Report, SourceFile};

/// A stretch of one of the files being read; cheap to copy, unlike a [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Index into [`Context::files`].
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

impl Spot {
    /// A span of a piece that begins at `offset` of the file.
    fn new(file: usize, offset: usize, span: Range<usize>) -> Self {
        Self { file, start: offset + span.start, end: offset + span.end }
    }

    /// The bytes.
    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub spot: Spot,
    pub data: Data,
}

/// TOML's types.
#[derive(Clone, Debug)]
pub enum Data {
    Text(String),
    /// `None`: more than 64 bits.
    Integer(Option<i64>),
    /// `None`: too large for a float.
    Number(Option<f64>),
    Bool(bool),
    Date,
    List(Vec<Node>),
    /// In the order of the file.
    Table(Vec<Entry>),
}

/// A key, where it stands, and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub key: Spot,
    pub value: Node,
}

impl Node {
    /// What a person calls this.
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::Text(_) => "a text",
            Data::Integer(_) => "a whole number",
            Data::Number(_) => "a number",
            Data::Bool(_) => "true/false",
            Data::Date => "a date",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
        }
    }
}

/// Copies a parsed TOML table, of a text that begins at `offset` of the file. Depth is bounded by the parser's own limit
/// (80), so recursion is safe.
pub fn copy_table(table: &DeTable<'_>, file: usize, offset: usize) -> Vec<Entry> {
    let spot = |span| Spot::new(file, offset, span);
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            name: key.get_ref().to_string(),
            key: spot(key.span()),
            value: Node { spot: spot(value.span()), data: copy_value(value.get_ref(), file, offset) },
        })
        .collect();
    entries.sort_by_key(|entry| entry.key.start);
    entries
}

fn copy_value(value: &DeValue<'_>, file: usize, offset: usize) -> Data {
    match value {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Integer(digits) => Data::Integer(i64::from_str_radix(digits.as_str(), digits.radix()).ok()),
        // "1e999" parses as infinity; an infinity that was not written as one is refused as out of range.
        DeValue::Float(digits) => {
            let number = digits.as_str().parse::<f64>().ok();
            Data::Number(number.filter(|n| !n.is_infinite() || digits.as_str().contains("inf")))
        }
        DeValue::Boolean(state) => Data::Bool(*state),
        DeValue::Datetime(_) => Data::Date,
        DeValue::Array(list) => Data::List(
            list.iter()
                .map(|item| {
                    let spot = Spot::new(file, offset, item.span());
                    Node { spot, data: copy_value(item.get_ref(), file, offset) }
                })
                .collect(),
        ),
        DeValue::Table(table) => Data::Table(copy_table(table, file, offset)),
    }
}

/// What a file that the configuration names is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// PEM certificates to trust (`ca_file`).
    Roots,
    /// Our own PEM certificate chain (`cert_file`).
    Chain,
    /// A PEM private key (`key_file`).
    PrivateKey,
    /// A password (`password_file`).
    Password,
    /// What a reader of the local page must know (`token_file`).
    Token,
    /// A program that is run for events (`on_event.command`).
    Program,
}

/// A file that the configuration names; [`super::files::check`] looks at it.
#[derive(Clone, Debug)]
pub struct FileReference {
    /// The file.
    pub path: PathBuf,
    /// What it is for.
    pub role: Role,
    /// The key's value.
    pub place: Place,
    /// It lies in systemd's credentials directory, whose group bits are an access list's mask.
    pub credential: bool,
}

/// Everything that is carried along while a configuration is read.
pub struct Context<'e> {
    /// The files, main file first.
    pub files: Vec<Arc<SourceFile>>,
    /// The environment.
    pub env: &'e dyn Fn(&str) -> Option<String>,
    /// What was wrong so far.
    pub report: Report,
    /// Files named.
    pub references: Vec<FileReference>,
    /// Stretches that were not TOML and were left out, so that what is "missing" there may only be misspelt.
    pub damaged: Vec<Spot>,
    /// Where top-level tables start, by file.
    pub heads: Vec<Spot>,
}

impl<'e> Context<'e> {
    pub fn new(env: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self { files: vec![], env, report: Report::default(), references: vec![], damaged: vec![], heads: vec![] }
    }

    /// A spot as a place that outlives the reading.
    pub fn place(&self, spot: Spot) -> Place {
        Place { file: Arc::clone(&self.files[spot.file]), span: spot.span() }
    }

    /// The bytes of a spot.
    pub fn raw(&self, spot: Spot) -> &str {
        self.files[spot.file].text().get(spot.span()).unwrap_or("")
    }

    pub fn error(&mut self, spot: Spot, message: impl Into<String>) -> &mut Problem {
        self.problem(Level::Error, spot, message.into())
    }

    pub fn warning(&mut self, spot: Spot, message: impl Into<String>) -> &mut Problem {
        self.problem(Level::Warning, spot, message.into())
    }

    fn problem(&mut self, level: Level, spot: Spot, message: String) -> &mut Problem {
        let problem = Problem::at(level, self.place(spot), message);
        self.push(problem)
    }

    /// Adds a problem that is not about a line of text.
    pub fn push(&mut self, problem: Problem) -> &mut Problem {
        let at = self.report.problems.len();
        self.report.problems.push(problem);
        &mut self.report.problems[at]
    }

    /// Whether text was left out between the top-level table that holds `spot` and the next one.
    pub fn is_damaged(&self, spot: Spot) -> bool {
        if self.damaged.is_empty() {
            return false;
        }
        let in_file = || self.heads.iter().filter(|head| head.file == spot.file).map(|head| head.start);
        let start = in_file().filter(|head| *head <= spot.start).max().unwrap_or(0);
        let end = in_file().filter(|head| *head > spot.start).min().unwrap_or(usize::MAX);
        self.damaged.iter().any(|hole| hole.file == spot.file && hole.start < end && hole.end > start)
    }
}
