//! Numbers of events, kept as stretches of consecutive ones: what has arrived before its turn takes little memory.
//!
//! Pure.

use std::collections::BTreeMap;

/// Numbers, kept as stretches of consecutive ones: first and last.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    stretches: BTreeMap<u64, u64>,
    count: u64,
}

impl Stretches {
    pub(super) fn contains(&self, number: u64) -> bool {
        self.stretches.range(..=number).next_back().is_some_and(|(_, last)| number <= *last)
    }

    pub(super) fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        self.count += 1;
        let last = self.stretches.remove(&(number + 1)).unwrap_or(number);
        match self.stretches.range_mut(..number).next_back() {
            Some((_, before)) if *before + 1 == number => *before = last,
            _ => drop(self.stretches.insert(number, last)),
        }
    }

    pub(super) fn forget_through(&mut self, through: u64) {
        while let Some((first, last)) = self.stretches.pop_first() {
            if first > through {
                self.stretches.insert(first, last);
                return;
            }
            self.count -= last.min(through) - first + 1;
            if last > through {
                self.stretches.insert(through + 1, last);
                return;
            }
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn stretches(&self) -> usize {
        self.stretches.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_hold_what_was_put_in(numbers in prop::collection::vec(1_u64..200, 0..200), through in 0_u64..250) {
            let mut stretches = Stretches::default();
            numbers.iter().for_each(|number| stretches.insert(*number));
            stretches.forget_through(through);
            let expected: BTreeSet<u64> = numbers.into_iter().filter(|number| *number > through).collect();
            prop_assert_eq!(stretches.count(), expected.len() as u64);
            prop_assert!((0..260).all(|number| stretches.contains(number) == expected.contains(&number)));
            let gaps = expected.iter().filter(|number| !expected.contains(&(*number + 1))).count();
            prop_assert_eq!(stretches.stretches(), gaps);
        }
    }
}
