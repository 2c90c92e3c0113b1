//! How long what came to the writer waits for company.
//!
//! Owns the rule, and never the events, the clock or the disk: callers say what is held and what time it is. A commit
//! costs a sync and some hundred bytes whatever is in it, so when commits follow each other closely the writer
//! *gathers*: it sleeps for a millisecond at a time and takes what has come. The rule:
//!
//! - What comes when there was no commit in the last [`GAP`] goes at once: a lone event is never held up.
//! - Otherwise it waits until nothing has come for a [`GAP`], [`ACKS_ENOUGH`] messages wait for their acknowledgement,
//!   or [`GATHER_MAX`] is over.
//! - A gathering that ended since nothing came has *run dry*, and for [`DRY`] there is no other: it is for a steady
//!   flow. A broker that lets us have only a few messages at once sends none after them; it is kept waiting for one
//!   [`GAP`] in every [`DRY`], a few parts in a hundred.
//! - With a `commit_interval` everything waits for so long instead; once [`ACKS_HELD_MAX`] messages wait for their
//!   acknowledgement that wait is cut down to a gathering, or to nothing if that is of no use.
//!
//! A critical event ends every wait; that is the writer's business.

use std::time::{Duration, Instant};

/// What comes further apart is no flow.
const GAP: Duration = Duration::from_millis(3);

/// How long there is no gathering after one that ran dry.
const DRY: Duration = Duration::from_millis(100);

/// Longest gathering. Twenty milliseconds are nothing to who reads an alarm, and at ten thousand events a second they
/// make commits of two hundred instead of ten: a tenth of the processor time, and a third of the bytes written.
const GATHER_MAX: Duration = Duration::from_millis(20);

/// The writer looks so often at what has come while it gathers, so that not every event wakes it.
pub(super) const SLICE: Duration = Duration::from_millis(1);

/// Acknowledgements that end a gathering. As many again may come while these are written, so a broker that lets us
/// have a thousand messages at once is kept busy all the time.
const ACKS_ENOUGH: usize = 512;

/// Most acknowledgements that wait out a `commit_interval`. mosquitto sends 20 messages and then nothing more until
/// the first is acknowledged: holding on to that many would keep all readings of a broker waiting, critical ones too.
const ACKS_HELD_MAX: usize = 16;

/// What the writer holds and has not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Events and alarm states.
    pub size: usize,
    /// Messages that are acknowledged when it is written.
    pub acks: usize,
}

/// Keeps the rule for one group of commits after the other.
#[derive(Debug, Default)]
pub(super) struct Gather {
    committed_at: Option<Instant>,
    gathering: Option<Gathering>,
    /// When one last ran dry.
    dry_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Gathering {
    began: Instant,
    /// What was held when it last became more, and when that was.
    held: Held,
    grew: Instant,
}

impl Gather {
    /// The group is written, and the next begins.
    pub(super) fn committed(&mut self, now: Instant) {
        (self.committed_at, self.gathering) = (Some(now), None);
    }

    /// The longest time that the first of a new group may wait.
    pub(super) fn patience(&self, interval: Duration, now: Instant) -> Duration {
        let is_busy = is_within(GAP, self.committed_at, now) && !is_within(DRY, self.dry_at, now);
        if interval.is_zero() && is_busy { GATHER_MAX } else { interval }
    }

    /// Whether no more company is worth waiting for. For a group that may wait, whenever more may have come.
    pub(super) fn is_enough(&mut self, interval: Duration, held: Held, now: Instant) -> bool {
        if !interval.is_zero() && held.acks < ACKS_HELD_MAX {
            return false;
        }
        if is_within(DRY, self.dry_at, now) {
            return true;
        }
        let gathering = self.gathering.get_or_insert(Gathering { began: now, held, grew: now });
        if gathering.held != held {
            (gathering.held, gathering.grew) = (held, now);
        }
        let is_dry = !is_within(GAP, Some(gathering.grew), now);
        if is_dry {
            self.dry_at = Some(now);
        }
        is_dry || held.acks >= ACKS_ENOUGH || !is_within(GATHER_MAX, Some(gathering.began), now)
    }

