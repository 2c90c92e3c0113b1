//! Files of the Smart Message Language (transport version 1), as electricity meters send them every second or two.
//!
//! `1B 1B 1B 1B 01 01 01 01`, messages, zeros up to a multiple of four bytes, `1B 1B 1B 1B 1A`, how many zeros, and a
//! CRC of all before it, least significant byte first. Four 1B in the messages are sent twice. The CRC is CRC-16/X-25;
//! some meters calculate it as CRC-16/KERMIT. A message that this hands on has neither head, tail nor escapes.

use std::time::Duration;

use super::checksum::compute;
use super::{Cut, Each, Frame, too_long};
use crate::config::model::{ChecksumKind, Crc};
use crate::counters::Reject;

const START: [u8; 8] = [0x1B, 0x1B, 0x1B, 0x1B, 1, 1, 1, 1];
const ESCAPE: [u8; 4] = [0x1B; 4];
const END: u8 = 0x1A;

const X25: ChecksumKind =
    ChecksumKind::Crc(Crc { width: 16, poly: 0x1021, init: 0xFFFF, reflected: true, xor_out: 0xFFFF });
const KERMIT: ChecksumKind = ChecksumKind::Crc(Crc { width: 16, poly: 0x1021, init: 0, reflected: true, xor_out: 0 });

/// Collects a file.
#[derive(Debug)]
pub(super) struct Files {
    bytes_max: usize,
    file: Vec<u8>,
    /// From where on an escape is looked for.
    from: usize,
    /// Bytes outside of files.
    outside: usize,
    first: bool,
}

impl Files {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, file: Vec::new(), from: START.len(), outside: 0, first: true }
    }

    fn begin(&mut self) {
        self.file.clear();
        self.from = START.len();
    }

    /// Takes a byte before a file's head is whole.
    fn head(&mut self, byte: u8, each: &mut Each<'_>) {
        self.file.push(byte);
        while !START.starts_with(&self.file) {
            self.file.remove(0);
            self.outside += 1;
        }
        if self.outside > self.bytes_max {
            self.tell_outside(each);
            self.first = false;
        }
        if self.file.len() == START.len() {
            self.tell_outside(each);
        }
    }

    fn tell_outside(&mut self, each: &mut Each<'_>) {
        if self.outside > 0 {
            let what = format!("{} bytes outside of an SML file", self.outside);
            each(Frame::Refused(if self.first { Reject::Partial } else { Reject::Malformed }, what));
        }
        self.outside = 0;
    }

    fn take(&mut self, byte: u8, each: &mut Each<'_>) {
        self.file.push(byte);
        // An escape and the four bytes behind it; those of the last one are not looked at again.
        let escaped = self.file[self.from..].last_chunk::<8>().and_then(|last| last.strip_prefix(&ESCAPE));
        let Some(escaped) = escaped else {
            if self.file.len() > self.bytes_max {
                self.first = false;
                each(Frame::Refused(Reject::TooLong, too_long(self.bytes_max)));
                self.begin();
            }
            return;
        };
        match escaped[0] {
            END => {
                self.first = false;
                match body(&self.file) {
                    Ok(body) => each(Frame::Message(&body)),
                    Err(why) => each(Frame::Refused(Reject::Checksum, why)),
                }
                self.begin();
            }
            _ if escaped == &START[4..] => {
                // A new file begins before the end of this one.
                let what = format!("an SML file of {} bytes has no end", self.file.len() - START.len());
                each(Frame::Refused(if self.first { Reject::Partial } else { Reject::Malformed }, what));
                self.first = false;
                self.file = START.to_vec();
                self.from = START.len();
            }
            _ => self.from = self.file.len(),
        }
    }
}

impl Cut for Files {
    fn reset(&mut self, _now: Duration) {
        *self = Self::new(self.bytes_max);
    }

