//! Event identifiers: UUIDv7, from the time they are given and a seeded generator, so that the engine stays pure.
//!
//! Owns the order of the identifiers: each is greater than the one before, also within a millisecond and while the
//! wall clock is set back a little.

use uuid::Uuid;

use crate::clock::WallTime;

/// A wall clock that goes back by no more than this does not take the identifiers back with it. More than this is a
/// clock that has been put right, and identifiers should show the right time from then on.
const BACKWARDS_MAX_MS: u64 = 10_000;

/// Gives identifiers.
#[derive(Debug)]
pub(super) struct Ids {
    random: fastrand::Rng,
    millis: u64,
    high: u16,
    low: u64,
}

impl Ids {
    /// A series that depends on nothing but the seed and the times given.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), millis: 0, high: 0, low: 0 }
    }

    /// The next identifier.
    pub(super) fn next(&mut self, wall: WallTime) -> Uuid {
        let millis = u64::try_from(wall.as_millis()).unwrap_or(0);
        if self.millis != 0 && millis <= self.millis && self.millis - millis <= BACKWARDS_MAX_MS {
            self.low += 1 + u64::from(self.random.u16(..));
        } else {
            self.millis = millis;
            self.high = self.random.u16(..);
            // The highest of the 62 bits stays free: no number of events in one millisecond runs over.
            self.low = self.random.u64(..) >> 3;
        }
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&self.high.to_be_bytes());
        tail[2..].copy_from_slice(&self.low.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(self.millis, &tail).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_version_7_carry_the_time_and_ascend() {
        let mut ids = Ids::new(7);
        let mut last = Uuid::nil();
        for millis in [1_700_000_000_000, 1_700_000_000_000, 1_700_000_000_001, 1_699_999_999_000, 1_700_000_000_002] {
            let id = ids.next(WallTime::from_millis(millis));
            assert_eq!(id.get_version_num(), 7);
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        assert_eq!(last.as_u128() >> 80, 1_700_000_000_002);
    }

    #[test]
    fn a_clock_put_right_by_a_day_is_followed() {
        let mut ids = Ids::new(7);
        ids.next(WallTime::from_millis(1_700_086_400_000));
        let id = ids.next(WallTime::from_millis(1_700_000_000_000));
        assert_eq!(id.as_u128() >> 80, 1_700_000_000_000);
    }

    #[test]
    fn the_same_seed_and_times_give_the_same_identifiers() {
        let (mut a, mut b) = (Ids::new(1), Ids::new(1));
        assert_eq!(a.next(WallTime(5)), b.next(WallTime(5)));
        assert_ne!(Ids::new(2).next(WallTime(5)), Ids::new(3).next(WallTime(5)));
    }
}
