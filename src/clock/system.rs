//! The machine's clocks, and what this process knows about them.
//!
//! Owns reading them, and the one log line when the wall clock jumps or becomes synchronised. A look at the signs of
//! time services costs system calls, so it is taken once a second at most, and at once when the wall clock has jumped.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::judge::{self, Judge, Jump};
use super::kept::{self, Kept};
use super::restamp::Estimator;
use super::signs::chrony::Chrony;
use super::signs::{self, Witness};
use super::{BUILT, BootTime, ClockState, Now, WallTime};
use crate::counters::Counter;
use crate::event::Event;

/// How long one look at the signs is good for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The same at the start, while chronyd is about to answer, which takes it a fraction of a millisecond.
const FIRST_LOOK_EVERY: Duration = Duration::from_millis(1);

/// How often that is waited for: a chronyd that hangs must not keep a gateway from starting.
const FIRST_LOOKS_MAX: usize = 20;

/// The same shortly after a jump.
const LOOK_SOON: Duration = Duration::from_millis(50);

/// How long after it has set the clock a time service may take to give its sign.
const SIGN_AFTER: Duration = Duration::from_secs(5);

/// Two readings of the boot clock around one of the wall clock are this close together, or the process was stopped in
/// between and the pair says nothing.
const PAIR_MAX: Duration = Duration::from_millis(100);

/// How often what is known is written down while nothing changes.
const KEEP_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is known about the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockView {
    /// Who confirmed it; `None` while nobody has.
    pub by: Option<Witness>,
    /// Since when that is so.
    pub since: BootTime,
    /// Jumps seen since the start of the process.
    pub jumps: u64,
    /// The last of them.
    pub jump: Option<Jump>,
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    /// Identifies the boot that [`BootTime`]s belong to.
    pub boot_id: uuid::Uuid,
    /// Where what is known is kept over a restart.
    dir: Option<PathBuf>,
    /// When the signs are looked at again.
    look_at: AtomicU64,
    /// The judge's base and whether the wall clock is confirmed, for those who do not look.
    base: AtomicI64,
    confirmed: AtomicBool,
    /// The last time that was certainly right, from an earlier run or this one.
    known: AtomicI64,
    keep_at: AtomicU64,
    witnesses: Mutex<(Judge, Chrony)>,
    view: watch::Sender<ClockView>,
}

impl SystemClock {
    /// Reads the boot id; on a system without one a random one stands in, so stored boot times are never reused.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// The same, and what an earlier run knew, from the file it left in this directory.
    pub fn remembering(dir: &Path) -> Self {
        let clock = Self::with(Some(dir));
        // Otherwise the first events would be stamped in doubt on every system with chrony.
        for _ in 0..FIRST_LOOKS_MAX {
            if !clock.witnesses.lock().unwrap_or_else(PoisonError::into_inner).1.is_waiting() {
                break;
            }
            std::thread::sleep(FIRST_LOOK_EVERY);
            clock.look();
        }
        clock
    }

