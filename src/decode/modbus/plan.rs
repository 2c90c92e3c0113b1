//! Which requests bring the wanted registers: as few as the unit takes.
//!
//! Owns the merging of neighbours. Registers of one value are never split over two requests: the two answers would be
//! from two moments. Pure.

use crate::config::model::{BITS_PER_READ_MAX, ModbusUnit, REGISTERS_PER_READ_MAX, Table};

/// Coils and discrete inputs that cost as much on the wire as one register.
const BITS_PER_REGISTER: u16 = 16;

/// Registers (or bits) in a row that are wanted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The address space.
    pub table: Table,
    /// The first, counted from 0.
    pub first: u16,
    /// How many; at least 1.
    pub count: u16,
}

impl Span {
    /// The address after the last.
    fn end(self) -> u32 {
        u32::from(self.first) + u32::from(self.count)
    }
}

/// One request, and what it is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What is asked for.
    pub span: Span,
    /// What of it is wanted, ordered, nothing twice.
    pub wanted: Vec<Span>,
}

impl Read {
    fn of(span: Span) -> Self {
        Self { span, wanted: vec![span] }
    }

    /// The same one by one, for a unit that has not all of it.
    pub fn apart(&self) -> Vec<Self> {
        self.wanted.iter().map(|span| Self::of(*span)).collect()
    }

    /// The same in two, for a unit to which it is too much at once.
    pub fn halves(&self) -> Vec<Self> {
        let (low, high) = self.wanted.split_at(self.wanted.len() / 2);
        [low, high].into_iter().filter_map(Self::over).collect()
    }

    /// One request for all of these, which are ordered and of one table.
    fn over(wanted: &[Span]) -> Option<Self> {
        let first = *wanted.first()?;
        let end = wanted.iter().map(|span| span.end()).max()?;
        let count = u16::try_from(end - u32::from(first.first)).unwrap_or(u16::MAX);
        Some(Self { span: Span { count, ..first }, wanted: wanted.to_vec() })
    }
}

/// Everything that a unit's quantities need.
pub fn spans(unit: &ModbusUnit) -> Vec<Span> {
    let values = unit.registers.iter().map(|register| Span {
        table: register.table,
        first: register.address,
        count: register.kind.registers(),
    });
    let scales = unit.registers.iter().filter_map(|register| register.scale_register);
    values.chain(scales.map(|scale| Span { table: scale.table, first: scale.address, count: 1 })).collect()
}

/// The requests for `wanted`: at most `max_registers` registers each, over gaps of at most `max_gap`.
pub fn plan(mut wanted: Vec<Span>, max_registers: u16, max_gap: u16) -> Vec<Read> {
    wanted.sort_unstable();
    wanted.dedup();
    let mut reads: Vec<Read> = Vec::new();
    for span in wanted {
        let (most, gap) = if span.table.is_bits() {
            let most = max_registers.saturating_mul(BITS_PER_REGISTER).min(BITS_PER_READ_MAX);
            (most, max_gap.saturating_mul(BITS_PER_REGISTER))
        } else {
            (max_registers.min(REGISTERS_PER_READ_MAX), max_gap)
        };
        if let Some(read) = reads.last_mut() {
            let end = read.span.end().max(span.end());
            let joined = end - u32::from(read.span.first);
            let near = u32::from(span.first) <= read.span.end() + u32::from(gap);
            if read.span.table == span.table && near && joined <= u32::from(most) {
                read.span.count = u16::try_from(joined).unwrap_or(most);
                read.wanted.push(span);
                continue;
            }
        }
        reads.push(Read::of(span));
    }
    reads
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    fn holding(first: u16, count: u16) -> Span {
        Span { table: Table::Holding, first, count }
    }

    fn asked(wanted: &[(u16, u16)], max_registers: u16, max_gap: u16) -> Vec<(u16, u16)> {
        let wanted = wanted.iter().map(|(first, count)| holding(*first, *count)).collect();
        plan(wanted, max_registers, max_gap).iter().map(|read| (read.span.first, read.span.count)).collect()
    }

    #[test]
    fn neighbours_become_one_request_and_far_ones_do_not() {
        assert_eq!(asked(&[(2, 2), (0, 2), (4, 1)], 125, 0), [(0, 5)]);
        assert_eq!(asked(&[(0, 2), (10, 2)], 125, 8), [(0, 12)]);
        assert_eq!(asked(&[(0, 2), (11, 2)], 125, 8), [(0, 2), (11, 2)]);
        assert_eq!(asked(&[(0, 2), (0, 2), (1, 1)], 125, 8), [(0, 2)]);
    }

    #[test]
    fn a_request_is_never_longer_than_the_unit_takes_and_a_value_is_never_split() {
        assert_eq!(asked(&[(0, 2), (2, 2), (4, 2)], 5, 8), [(0, 4), (4, 2)]);
        assert_eq!(asked(&[(0, 4)], 2, 0), [(0, 4)], "a value that is longer is asked for on its own");
        let many: Vec<(u16, u16)> = (0..200).map(|at| (at, 1)).collect();
        assert_eq!(asked(&many, 125, 8), [(0, 125), (125, 75)]);
    }

    #[test]
    fn a_request_for_several_can_be_taken_apart() {
        let reads = plan(vec![holding(0, 2), holding(4, 1), holding(5, 4)], 125, 8);
        let spans = |reads: Vec<Read>| reads.iter().map(|read| read.span).collect::<Vec<_>>();
        assert_eq!(spans(reads[0].apart()), [holding(0, 2), holding(4, 1), holding(5, 4)]);
        assert_eq!(spans(reads[0].halves()), [holding(0, 2), holding(4, 5)]);
        assert_eq!(spans(reads[0].halves()[1].halves()), [holding(4, 1), holding(5, 4)]);
        assert_eq!(spans(reads[0].halves()[0].halves()), [holding(0, 2)]);
    }

    fn any_span() -> impl Strategy<Value = Span> {
        let tables = [Table::Coil, Table::Discrete, Table::Holding, Table::Input];
        (0..4_usize, any::<u16>(), 0..3_usize).prop_map(move |(table, first, count)| {
            let count = if tables[table].is_bits() { 1 } else { [1, 2, 4][count] };
            Span { table: tables[table], first: first.min(u16::MAX - count), count }
        })
    }

    proptest! {
        #[test]
        fn everything_wanted_is_asked_for_once_within_the_limits(
            wanted in prop::collection::vec(any_span(), 0..60), most in 4_u16..=125, gap in 0_u16..50,
        ) {
            let reads = plan(wanted.clone(), most, gap);
            for span in &wanted {
                let of: Vec<_> = reads.iter().filter(|read| read.wanted.contains(span)).collect();
                prop_assert_eq!(of.len(), 1);
                prop_assert!(of[0].span.first <= span.first && of[0].span.end() >= span.end());
            }
            for read in &reads {
                let limit = if read.span.table.is_bits() { BITS_PER_READ_MAX.min(most * 16) } else { most };
                prop_assert!(read.span.count <= limit && read.span.end() <= 1 << 16);
                prop_assert!(read.wanted.iter().all(|span| span.table == read.span.table));
            }
        }
    }
}