    fn push(&mut self, bytes: &[u8], _now: Duration, each: &mut Each<'_>) {
        for byte in bytes {
            match self.file.len() < START.len() {
                true => self.head(*byte, each),
                false => self.take(*byte, each),
            }
        }
    }
}

/// The messages of a whole file; the error says what is wrong with it.
pub(in crate::decode) fn body(file: &[u8]) -> Result<Vec<u8>, String> {
    let inside = file.strip_prefix(&START).ok_or("no SML file: it begins with 1B 1B 1B 1B 01 01 01 01")?;
    let tail = inside.len().checked_sub(8).map(|at| inside.split_at(at));
    let Some((inside, [0x1B, 0x1B, 0x1B, 0x1B, END, fill, low, high])) = tail else {
        return Err("an SML file without its end, 1B 1B 1B 1B 1A".to_owned());
    };
    let said = u32::from(u16::from_le_bytes([*low, *high]));
    let covered = &file[..file.len() - 2];
    if said != compute(X25, covered) && said != compute(KERMIT, covered) {
        return Err(format!("the CRC is {said:04X}, the SML file gives {:04X}", compute(X25, covered)));
    }
    let filled = inside.len().checked_sub(usize::from(*fill)).filter(|_| *fill < 4);
    let inside = &inside[..filled.ok_or("an SML file that says it is filled up with more than 3 bytes")?];
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let [first, after @ ..] = rest {
        if let Some(after) = rest.strip_prefix(&ESCAPE).and_then(|after| after.strip_prefix(&ESCAPE)) {
            out.extend(ESCAPE);
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file around messages.
    fn file(messages: &[u8]) -> Vec<u8> {
        let fill = (4 - messages.len() % 4) % 4;
        let mut file = START.to_vec();
        file.extend(messages);
        file.extend(std::iter::repeat_n(0, fill));
        file.extend(ESCAPE);
        file.extend([END, fill as u8]);
        let crc = compute(X25, &file);
        file.extend((crc as u16).to_le_bytes());
        file
    }

    fn cut(stream: &[u8], size: usize) -> Vec<Result<Vec<u8>, Reject>> {
        let mut files = Files::new(256);
        let mut seen = Vec::new();
        for chunk in stream.chunks(size) {
            files.push(chunk, Duration::ZERO, &mut |frame| {
                seen.push(match frame {
                    Frame::Message(message) => Ok(message.to_vec()),
                    Frame::Refused(reject, _) => Err(reject),
                });
            });
        }
        seen
    }

    #[test]
    fn files_are_found_after_garbage_and_however_they_are_chunked() {
        let mut escaped = vec![5, 6];
        escaped.extend(ESCAPE);
        escaped.extend(ESCAPE);
        escaped.push(7);
        let mut plain = vec![5, 6];
        plain.extend(ESCAPE);
        plain.push(7);
        let stream = [&[0x1B, 0x1B, 9][..], &file(&[1, 2, 3]), &file(&escaped), &file(&[4; 8])].concat();
        for size in 1..20 {
            assert_eq!(
                cut(&stream, size),
                [Err(Reject::Partial), Ok(vec![1, 2, 3]), Ok(plain.clone()), Ok(vec![4; 8])],
                "{size}"
            );
        }
    }

    #[test]
    fn a_wrong_crc_a_missing_end_and_an_endless_file_are_told() {
        let mut broken = file(&[1, 2, 3]);
        broken[9] ^= 1;
        assert_eq!(cut(&[&broken[..], &file(&[7])].concat(), 5), [Err(Reject::Checksum), Ok(vec![7])]);
        let cut_off = &file(&[1, 2, 3])[..11];
        let seen = cut(&[&file(&[9])[..], cut_off, &file(&[7])].concat(), 5);
        assert_eq!(seen, [Ok(vec![9]), Err(Reject::Malformed), Ok(vec![7])]);
        let endless = [&START[..], &[8; 300], &file(&[7])].concat();
        assert!(matches!(cut(&endless, 9)[..], [Err(Reject::TooLong), .., Ok(_)]));
    }
}
