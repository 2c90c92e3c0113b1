//! The engine's timers: at most one entry a machine, so their number is bounded by the machines.
//!
//! Owns the order of the entries. A machine whose deadline moves later (a stale alarm's does with every reading) keeps
//! its early entry; when that comes up the machine finds nothing due and sets its true one. So a reading costs nothing
//! here, and a wake-up too many costs little.

use std::collections::BTreeSet;

use crate::clock::BootTime;

/// Which machine an entry is for: index of the sensor, index of its machine.
pub(super) type Key = (u32, u16);

/// All entries, earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: BTreeSet<(BootTime, Key)>,
}

impl Timers {
    /// The earliest entry.
    pub(super) fn first(&self) -> Option<BootTime> {
        self.entries.first().map(|(time, _)| *time)
    }

    /// Takes out the earliest entry if it is due.
    pub(super) fn pop_due(&mut self, now: BootTime) -> Option<Key> {
        let first = self.entries.first().copied().filter(|(time, _)| *time <= now)?;
        self.entries.remove(&first);
        Some(first.1)
    }

    /// Makes sure that the machine is woken at `deadline` or before. `entry` is its entry, kept with the machine.
    pub(super) fn arm(&mut self, key: Key, entry: &mut Option<BootTime>, deadline: Option<BootTime>) {
        let Some(deadline) = deadline else { return };
        match *entry {
            Some(early) if early <= deadline => {}
            before => {
                if let Some(late) = before {
                    self.entries.remove(&(late, key));
                }
                self.entries.insert((deadline, key));
                *entry = Some(deadline);
            }
        }
    }

    /// Takes out the entry of a machine.
    pub(super) fn disarm(&mut self, key: Key, entry: &mut Option<BootTime>) {
        if let Some(time) = entry.take() {
            self.entries.remove(&(time, key));
        }
    }

    /// Takes out everything; the machines must forget their entries.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_entry_however_often_its_deadline_moves() {
        let mut timers = Timers::default();
        let mut entry = None;
        for deadline in [50, 60, 40, 70, 45] {
            timers.arm((0, 0), &mut entry, Some(BootTime(deadline)));
            assert_eq!(timers.len(), 1);
        }
        assert_eq!(timers.first(), Some(BootTime(40)));
        timers.disarm((0, 0), &mut entry);
        assert_eq!((timers.len(), entry), (0, None));
    }

    #[test]
    fn due_entries_come_out_in_order_of_time() {
        let mut timers = Timers::default();
        for (index, time) in [(0, 30), (1, 10), (2, 20), (3, 99)] {
            timers.arm((index, 0), &mut None, Some(BootTime(time)));
        }
        let order: Vec<_> = std::iter::from_fn(|| timers.pop_due(BootTime(30))).map(|(sensor, _)| sensor).collect();
        assert_eq!(order, [1, 2, 0]);
    }
}
