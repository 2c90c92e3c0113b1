//! Telegrams of a meter's P1 port (DSMR, IEC 62056-21 mode D): from `/` to a line with `!` and, from DSMR 4 on, a CRC.
//!
//! A readout of mode C has STX before its first value and, behind the line with `!`, ETX and a check character: the
//! exclusive or of everything behind STX, ETX included. Older and newer meters alike send it when asked (`/?!`).
//!
//! The CRC is CRC-16/ARC over everything from `/` to `!`, in four hexadecimal digits. A telegram that lost its end is
//! found out by the `/` of the next one; where even the line end was lost, by a CRC that fits from a later `/` on.

use std::time::Duration;

use super::checksum::{compute, dump};
use super::{Cut, Each, Frame, too_long};
use crate::config::model::{ChecksumKind, Crc};
use crate::counters::Reject;

const ARC: ChecksumKind = ChecksumKind::Crc(Crc { width: 16, poly: 0x8005, init: 0, reflected: true, xor_out: 0 });

const STX: u8 = 2;
const ETX: u8 = 3;

/// Collects a telegram.
#[derive(Debug)]
pub(super) struct Telegrams {
    bytes_max: usize,
    unchecked: bool,
    telegram: Vec<u8>,
    /// Where the line at hand begins.
    line: usize,
    /// Bytes outside of telegrams, blanks and line ends not counted.
    outside: usize,
    /// Whether what is outside has been told of already.
    told: bool,
    /// The telegram is whole but for ETX and the check character, from the place behind STX on.
    awaits_check: Option<usize>,
    first: bool,
}

impl Telegrams {
    pub(super) fn new(bytes_max: usize, unchecked: bool) -> Self {
        Self {
            bytes_max,
            unchecked,
            telegram: Vec::new(),
            line: 0,
            outside: 0,
            told: false,
            awaits_check: None,
            first: true,
        }
    }

    fn begin(&mut self, each: &mut Each<'_>) {
        if self.outside > 0 && !self.told {
            let what = format!("{} bytes outside of a telegram", self.outside);
            each(Frame::Refused(if self.first { Reject::Partial } else { Reject::Malformed }, what));
        }
        self.outside = 0;
        self.told = false;
        self.first = false;
    }

    /// A line has ended.
    fn end_line(&mut self, each: &mut Each<'_>) {
        match self.telegram[self.line] {
            b'!' => {
                let stx = self.telegram.iter().position(|byte| *byte == STX);
                if let Some(stx) = stx
                    && self.telegram[self.line + 1..].trim_ascii().is_empty()
                {
                    self.awaits_check = Some(stx + 1);
                    return;
                }
                self.end(each);
                self.telegram.clear();
                self.line = 0;
                return;
            }
            b'/' if self.line > 0 => {
                let what = format!("a telegram of {} bytes has no end", self.line);
                each(Frame::Refused(Reject::Malformed, what));
                self.telegram.drain(..self.line);
            }
            _ => {}
        }
        self.line = self.telegram.len();
    }

    /// The byte behind the last line, or the one behind that.
    fn check(&mut self, from: usize, byte: u8, each: &mut Each<'_>) {
        self.telegram.push(byte);
        let covered = &self.telegram[..self.telegram.len() - 1];
        if !covered.ends_with(&[ETX]) && byte == ETX {
            return;
        }
        if covered.ends_with(&[ETX]) {
            let said = covered[from..].iter().fold(0, |sum, byte| sum ^ byte);
            match said == byte {
                true => each(Frame::Message(&self.telegram[..self.line])),
                false => {
                    let what = format!("the check character is {byte:02X}, the telegram gives {said:02X}");
                    each(Frame::Refused(Reject::Checksum, format!("{what}: {}", dump(covered))));
                }
            }
        } else {
            each(Frame::Refused(Reject::Malformed, "a readout without ETX and a check character".to_owned()));
        }
        self.telegram.clear();
        self.line = 0;
        self.awaits_check = None;
        if byte == b'/' {
            self.telegram.push(byte);
        }
    }

    fn end(&self, each: &mut Each<'_>) {
        let said = self.telegram[self.line + 1..].trim_ascii();
        let covered = &self.telegram[..=self.line];
        if said.is_empty() {
            if self.unchecked {
                each(Frame::Message(&self.telegram[..self.line]));
            } else {
                let what = "it has no CRC; for a meter that sends none (DSMR 2 and 3) set `unchecked = \"keep\"`";
                each(Frame::Refused(Reject::Checksum, what.to_owned()));
            }
            return;
        }
        let crc = std::str::from_utf8(said).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
        let starts = covered.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (start, _) in starts {
            if Some(compute(ARC, &covered[start..])) == crc {
                if start > 0 {
                    let what = format!("a telegram broke off after {start} bytes");
                    each(Frame::Refused(Reject::Malformed, what));
                }
                each(Frame::Message(&covered[start..self.line]));
                return;
            }
        }
        let computed = compute(ARC, covered);
        let what = format!(
            "the CRC is {}, the telegram gives {computed:04X}",
            String::from_utf8_lossy(&said[..said.len().min(8)])
        );
        each(Frame::Refused(Reject::Checksum, format!("{what}: {}", dump(covered))));
    }
}

impl Cut for Telegrams {
    fn reset(&mut self, _now: Duration) {
        *self = Self::new(self.bytes_max, self.unchecked);
    }

    fn push(&mut self, bytes: &[u8], _now: Duration, each: &mut Each<'_>) {
        for byte in bytes {
            if let Some(from) = self.awaits_check {
                self.check(from, *byte, each);
                continue;
            }
            if self.telegram.is_empty() && *byte != b'/' {
                self.outside += usize::from(!byte.is_ascii_whitespace());
                if self.outside > self.bytes_max {
                    self.first = false;
                    self.begin(each);
                }
                continue;
            }
            if self.telegram.is_empty() {
                self.begin(each);
            }
            self.telegram.push(*byte);
            if self.telegram.len() > self.bytes_max {
                self.telegram.clear();
                self.line = 0;
                self.told = true;
                each(Frame::Refused(Reject::TooLong, too_long(self.bytes_max)));
            } else if *byte == b'\n' {
                self.end_line(each);
            }
        }
    }
}