    /// Whether a gathering is under way.
    pub(super) fn is_gathering(&self) -> bool {
        self.gathering.is_some()
    }
}

/// Whether `then` is less than `time` before `now`.
fn is_within(time: Duration, then: Option<Instant>, now: Instant) -> bool {
    then.is_some_and(|then| now.saturating_duration_since(then) < time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;
    const SECOND: Duration = Duration::from_secs(1);

    /// Just after a commit.
    fn busy() -> (Gather, Instant) {
        let now = Instant::now();
        let mut gather = Gather::default();
        gather.committed(now);
        (gather, now)
    }

    fn held(messages: usize) -> Held {
        Held { size: 2 * messages, acks: messages }
    }

    /// The slice after which the gathering ends, when so many messages are held after each.
    fn slices(gather: &mut Gather, interval: Duration, start: Instant, held_after: impl Fn(u32) -> usize) -> u32 {
        (0..1_000)
            .find(|slice| gather.is_enough(interval, held(held_after(*slice)), start + SLICE * *slice))
            .unwrap_or(u32::MAX)
    }

    #[test]
    fn a_lone_event_goes_at_once() {
        assert_eq!(Gather::default().patience(NONE, Instant::now()), NONE, "the first of all");
        let (gather, now) = busy();
        assert_eq!(gather.patience(NONE, now + GAP), NONE);
        assert_eq!(gather.patience(NONE, now + GAP / 2), GATHER_MAX, "one that follows closely waits");
    }

    #[test]
    fn a_steady_flow_is_gathered_for_the_whole_time_and_no_longer() {
        let (mut gather, now) = busy();
        assert_eq!(slices(&mut gather, NONE, now, |slice| 10 + 10 * slice as usize), 20);
    }

    #[test]
    fn a_fast_flow_is_gathered_until_a_broker_with_a_thousand_in_flight_has_half_of_them_here() {
        let (mut gather, now) = busy();
        assert_eq!(slices(&mut gather, NONE, now, |slice| 100 * slice as usize), 6);
    }

    #[test]
    fn a_broker_that_sends_twenty_and_then_nothing_is_kept_waiting_once_in_a_while() {
        for interval in [NONE, SECOND] {
            let (mut gather, now) = busy();
            assert_eq!(slices(&mut gather, interval, now, |slice| if slice == 0 { 17 } else { 20 }), 4);
            let dry = now + SLICE * 4;
            gather.committed(dry);
            assert_eq!(gather.patience(interval, dry), interval, "the next goes as if nothing was ever gathered");
            assert!(gather.is_enough(interval, held(ACKS_HELD_MAX), dry + SLICE), "the messages of one broker at once");
            gather.committed(dry + DRY);
            assert!(!gather.is_enough(interval, held(ACKS_HELD_MAX), dry + DRY), "then it is tried again");
            assert!(gather.is_gathering());
        }
    }

    #[test]
    fn an_end_that_is_no_want_of_events_is_followed_by_another_gathering() {
        let (mut gather, now) = busy();
        assert_eq!(slices(&mut gather, NONE, now, |slice| 2 + slice as usize), 20);
        let then = now + SLICE * 20;
        gather.committed(then);
        assert_eq!(gather.patience(NONE, then + SLICE), GATHER_MAX);
    }

    #[test]
    fn nothing_for_a_gap_ends_it_however_often_it_is_asked_in_between() {
        let (mut gather, now) = busy();
        assert!(!gather.is_enough(NONE, held(1), now));
        assert!(!gather.is_enough(NONE, held(1), now + GAP / 3));
        assert!(!gather.is_enough(NONE, held(2), now + GAP / 2));
        assert!(!gather.is_enough(NONE, held(2), now + GAP), "something came half a gap ago");
        assert!(gather.is_enough(NONE, held(2), now + GAP / 2 + GAP));
    }

    #[test]
    fn a_commit_interval_is_waited_out_while_few_acknowledgements_are_held() {
        let (mut gather, now) = busy();
        assert_eq!(gather.patience(SECOND, now), SECOND);
        let serial = Held { size: 1_000, acks: 0 };
        for held in [serial, held(1), held(ACKS_HELD_MAX - 1)] {
            assert!(!gather.is_enough(SECOND, held, now + SECOND / 2));
            assert!(!gather.is_gathering());
        }
    }

    #[test]
    fn a_commit_interval_becomes_a_gathering_when_a_broker_may_be_waiting() {
        let (mut gather, now) = busy();
        assert!(!gather.is_enough(SECOND, held(1), now));
        let start = now + SECOND / 2;
        assert_eq!(slices(&mut gather, SECOND, start, |slice| ACKS_HELD_MAX + slice as usize), 20);
    }

    #[test]
    fn a_gathering_ends_with_its_group() {
        let (mut gather, now) = busy();
        assert!(!gather.is_enough(NONE, held(5), now));
        assert!(gather.is_gathering());
        gather.committed(now + SLICE);
        assert!(!gather.is_gathering());
        assert!(!gather.is_enough(NONE, held(5), now + GATHER_MAX * 2), "a new one begins");
    }
}
