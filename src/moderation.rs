//! When a reader of many small packets reads again, so that it is not woken for each of them.
//!
//! Owns the rule and the pause, and never the connection or the clock: callers say what a read brought and what time it is.
//! A broker writes each packet by itself, so a reader that takes whatever is there is woken twenty thousand times a second
//! for a packet or two, which costs both sides more than the packets. Network drivers moderate their interrupts for the
//! same reason. The rule:
//!
//! - Reads that follow each other within a [`GAP`] and bring little are *busy*. After [`BUSY_READS`] of them there is a
//!   [`PAUSE`] before the next, and so on while that brings more than [`FEW`]. What comes more slowly is never held up.
//! - A read that brings [`PLENTY`] is followed by another at once.
//! - There is no pause unless the other side may have [`UNDER_WAY_MIN`] packets more under way: one that waits for our
//!   answer is not to be kept waiting. The caller knows.
//!
//! The pause is the whole thread's, once all its tasks have nothing left to do ([`before_park`]): a connection that is
//! merely not read wakes the thread with each packet all the same, and one pause serves all connections.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What comes further apart is no flow.
const GAP: Duration = Duration::from_millis(1);

/// So many busy reads make a flow.
const BUSY_READS: u32 = 8;

/// How long the thread pauses. Short beside what a commit takes, and long enough for thirty packets at thirty thousand a
/// second.
const PAUSE: Duration = Duration::from_millis(1);

/// What a pause brings when the flow has ended.
const FEW: usize = 4;

/// More than one read brings when pauses are worth it: there may be still more.
const PLENTY: usize = 128;

/// What is worth a pause; also more than the twenty messages that mosquitto has under way before it waits.
pub const UNDER_WAY_MIN: usize = 48;

/// Keeps the rule for one connection.
#[derive(Debug, Default)]
pub struct Moderation {
    last: Option<Instant>,
    busy: u32,
    is_paused: bool,
}

impl Moderation {
    /// A read brought so many packets. `may_pause`: the other side may have [`UNDER_WAY_MIN`] more under way. True when a
    /// pause is due before the next ([`pause`]).
    pub fn after_read(&mut self, packets: usize, may_pause: bool, now: Instant) -> bool {
        let is_close = self.last.replace(now).is_some_and(|last| now.saturating_duration_since(last) < GAP);
        let was_paused = std::mem::take(&mut self.is_paused);
        self.busy = match packets {
            PLENTY.. => 0,
            _ if !may_pause => 0,
            _ if was_paused => {
                if packets > FEW {
                    BUSY_READS
                } else {
                    0
                }
            }
            _ => {
                if is_close {
                    self.busy + 1
                } else {
                    0
                }
            }
        };
        self.is_paused = self.busy >= BUSY_READS;
        self.is_paused
    }
}

thread_local! {
    static IS_DUE: Cell<bool> = const { Cell::new(false) };
}

/// Has this thread pause before it goes to sleep the next time.
pub fn pause() {
    IS_DUE.set(true);
}

/// Whether this thread is to pause.
#[cfg(test)]
pub(crate) fn is_due() -> bool {
    IS_DUE.get()
}

/// What the runtime calls before it puts its thread to sleep.
pub fn before_park() {
    if IS_DUE.take() {
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_micros(50);

    /// Reads of so many packets, so far apart, until there is a pause; how many, and the time then.
    fn until_pause(moderation: &mut Moderation, packets: usize, mut now: Instant, apart: Duration) -> (u32, Instant) {
        for reads in 1..100_000 {
            now += apart;
            if moderation.after_read(packets, true, now) {
                return (reads, now);
            }
        }
        (0, now)
    }

    #[test]
    fn what_comes_slowly_is_never_held_up() {
        assert_eq!(until_pause(&mut Moderation::default(), 1, Instant::now(), GAP).0, 0);
    }

    #[test]
    fn reads_that_bring_plenty_are_not_held_up_either() {
        assert_eq!(until_pause(&mut Moderation::default(), PLENTY, Instant::now(), SOON).0, 0);
    }

    #[test]
    fn a_flow_of_single_packets_is_read_a_pause_apart_until_it_ends() {
        let mut moderation = Moderation::default();
        let (reads, mut now) = until_pause(&mut moderation, 1, Instant::now(), SOON);
        assert_eq!(reads, BUSY_READS + 1, "the first has none before it");
        for packets in [FEW + 1, 40, PLENTY - 1, 30] {
            now += PAUSE * 2;
            assert!(moderation.after_read(packets, true, now));
        }
        now += PAUSE * 2;
        assert!(!moderation.after_read(FEW, true, now));
        assert_eq!(until_pause(&mut moderation, 1, now, SOON).0, BUSY_READS, "it begins anew");
    }

    #[test]
    fn a_read_that_brings_plenty_is_followed_at_once() {
        let mut moderation = Moderation::default();
        let (_, now) = until_pause(&mut moderation, 1, Instant::now(), SOON);
        assert!(!moderation.after_read(PLENTY, true, now + PAUSE));
        assert_eq!(until_pause(&mut moderation, 1, now + PAUSE, SOON).0, BUSY_READS);
    }

    #[test]
    fn who_waits_for_our_answer_is_not_kept_waiting() {
        let mut moderation = Moderation::default();
        let mut now = Instant::now();
        for _ in 0..100 {
            now += SOON;
            assert!(!moderation.after_read(1, false, now));
        }
        let (_, now) = until_pause(&mut moderation, 1, now, SOON);
        assert!(!moderation.after_read(40, false, now + PAUSE), "all that was under way is here");
    }

    #[test]
    #[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    fn a_pause_comes_once_and_is_one_threads_alone() {
        let start = Instant::now();
        pause();
        assert!(is_due() && !std::thread::spawn(is_due).join().unwrap());
        before_park();
        assert!(start.elapsed() >= PAUSE);
        assert!(!is_due());
    }
}
