//! How fast events may leave: two token buckets, one of events and one of bytes.
//!
//! Owns the tokens. Pure: time is handed in. A bucket holds one second's worth and refills evenly. An event may leave
//! while no bucket is in debt, and then pays what it has cost: so an event larger than a second's worth still leaves,
//! and what follows it waits the longer. On average the limit holds exactly.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::model::RateLimit;

/// Tokens are counted in billionths, so that refilling by the nanosecond loses nothing.
const PER_TOKEN: i128 = 1_000_000_000;

/// One bucket.
#[derive(Clone, Debug)]
struct Bucket {
    per_second: i128,
    /// In billionths of a token; negative is debt.
    level: i128,
    filled: Instant,
}

impl Bucket {
    fn new(per_second: u64, now: Instant) -> Self {
        let per_second = i128::from(per_second.max(1));
        Self { per_second, level: per_second * PER_TOKEN, filled: now }
    }

    fn fill(&mut self, now: Instant) {
        let nanos = now.saturating_duration_since(self.filled).as_nanos();
        // An hour fills any bucket that owes less than an hour's worth; the bound keeps the product small.
        let gained = self.per_second * i128::try_from(nanos).unwrap_or(i128::MAX).min(3_600 * PER_TOKEN);
        self.level = (self.level + gained).min(self.per_second * PER_TOKEN);
        self.filled = self.filled.max(now);
    }

    /// How long until it is out of debt.
    fn debt(&self) -> Duration {
        let missing = (-self.level).max(0);
        let nanos = (missing + self.per_second - 1) / self.per_second;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The buckets of a connection's events; they outlive it, so that reconnecting gives nothing away.
#[derive(Clone, Debug)]
pub struct Pace {
    events: Option<Bucket>,
    bytes: Option<Bucket>,
    /// Until when something was last held back.
    held_until: Option<Instant>,
}

impl Pace {
    /// Full buckets.
    pub fn new(limit: RateLimit, now: Instant) -> Self {
        Self {
            events: limit.events_per_second.map(|events| Bucket::new(u64::from(events), now)),
            bytes: limit.bytes_per_second.map(|bytes| Bucket::new(bytes, now)),
            held_until: None,
        }
    }

    /// When the next event may leave; `None` when it may now.
    pub fn wait(&mut self, now: Instant) -> Option<Instant> {
        let mut debt = Duration::ZERO;
        if let Some(events) = &mut self.events {
            events.fill(now);
            // A whole event's token, not any part of one.
            debt = Bucket { level: events.level - PER_TOKEN, ..events.clone() }.debt();
        }
        if let Some(bytes) = &mut self.bytes {
            bytes.fill(now);
            debt = debt.max(bytes.debt());
        }
        let until = (!debt.is_zero()).then(|| now + debt);
        self.held_until = until.or(self.held_until);
        until
    }

    /// Until when something was held back since this was last asked. Who was held back has to be woken then, also when
    /// that time has come by now.
    pub fn take_held_until(&mut self) -> Option<Instant> {
        self.held_until.take()
    }

    /// An event of so many bytes has left.
    pub fn pay(&mut self, bytes: usize) {
        if let Some(events) = &mut self.events {
            events.level -= PER_TOKEN;
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.level -= i128::try_from(bytes).unwrap_or(i128::MAX >> 32) * PER_TOKEN;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use proptest::prelude::*;

    use super::*;

    fn pace(events: Option<u32>, bytes: Option<u64>, now: Instant) -> Pace {
        Pace::new(RateLimit { events_per_second: events, bytes_per_second: bytes }, now)
    }

    /// Sends as fast as it may for so long; returns how many events left.
    fn run(pace: &mut Pace, start: Instant, lasts: Duration, bytes: usize) -> u32 {
        let (mut now, mut sent) = (start, 0);
        while now <= start + lasts {
            match pace.wait(now) {
                Some(later) => {
                    assert!(later > now);
                    now = later;
                }
                None => {
                    pace.pay(bytes);
                    sent += 1;
                }
            }
        }
        sent
    }

    #[test]
    fn a_second_s_worth_leaves_at_once_and_then_the_rate_holds() {
        let now = Instant::now();
        let mut pace = pace(Some(50), None, now);
        for _ in 0..50 {
            assert_eq!(pace.wait(now), None);
            pace.pay(9);
        }
        assert_eq!(pace.wait(now), Some(now + Duration::from_millis(20)));
        assert_eq!(run(&mut pace, now, Duration::from_secs(10), 9), 500);
    }

    #[test]
    fn who_was_held_back_is_woken_even_if_it_might_leave_by_now() {
        let now = Instant::now();
        let mut pace = pace(Some(1), None, now);
        pace.pay(1);
        let until = pace.wait(now).expect("the second's one event is paid for");
        assert_eq!(pace.wait(until), None);
        assert_eq!((pace.take_held_until(), pace.take_held_until()), (Some(until), None));
    }

    #[test]
    fn bytes_are_limited_too_and_the_slower_of_the_two_decides() {
        let now = Instant::now();
        assert_eq!(run(&mut pace(None, Some(1_000), now), now, Duration::from_secs(9), 100), 101);
        assert_eq!(run(&mut pace(Some(5), Some(1_000), now), now, Duration::from_secs(9), 100), 50);
        assert_eq!(run(&mut pace(Some(500), Some(1_000), now), now, Duration::from_secs(9), 100), 101);
    }

    #[test]
    fn an_event_larger_than_a_second_s_worth_leaves_and_is_paid_off() {
        let now = Instant::now();
        let mut pace = pace(None, Some(100), now);
        assert_eq!(pace.wait(now), None);
        pace.pay(1_100);
        assert_eq!(pace.wait(now), Some(now + Duration::from_secs(10)));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let now = Instant::now();
        let mut pace = pace(None, None, now);
        for _ in 0..1_000 {
            pace.pay(usize::MAX);
            assert_eq!(pace.wait(now), None);
        }
    }

    #[test]
    fn a_long_pause_gives_no_more_than_a_second_s_worth() {
        let now = Instant::now();
        let mut pace = pace(Some(10), None, now);
        let later = now + Duration::from_secs(100_000);
        assert_eq!(run(&mut pace, later, Duration::ZERO, 1), 10);
    }

    proptest! {
        #[test]
        fn in_no_stretch_of_time_more_leaves_than_allowed(
            events in 1_u32..200,
            bytes in 64_u64..10_000,
            sizes in prop::collection::vec(1_usize..500, 1..300),
            pauses in prop::collection::vec(0_u64..3_000, 1..300),
        ) {
            let start = Instant::now();
            let mut pace = pace(Some(events), Some(bytes), start);
            let (mut now, mut sent, mut sum) = (start, 0_u32, 0_u64);
            for (size, pause) in sizes.iter().zip(pauses.iter().cycle()) {
                now += Duration::from_micros(*pause);
                now = pace.wait(now).unwrap_or(now);
                prop_assert_eq!(pace.wait(now), None);
                // What left before this one is within a second's worth and what the time has brought.
                let seconds = (now - start).as_secs_f64() + 1.0;
                prop_assert!(f64::from(sent + 1) <= f64::from(events) * seconds + 1e-3);
                prop_assert!(sum as f64 <= bytes as f64 * seconds + 1e-3);
                pace.pay(*size);
                sent += 1;
                sum += *size as u64;
            }
        }
    }
}
