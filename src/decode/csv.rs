//! `format = "csv"`: one record a line, columns by name.
//!
//! The number of columns is strict: a record with more or fewer is refused, because nobody could say which value is
//! whose. An empty cell is no value for its column only. With `header` the column names come from the data: a record
//! that holds a wanted name as a cell (with nothing configured: one of texts only) names the columns from then on, so
//! a device that starts anew and repeats its header does no harm.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::Format;
use super::name::Refusal;
use super::sink::{Sink, Slot, Want};
use super::value::{Raw, parse};
use crate::counters::Reject;

/// Most columns of a record. A wide logger has some hundred.
const COLUMNS_MAX: usize = 1_000;

/// A column: its name and what it is wanted for.
#[derive(Debug)]
struct Column {
    name: String,
    slots: Vec<Slot>,
}

/// The reader, its buffers and the columns.
#[derive(Debug)]
pub(super) struct Csv {
    reader: Reader,
    delimiter: u8,
    comment: Option<u8>,
    header: bool,
    decimal_comma: bool,
    wants: Vec<(String, Vec<Slot>)>,
    /// The columns that make the time, where it is in several.
    time: Vec<String>,
    columns: Vec<Column>,
    cells: Vec<u8>,
    ends: Vec<usize>,
}

impl Csv {
    pub(super) fn new(
        delimiter: u8,
        columns: &[String],
        header: bool,
        comment: Option<u8>,
        decimal_comma: bool,
        wants: &[Want],
    ) -> Result<Self, String> {
        if !header && columns.is_empty() {
            return Err("csv needs `columns`, or `header = true`".to_owned());
        }
        if !delimiter.is_ascii() {
            return Err("the csv delimiter is not an ASCII character".to_owned());
        }
        if columns.len() > COLUMNS_MAX {
            return Err(format!("{} csv columns, at most {COLUMNS_MAX}", columns.len()));
        }
        let mut wants = super::by_name(wants);
        let mut time = Vec::new();
        wants.retain(|(path, slots)| {
            let joined = *slots == [Slot::Time] && path.contains('+') && !columns.contains(path);
            if joined {
                time = path.split('+').map(|name| name.trim().to_owned()).collect();
            }
            // A header may name a column that has a `+` in its name.
            !joined || header
        });
        if !header && let Some(name) = time.iter().find(|name| !columns.contains(name)) {
            return Err(format!("`{name}` is not one of the csv columns {}", columns.join(", ")));
        }
        if !header && let Some((name, _)) = wants.iter().find(|(name, _)| !columns.contains(name)) {
            return Err(format!("`{name}` is not one of the csv columns {}", columns.join(", ")));
        }
        let mut csv = Self {
            reader: ReaderBuilder::new().delimiter(delimiter).comment(comment).build(),
            delimiter,
            comment,
            header,
            decimal_comma,
            wants,
            time,
            columns: Vec::new(),
            cells: vec![0; 256],
            ends: vec![0; 32],
        };
        csv.name_columns(columns.iter().map(String::as_str));
        Ok(csv)
    }

    fn name_columns<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let wants = &self.wants;
        let column = |name: &str| Column {
            name: name.to_owned(),
            slots: wants.iter().find(|(wanted, _)| wanted == name).map(|(_, slots)| slots.clone()).unwrap_or_default(),
        };
        self.columns = names.map(column).collect();
    }

    /// Reads the next record into the buffers; its number of cells, or nothing at the end.
    fn next_record(&mut self, input: &mut &[u8]) -> Result<Option<usize>, Refusal> {
        let (mut bytes, mut cells) = (0, 0);
        loop {
            let (result, read, written, ended) =
                self.reader.read_record(input, &mut self.cells[bytes..], &mut self.ends[cells..]);
            *input = &input[read..];
            bytes += written;
            cells += ended;
            match result {
                // The end of the payload is told by reading nothing, which the next turn does.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if cells >= COLUMNS_MAX => {
                    return Err((Reject::Malformed, format!("more than {COLUMNS_MAX} columns")));
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => return Ok(Some(cells)),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn is_header(&self, cells: &[&str]) -> bool {
        if self.wants.is_empty() {
            return cells.iter().all(|cell| !cell.is_empty() && parse(cell, self.decimal_comma).is_none());
        }
        cells.iter().any(|cell| self.wants.iter().any(|(name, _)| name == cell))
    }

    fn record(&mut self, cells: &[&str], sink: &mut Sink<'_>) {
        if self.header && self.is_header(cells) {
            self.name_columns(cells.iter().copied());
            return;
        }
        if self.columns.is_empty() {
            sink.refuse(Reject::Malformed, "no line has named the columns yet".to_owned());
            return;
        }
        if cells.len() != self.columns.len() {
            let what = format!("{} columns, expected {}", cells.len(), self.columns.len());
            sink.refuse(Reject::Malformed, what);
            return;
        }
        for (column, text) in self.columns.iter().zip(cells) {
            let raw = Raw::Bare { text, strip_unit: sink.rules.strip_unit };
            for slot in &column.slots {
                sink.put(*slot, &raw);
            }
            if column.slots.is_empty() && sink.takes_all() {
                sink.other(&column.name, &raw);
            }
        }
        let cell = |name: &String| self.columns.iter().position(|column| column.name == *name).map(|at| cells[at]);
        if !self.time.is_empty() && self.time.iter().all(|name| cell(name).is_some()) {
            let parts: Vec<&str> = self.time.iter().filter_map(cell).filter(|cell| !cell.is_empty()).collect();
            sink.put(Slot::Time, &Raw::Text(&parts.join(" ")));
        }
        sink.end_record();
    }
}

impl Format for Csv {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        // A blank before the comment character is common in what devices print.
        if self.comment.is_some()
            && payload.trim_ascii_start().bytes().next() == self.comment
            && !payload.contains('\n')
        {
            return Ok(());
        }
        self.reader.reset();
        // Columns that are filled up with blanks: several between two are one.
        let squeezed = (self.delimiter == b' ').then(|| {
            let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            payload.lines().map(line).collect::<Vec<_>>().join("\n")
        });
        let payload = squeezed.as_deref().unwrap_or(payload);
        let mut input = payload.as_bytes();
        while let Some(count) = self.next_record(&mut input)? {
            // Taken out so that the cells can be lent while the columns change.
            let (bytes, ends) = (std::mem::take(&mut self.cells), std::mem::take(&mut self.ends));
            let mut start = 0;
            let cells: Option<Vec<&str>> = ends[..count]
                .iter()
                .map(|end| {
                    let cell = std::str::from_utf8(bytes.get(start..*end)?).ok().map(str::trim);
                    start = *end;
                    cell
                })
                .collect();
            match cells {
                Some(cells) => self.record(&cells, sink),
                None => sink.refuse(Reject::NotUtf8, "a cell is not UTF-8".to_owned()),
            }
            (self.cells, self.ends) = (bytes, ends);
        }
        Ok(())
    }
}
