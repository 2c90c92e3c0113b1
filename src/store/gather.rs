//! How long what came to the writer waits for company.
//!
//! Owns the rule, and never the events, the clock or the disk: callers say what is held and what time it is. A commit
//! costs a sync and some hundred bytes whatever is in it, so when commits follow each other closely the writer
//! *gathers*: it sleeps for a millisecond at a time and takes what has come. The rule:
//!
//! - What comes when there was no commit in the last [`GAP`] goes at once: a lone event is never held up.
//! - Otherwise it waits until nothing has come for a [`GAP`], [`ACKS_ENOUGH`] messages wait for their acknowledgement,
//!   or [`GATHER_MAX`] is over.
//! - A gathering is for a steady flow. After one that *ran dry* (nothing came) there is none for a [`REST`]; that
//!   doubles each time up to [`REST_MAX`], until one ends otherwise. A broker that lets us have only a few messages at
//!   once sends none after them: soon it is kept waiting for one [`GAP`] in every [`REST_MAX`], a few parts in a hundred.
//! - With a `commit_interval` everything waits for so long instead; once [`ACKS_HELD_MAX`] messages wait for their
//!   acknowledgement that wait is cut down to a gathering, or to nothing if that is of no use.
//!
//! A critical event ends every wait; that is the writer's business.

use std::time::{Duration, Instant};

/// What comes further apart is no flow.
const GAP: Duration = Duration::from_millis(3);

/// How long there is no gathering after one that ran dry, at first. Short, since a busy machine makes every flow halt.
const REST: Duration = Duration::from_millis(10);

/// The same when all lately ran dry.
const REST_MAX: Duration = Duration::from_millis(160);

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
    /// How long there is none after that.
    rest: Duration,
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
        self.committed_at = Some(now);
        if self.gathering.take().is_some() {
            self.rest = Duration::ZERO;
        }
    }

    /// The longest time that the first of a new group may wait.
    pub(super) fn patience(&self, interval: Duration, now: Instant) -> Duration {
        let is_busy = is_within(GAP, self.committed_at, now) && !is_within(self.rest, self.dry_at, now);
        if interval.is_zero() && is_busy { GATHER_MAX } else { interval }
    }

    /// Whether no more company is worth waiting for. For a group that may wait, whenever more may have come.
    pub(super) fn is_enough(&mut self, interval: Duration, held: Held, now: Instant) -> bool {
        if !interval.is_zero() && held.acks < ACKS_HELD_MAX {
            return false;
        }
        if is_within(self.rest, self.dry_at, now) {
            return true;
        }
        let gathering = self.gathering.get_or_insert(Gathering { began: now, held, grew: now });
        if gathering.held != held {
            (gathering.held, gathering.grew) = (held, now);
        }
        if !is_within(GAP, Some(gathering.grew), now) {
            (self.dry_at, self.gathering) = (Some(now), None);
            self.rest = (self.rest * 2).clamp(REST, REST_MAX);
            return true;
        }
        held.acks >= ACKS_ENOUGH || !is_within(GATHER_MAX, Some(gathering.began), now)
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
    fn a_broker_that_sends_twenty_and_then_nothing_is_kept_waiting_less_and_less_often() {
        for interval in [NONE, SECOND] {
            let (mut gather, mut now) = busy();
            for rest_ms in [10, 20, 40, 80, 160, 160] {
                assert_eq!(slices(&mut gather, interval, now, |slice| if slice == 0 { 17 } else { 20 }), 4);
                now += SLICE * 4;
                gather.committed(now);
                assert_eq!(gather.patience(interval, now), interval, "the next goes as if nothing was ever gathered");
                now += Duration::from_millis(rest_ms);
                assert!(gather.is_enough(interval, held(ACKS_HELD_MAX), now - SLICE), "the messages of one broker");
                gather.committed(now);
            }
        }
    }

    #[test]
    fn one_that_did_not_run_dry_is_followed_by_another_and_ends_the_long_rests() {
        let (mut gather, mut now) = busy();
        for rest in [REST, REST * 2] {
            assert_eq!(slices(&mut gather, NONE, now, |_| 1), 3, "dry");
            now += SLICE * 3 + rest;
            gather.committed(now);
        }
        assert_eq!(slices(&mut gather, NONE, now, |slice| 2 + slice as usize), 20);
        now += SLICE * 20;
        gather.committed(now);
        assert_eq!(gather.patience(NONE, now), GATHER_MAX);
        assert_eq!(slices(&mut gather, NONE, now, |_| 1), 3, "dry");
        gather.committed(now + SLICE * 3 + REST);
        assert_eq!(gather.patience(NONE, now + SLICE * 3 + REST), GATHER_MAX);
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
