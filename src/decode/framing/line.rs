//! Lines.
//!
//! A line ends at CR, LF or CRLF; an empty line is passed over. A line longer than the bound is dropped to its end and
//! told once. The first line after opening is, as a rule, the end of one that began before, and is dropped.

use std::time::Duration;

use super::{Cut, Each, Frame, too_long};
use crate::counters::Reject;

/// Collects a line.
#[derive(Debug)]
pub(super) struct Lines {
    line: Vec<u8>,
    bytes_max: usize,
    keep_first: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the first, possibly partial line, which is dropped; so many bytes of it have gone by.
    First(usize),
    /// In a line that is wanted.
    Line,
    /// In the rest of a line that was too long.
    Dropping,
}

impl Lines {
    /// For lines of at most `bytes_max` bytes, their end not counted.
    pub(super) fn new(bytes_max: usize, keep_first: bool) -> Self {
        Self { line: Vec::new(), bytes_max, keep_first, state: State::Line }
    }

    fn extend(&mut self, piece: &[u8], ends: bool, each: &mut Each<'_>) {
        match self.state {
            State::First(seen) => {
                let now = seen.saturating_add(piece.len());
                if seen <= self.bytes_max && now > self.bytes_max {
                    // Not partial but endless: most likely the wrong baud rate, which somebody has to see.
                    each(Frame::Refused(Reject::TooLong, too_long(self.bytes_max)));
                } else if ends && (1..=self.bytes_max).contains(&now) {
                    each(Frame::Refused(Reject::Partial, format!("{now} bytes of a line that began before")));
                }
                self.state = State::First(now);
            }
            State::Dropping => {}
            State::Line if self.line.len() + piece.len() > self.bytes_max => {
                self.line.clear();
                self.state = State::Dropping;
                each(Frame::Refused(Reject::TooLong, too_long(self.bytes_max)));
            }
            State::Line if ends && self.line.is_empty() => {
                if !piece.is_empty() {
                    each(Frame::Message(piece));
                }
            }
            State::Line => {
                self.line.extend_from_slice(piece);
                if ends {
                    each(Frame::Message(&self.line));
                    self.line.clear();
                }
            }
        }
        if ends {
            self.state = State::Line;
        }
    }
}

impl Cut for Lines {
    fn reset(&mut self, _now: Duration) {
        self.line.clear();
        self.state = if self.keep_first { State::Line } else { State::First(0) };
    }

    fn push(&mut self, mut bytes: &[u8], _now: Duration, each: &mut Each<'_>) {
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.extend(&bytes[..end], true, each);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, false, each);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(bytes_max: usize, keep_first: bool) -> Lines {
        let mut lines = Lines::new(bytes_max, keep_first);
        lines.reset(Duration::ZERO);
        lines
    }

    /// Lines as texts; "!" stands for one that was too long.
    fn frames(framer: &mut Lines, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for chunk in chunks {
            framer.push(chunk, Duration::ZERO, &mut |frame| match frame {
                Frame::Message(line) => out.push(line.to_vec()),
                Frame::Refused(Reject::Partial, _) => {}
                Frame::Refused(reject, _) => {
                    assert_eq!(reject, Reject::TooLong);
                    out.push(b"!".to_vec());
                }
            });
        }
        out
    }

    #[test]
    fn cr_lf_and_crlf_end_a_line_and_empty_lines_are_passed_over() {
        let mut framer = lines(10, true);
        assert_eq!(frames(&mut framer, &[b"a\rb\nc\r\n\r\n\n\rd"]), [b"a", b"b", b"c"]);
        assert_eq!(frames(&mut framer, &[b"\r"]), [b"d"]);
    }

    #[test]
    fn the_first_line_is_dropped_unless_it_is_to_be_kept() {
        assert_eq!(frames(&mut lines(10, false), &[b"art", b"ial\r", b"\nwhole\n"]), [b"whole"]);
        assert_eq!(frames(&mut lines(10, true), &[b"whole\n"]), [b"whole"]);
    }

    #[test]
    fn a_line_at_the_bound_passes_and_one_beyond_it_is_dropped_and_told_once() {
        let mut framer = lines(4, true);
        assert_eq!(frames(&mut framer, &[b"1234\n12345\nok\n"]), [b"1234".as_slice(), b"!", b"ok"]);
        assert_eq!(frames(&mut framer, &[b"12", b"345", &[b'x'; 1_000], b"\nok\n"]), [b"!".as_slice(), b"ok"]);
        assert!(framer.line.capacity() <= 16);
    }

    #[test]
    fn endless_garbage_after_opening_is_told_once() {
        let mut framer = lines(4, false);
        assert_eq!(frames(&mut framer, &[&[0xff; 100], &[0xff; 100], b"\nok\n"]), [b"!".as_slice(), b"ok"]);
    }

    #[test]
    fn opening_again_forgets_the_unfinished_line() {
        let mut framer = lines(10, false);
        assert_eq!(frames(&mut framer, &[b"x\nhal"]), Vec::<Vec<u8>>::new());
        framer.reset(Duration::ZERO);
        assert_eq!(frames(&mut framer, &[b"f\nwhole\n"]), [b"whole"]);
    }

    proptest! {
        #[test]
        fn chunking_never_changes_the_lines(
            bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200),
            cuts in prop::collection::vec(0_usize..200, 0..10),
            bytes_max in 1_usize..20,
            keep_first: bool,
        ) {
            let whole = frames(&mut lines(bytes_max, keep_first), &[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&frames(&mut lines(bytes_max, keep_first), &single), &whole);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(&frames(&mut lines(bytes_max, keep_first), &chunks), &whole);
            prop_assert!(whole.iter().all(|line| line.len() <= bytes_max.max(1)));
        }
    }
}