    fn with(dir: Option<&Path>) -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot_id = uuid::Uuid::parse_str(text.trim()).unwrap_or_else(|_| uuid::Uuid::from_u128(fastrand::u128(1..)));
        let kept = dir.and_then(kept::read);
        let here = kept.filter(|kept| kept.boot_id == boot_id);
        let judge = here.map_or_else(Judge::default, |kept| Judge::resume(judge::base(kept.boot, kept.wall)));
        let clock = Self {
            boot_id,
            dir: dir.map(Path::to_owned),
            look_at: AtomicU64::new(0),
            base: AtomicI64::new(judge.base().unwrap_or_default()),
            confirmed: AtomicBool::new(false),
            known: AtomicI64::new(kept.map_or(i64::MIN, |kept| kept.wall.0)),
            keep_at: AtomicU64::new(0),
            witnesses: Mutex::new((judge, Chrony::local())),
            view: watch::Sender::new(ClockView::default()),
        };
        clock.look();
        clock
    }

    /// Reads all clocks.
    pub fn now(&self) -> Now {
        let (mut boot, mut wall) = (self.boot(), self.wall());
        let jumped = || judge::is_jump(self.base.load(Ordering::Relaxed), judge::base(boot, wall));
        if boot.0 >= self.look_at.load(Ordering::Relaxed) || jumped() {
            (boot, wall) = self.look();
        }
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        let clock = if confirmed { ClockState::Synchronized } else { ClockState::Unsynchronized };
        Now { boot, wall, clock }
    }

    /// Reads the boot clock.
    pub fn boot(&self) -> BootTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        BootTime(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Reads the wall clock, to the microsecond: more says nothing about a sensor and costs bytes in every event.
    pub fn wall(&self) -> WallTime {
        let nanos = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        WallTime(nanos - nanos % 1_000)
    }

    /// What the wall clock says, or would have said, at a time of this boot. For people.
    pub fn wall_at(&self, boot: BootTime) -> WallTime {
        let now = self.boot();
        let away = |from: BootTime, to: BootTime| i64::try_from(to.since(from).as_nanos()).unwrap_or(i64::MAX);
        self.wall().offset(away(now, boot).saturating_sub(away(boot, now)))
    }

    /// The earliest time it can be, by which certificates are judged while the wall clock shows less: the build time,
    /// and unless the wall clock is synchronised the last time that was certainly right.
    pub fn earliest(&self) -> WallTime {
        match self.now().clock {
            ClockState::Unsynchronized => BUILT.max(WallTime(self.known.load(Ordering::Relaxed))),
            // Should a time service have erred into the future once, it must not hold good for ever.
            ClockState::Synchronized | ClockState::Estimated => BUILT,
        }
    }

    /// What repairs events of this boot that were stamped before the time was known; `None` while it is not.
    pub fn estimator(&self) -> Option<Estimator> {
        let confirmed = self.now().clock == ClockState::Synchronized;
        confirmed.then(|| Estimator { boot_id: self.boot_id, base: self.base.load(Ordering::Relaxed) })
    }

    /// The event with the times it should have, where that is known by now; counts those that were repaired.
    pub fn repaired<'a>(&self, event: &'a Event, count: &Counter) -> Cow<'a, Event> {
        // Asked for each event that leaves: those stamped by a right clock cost nothing.
        if event.clock != ClockState::Unsynchronized {
            return Cow::Borrowed(event);
        }
        let repaired = self.estimator().map_or(Cow::Borrowed(event), |estimator| estimator.repair(event));
        count.add(u64::from(matches!(repaired, Cow::Owned(_))));
        repaired
    }

    /// What is known about the wall clock.
    pub fn view(&self) -> ClockView {
        self.now();
        *self.view.borrow()
    }

    /// Tells when the wall clock jumps or becomes synchronised: what failed by the time may then be tried again.
    pub fn changes(&self) -> watch::Receiver<ClockView> {
        self.view.subscribe()
    }

    /// Returns when the clock is confirmed, or when a service that has just set it would have said so: what is sent in
    /// between would go with times that are about to be repaired.
    pub async fn settled(&self) {
        let until = tokio::time::Instant::now() + SIGN_AFTER;
        while self.now().clock == ClockState::Unsynchronized && tokio::time::Instant::now() < until {
            tokio::time::sleep(LOOK_SOON).await;
        }
    }

    /// Looks at clocks and signs, and tells what has changed.
    fn look(&self) -> (BootTime, WallTime) {
        let mut witnesses = self.witnesses.lock().unwrap_or_else(PoisonError::into_inner);
        let (judge, chrony) = &mut *witnesses;
        let (before, wall, boot) = (self.boot(), self.wall(), self.boot());
        if boot.since(before) > PAIR_MAX {
            return (boot, wall);
        }
        let was = judge.confirmed_by();
        let mut signs = signs::marks();
        signs.set(Witness::Chrony, chrony.look(boot, was.is_some()));
        let jump = judge.look(boot, wall, signs);
        let by = judge.confirmed_by();
        if jump.is_some() {
            chrony.ask_soon();
        }
        if by.is_some() {
            self.known.store(wall.0, Ordering::Relaxed);
        }
        self.base.store(judge.base().unwrap_or_default(), Ordering::Relaxed);
        self.confirmed.store(by.is_some(), Ordering::Relaxed);
        // Who sets the clock gives its sign a moment later.
        let soon =
            by.is_none() && self.view.borrow().jump.or(jump).is_some_and(|jump| boot.since(jump.boot) < SIGN_AFTER);
        self.look_at.store(boot.after(if soon { LOOK_SOON } else { LOOK_EVERY }).0, Ordering::Relaxed);
        if jump.is_some() || was.is_some() != by.is_some() || by != self.view.borrow().by {
            self.keep_at.store(0, Ordering::Relaxed);
            self.tell(boot, wall, jump, by);
        }
        (boot, wall)
    }

    fn tell(&self, boot: BootTime, wall: WallTime, jump: Option<Jump>, by: Option<Witness>) {
        let by_name = by.map_or("nobody", Witness::as_str);
        if let Some(Jump { before, after, .. }) = jump {
            tracing::warn!(%before, %after, confirmed_by = by_name, "the wall clock was set");
        } else if by.is_some() {
            tracing::info!(%wall, confirmed_by = by_name, "the wall clock is synchronized");
        } else {
            tracing::warn!(%wall, "the wall clock is not synchronized any more");
        }
        self.view.send_modify(|view| {
            if view.by.is_some() != by.is_some() {
                view.since = boot;
            }
            view.by = by;
            view.jumps += u64::from(jump.is_some());
            view.jump = jump.or(view.jump);
        });
    }

    /// What is to be written down now, if anything: when the clock has just become synchronised, and once a day.
    pub fn to_keep(&self) -> Option<Kept> {
        let now = self.now();
        let due = now.clock == ClockState::Synchronized && now.boot.0 >= self.keep_at.load(Ordering::Relaxed);
        due.then(|| {
            self.keep_at.store(now.boot.after(KEEP_EVERY).0, Ordering::Relaxed);
            Kept { wall: now.wall, boot: now.boot, boot_id: self.boot_id }
        })
    }

    /// Writes something down; blocks for as long as the disk takes. Without success nothing is lost but a wait at some
    /// later start, so it is only noted.
    pub fn keep(&self, kept: Kept) {
        if let Some(dir) = &self.dir
            && let Err(error) = kept::write(dir, kept)
        {
            tracing::debug!(%error, "the time could not be written down");
        }
    }

    /// At the end: writes down that the clock is right, if it is.
    pub fn keep_last(&self) {
        self.keep_at.store(0, Ordering::Relaxed);
        if let Some(kept) = self.to_keep() {
            self.keep(kept);
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    /// A moment of this boot, written down as if an earlier run had known the time.
    fn kept(clock: &SystemClock, ahead_s: i64) -> Kept {
        let now = clock.now();
        Kept { wall: now.wall.offset(ahead_s * 1_000_000_000), boot: now.boot, boot_id: clock.boot_id }
    }

    #[test]
    fn a_restart_in_the_same_boot_knows_the_time_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = SystemClock::new();
        kept::write(dir.path(), kept(&first, 0)).unwrap();
        let second = SystemClock::remembering(dir.path());
        assert_eq!(second.now().clock, ClockState::Synchronized);
        let estimator = second.estimator().unwrap();
        assert!(!judge::is_jump(estimator.base, judge::base(second.boot(), second.wall())));
    }

    #[test]
    fn a_time_known_in_an_earlier_boot_is_the_least_it_can_be_and_confirms_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let clock = SystemClock::new();
        let before = Kept { boot_id: uuid::Uuid::from_u128(1), ..kept(&clock, 1_000) };
        kept::write(dir.path(), before).unwrap();
        let clock = SystemClock::remembering(dir.path());
        assert_ne!(clock.view().by, Some(Witness::EarlierRun));
        match clock.now().clock {
            ClockState::Unsynchronized => assert_eq!(clock.earliest(), before.wall),
            _ => assert_eq!(clock.earliest(), BUILT),
        }
    }

    #[test]
    fn what_is_kept_is_kept_when_it_is_news_and_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        kept::write(dir.path(), kept(&SystemClock::new(), 0)).unwrap();
        let clock = SystemClock::remembering(dir.path());
        let news = clock.to_keep().unwrap();
        assert_eq!(clock.to_keep(), None, "once a day is enough");
        std::fs::remove_file(dir.path().join(kept::FILE)).unwrap();
        clock.keep(news);
        assert_eq!(kept::read(dir.path()), Some(news));
        clock.keep_last();
        assert!(kept::read(dir.path()).unwrap().boot > news.boot);
    }

    #[test]
    fn times_of_this_boot_are_shown_by_the_clock_as_it_is_now() {
        let clock = SystemClock::new();
        let (now, soon) = (clock.now(), clock.boot().after(Duration::from_secs(60)));
        let shown = clock.wall_at(soon).since(now.wall).unwrap();
        assert!(shown.abs_diff(Duration::from_secs(60)) < Duration::from_secs(1), "{shown:?}");
        assert!(clock.wall_at(now.boot).0.abs_diff(clock.wall().0) < 1_000_000_000);
    }
}
