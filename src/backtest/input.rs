//! Opens recordings: files of lines, standard input, and the recorder's folders.
//!
//! Owns what is read and what of it was no reading: counted, the first few told with their place, never fatal.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::lines::Lines;
use crate::clock::WallTime;
use crate::reading::{Recorded, SensorId};
use crate::record::block::{self, Reader};
use crate::record::ring;

/// Longest line taken, bytes: a name, a text, a unit and a time are well below it.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Faults told with their place; the others are counted.
const FAULTS_TOLD_MAX: usize = 5;

/// 2000-01-01T00:00:00Z. What claims to be older was stamped by a clock that was not set, and would make the virtual
/// clock run through decades.
const TIME_MIN: WallTime = WallTime::from_secs(946_684_800);

/// Something that is no reading.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// The file, where there are several.
    pub file: String,
    /// The line, or in a recorder's file the block, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// How many there were, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Faults {
    /// All of them.
    pub count: u64,
    /// The first ones.
    pub first: Vec<Fault>,
}

impl Faults {
    fn note(&mut self, file: &str, line: u64, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < FAULTS_TOLD_MAX {
            self.first.push(Fault { file: file.to_owned(), line, what: what() });
        }
    }
}

/// What has been read so far.
#[derive(Debug, Default)]
pub struct Input {
    /// What was no reading.
    pub bad: Faults,
    /// What came before something that came later.
    pub out_of_order: Faults,
    /// Readings.
    pub readings: u64,
    /// The earliest and the latest time.
    pub span: Option<(WallTime, WallTime)>,
    /// The sensors.
    pub sensors: HashSet<SensorId>,
}

impl Input {
    /// Reads a file, a recorder's folder, or `-`, and hands each reading to `each`.
    ///
    /// # Errors
    /// When something cannot be opened or read at all.
    pub fn read(&mut self, path: &Path, each: &mut dyn FnMut(&Recorded)) -> io::Result<()> {
        if path == Path::new("-") {
            return self.lines("standard input", BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock()), each);
        }
        if path.is_dir() {
            let files: Vec<PathBuf> = ring::files(path)?.into_iter().map(|(_, path)| path).collect();
            if files.is_empty() {
                return Err(io::Error::other("it holds no recording (`readings-*.tgr`)"));
            }
            return files.iter().try_for_each(|file| match self.file(file, each) {
                // The recorder makes room while we read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result,
            });
        }
        self.file(path, each)
    }

    fn file(&mut self, path: &Path, each: &mut dyn FnMut(&Recorded)) -> io::Result<()> {
        let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into());
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        if file.fill_buf()?.starts_with(block::MAGIC) {
            file.consume(block::MAGIC.len());
            return self.blocks(&name, file, each);
        }
        self.lines(&name, file, each)
    }

    fn lines(&mut self, name: &str, mut file: impl BufRead, each: &mut dyn FnMut(&Recorded)) -> io::Result<()> {
        let mut lines = Lines::default();
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            if (&mut file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            number += 1;
            if line.len() as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                self.bad.note(name, number, || format!("longer than {LINE_BYTES_MAX} bytes"));
                skip_line(&mut file)?;
                continue;
            }
            match lines.read(&line) {
                Ok(Some(recorded)) => self.take(name, number, &recorded, each),
                Ok(None) => {}
                Err(what) => self.bad.note(name, number, || what),
            }
        }
        self.sensors.extend(lines.sensors().cloned());
        Ok(())
    }

    fn blocks(&mut self, name: &str, file: impl Read, each: &mut dyn FnMut(&Recorded)) -> io::Result<()> {
        let mut reader = Reader::new(file);
        let mut number = 0;
        loop {
            number += 1;
            match reader.next()? {
                block::Next::End => return Ok(()),
                // The last block of a gateway that was killed, or that is being written.
                block::Next::Torn => return Ok(()),
                block::Next::Damaged(what) => self.bad.note(name, number, || what.to_owned()),
                block::Next::Block(raw) => {
                    let mut readings = Vec::new();
                    if block::decode(&raw, &mut readings).is_err() {
                        self.bad.note(name, number, || "a block that cannot be understood".to_owned());
                    }
                    for recorded in &readings {
                        if !self.sensors.contains(&recorded.reading.sensor) {
                            self.sensors.insert(recorded.reading.sensor.clone());
                        }
                        self.take(name, number, recorded, each);
                    }
                }
            }
        }
    }

    fn take(&mut self, name: &str, line: u64, recorded: &Recorded, each: &mut dyn FnMut(&Recorded)) {
        let time = recorded.arrival;
        if time < TIME_MIN {
            return self.bad.note(name, line, || format!("{time} was stamped by a clock that was not set"));
        }
        self.readings += 1;
        match &mut self.span {
            Some((first, last)) => {
                if time < *last {
                    *first = time.min(*first);
                    self.out_of_order.note(name, line, || format!("{time} after {last}"));
                } else {
                    *last = time;
                }
            }
            None => self.span = Some((time, time)),
        }
        each(recorded);
    }
}

fn skip_line(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        file.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}
