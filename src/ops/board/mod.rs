//! The board: what was seen last, kept in memory for whoever looks (the local page, and
//! `tidegate top`).
//!
//! Owns a bounded memory of each sensor's last hour, of refused input, of events, and of what became of the sources.
//! Written by the data path in passing: a look-up and a few stores, nothing while nobody looks
//! or may look at any time (`[http]` is off).
//! Never read by the data path, never on disk: a restart begins with an empty board. All tasks share one thread, so
//! its locks are never waited for. Memory: see [`sensors`], [`refused`] and [`told`]; about 2.5 KB a sensor at most,
//! 5 MB with as many sensors as are kept, and nothing before there is something to keep.

pub mod health;
pub mod refused;
pub mod sensors;
pub mod told;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::BootTime;
use health::Health;
use refused::Refused;
use sensors::Sensors;
use told::Told;

/// Longest text kept of a source's loss, bytes; beyond it is cut.
const REASON_BYTES_MAX: usize = 500;

/// What became of a source last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkNote {
    /// It came back; else it was lost.
    pub up: bool,
    /// When.
    pub since: BootTime,
    /// In words: what happened and what to do.
    pub reason: String,
}

/// Where the local page is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// The configured address.
    pub listen: SocketAddr,
    /// Why it is not served there at the moment, in words.
    pub fault: Option<String>,
}

/// What was seen last.
#[derive(Debug, Default)]
pub struct Board {
    is_on: AtomicBool,
    /// The local page is on.
    page: AtomicBool,
    /// Terminals that look.
    onlookers: AtomicU32,
    sensors: Mutex<Sensors>,
    refused: Mutex<Refused>,
    told: Mutex<Told>,
    links: Mutex<BTreeMap<Arc<str>, LinkNote>>,
    serving: Mutex<Option<Serving>>,
    /// Whether the gateway makes progress.
    pub health: Health,
}

impl Board {
    /// The page is switched on or off. While it is on things are kept; what was kept is forgotten when nobody looks any
    /// more.
    pub fn switch(&self, page: bool) {
        self.page.store(page, Ordering::Relaxed);
        self.update();
    }

    /// Somebody in a terminal begins or ends to look; see [`Board::switch`].
    pub fn onlooker(&self, comes: bool) {
        match comes {
            true => self.onlookers.fetch_add(1, Ordering::Relaxed),
            false => self.onlookers.fetch_sub(1, Ordering::Relaxed),
        };
        self.update();
    }

    fn update(&self) {
        let on = self.page.load(Ordering::Relaxed) || self.onlookers.load(Ordering::Relaxed) > 0;
        if self.is_on.swap(on, Ordering::Relaxed) && !on {
            *lock(&self.sensors) = Sensors::default();
            *lock(&self.refused) = Refused::default();
            *lock(&self.told) = Told::default();
        }
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Says where the page is served; `None` when nowhere.
    pub fn note_serving(&self, serving: Option<Serving>) {
        *lock(&self.serving) = serving;
    }

    /// Where the page is served.
    pub fn serving(&self) -> Option<Serving> {
        lock(&self.serving).clone()
    }

    /// The sensors, to note something; `None` when nothing is kept.
    pub fn note_sensors(&self) -> Option<MutexGuard<'_, Sensors>> {
        self.is_on().then(|| lock(&self.sensors))
    }

    /// The refused input, to note something; `None` when nothing is kept.
    pub fn note_refused(&self) -> Option<MutexGuard<'_, Refused>> {
        self.is_on().then(|| lock(&self.refused))
    }

    /// The events, to note something; `None` when nothing is kept.
    pub fn note_told(&self) -> Option<MutexGuard<'_, Told>> {
        self.is_on().then(|| lock(&self.told))
    }

    /// A source was lost or came back. Kept always: there are few, and it happens seldom.
    pub fn note_link(&self, source: &Arc<str>, up: bool, reason: &str, since: BootTime) {
        let reason = cut(reason, REASON_BYTES_MAX).to_owned();
        lock(&self.links).insert(Arc::clone(source), LinkNote { up, since, reason });
    }

    /// The sensors.
    pub fn sensors(&self) -> MutexGuard<'_, Sensors> {
        lock(&self.sensors)
    }

    /// The refused input.
    pub fn refused(&self) -> MutexGuard<'_, Refused> {
        lock(&self.refused)
    }

    /// The events.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }

    /// What became of the sources; none for one that came up at once and stayed.
    pub fn links(&self) -> BTreeMap<Arc<str>, LinkNote> {
        lock(&self.links).clone()
    }
}

/// The longest part of a text from its start that has at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A panic elsewhere leaves what is shown as it was.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_while_it_is_off_and_all_is_forgotten_when_it_is_switched_off() {
        let board = Board::default();
        assert!(board.note_sensors().is_none() && board.note_refused().is_none() && board.note_told().is_none());
        board.switch(true);
        if let Some(mut refused) = board.note_refused() {
            refused.note("s", None, "empty", "nothing in it", &[], BootTime(1));
        }
        assert_eq!(board.refused().iter().count(), 1);
        board.switch(false);
        assert_eq!(board.refused().iter().count(), 0);
    }

    #[test]
    fn a_terminal_that_looks_keeps_it_on_and_the_last_one_to_leave_switches_it_off() {
        let board = Board::default();
        board.onlooker(true);
        board.onlooker(true);
        board.switch(true);
        board.switch(false);
        assert!(board.is_on(), "the page is off, two terminals look");
        board.onlooker(false);
        assert!(board.is_on());
        board.onlooker(false);
        assert!(!board.is_on());
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("°C", 1), "");
        assert_eq!(cut("°C", 2), "°");
        assert_eq!(cut("°C", 9), "°C");
    }
}
