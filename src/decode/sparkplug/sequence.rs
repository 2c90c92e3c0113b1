//! The sequence numbers of a Sparkplug node: 0 to 255 and round, one a message.
//!
//! Owns what is missing. Messages of different topics may overtake each other on their way through a broker, so one that
//! comes late is no new gap, and may be the last that was missing.

/// Most missing messages waited for by number; where more are missing none of them is.
const MISSING_MAX: usize = 16;

/// What a message's number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    InOrder,
    /// It was missing; `complete`: nothing is any more.
    Late {
        complete: bool,
    },
    /// Messages before it are missing, from `due` on.
    Gap {
        due: u8,
    },
}

/// A node's numbers.
#[derive(Debug)]
pub(super) struct Sequence {
    due: u8,
    missing: Vec<u8>,
}

impl Sequence {
    /// After the first message seen.
    pub(super) fn after(seq: u8) -> Self {
        Self { due: seq.wrapping_add(1), missing: Vec::new() }
    }

    /// The next message.
    pub(super) fn next(&mut self, seq: u8) -> Step {
        if seq == self.due {
            self.due = seq.wrapping_add(1);
            return Step::InOrder;
        }
        if let Some(at) = self.missing.iter().position(|missing| *missing == seq) {
            self.missing.swap_remove(at);
            return Step::Late { complete: self.missing.is_empty() };
        }
        let due = self.due;
        let ahead = usize::from(seq.wrapping_sub(due));
        self.due = seq.wrapping_add(1);
        if self.missing.len() + ahead <= MISSING_MAX {
            self.missing.extend((0..ahead).map(|step| due.wrapping_add(step as u8)));
        } else {
            self.missing.clear();
        }
        Step::Gap { due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(numbers: &[u8]) -> Vec<Step> {
        let mut sequence = Sequence::after(numbers[0]);
        numbers[1..].iter().map(|seq| sequence.next(*seq)).collect()
    }

    #[test]
    fn numbers_go_round_and_a_gap_is_told_once() {
        assert_eq!(steps(&[254, 255, 0, 1]), [Step::InOrder; 3]);
        assert_eq!(steps(&[0, 3, 4]), [Step::Gap { due: 1 }, Step::InOrder]);
        assert_eq!(steps(&[5, 5]), [Step::Gap { due: 6 }]);
    }

    #[test]
    fn messages_that_overtook_each_other_are_one_gap_that_closes() {
        let late = |complete| Step::Late { complete };
        assert_eq!(steps(&[6, 8, 7, 9]), [Step::Gap { due: 7 }, late(true), Step::InOrder]);
        assert_eq!(steps(&[254, 1, 0, 255, 2]), [Step::Gap { due: 255 }, late(false), late(true), Step::InOrder]);
    }

    #[test]
    fn too_many_missing_messages_are_not_waited_for() {
        assert_eq!(steps(&[0, 100, 50, 101]), [Step::Gap { due: 1 }, Step::Gap { due: 101 }, Step::Gap { due: 51 }]);
    }
}
