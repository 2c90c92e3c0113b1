//! Logging: where lines go and how much is said.
//!
//! Owns the global subscriber. Under systemd lines go to the journal with their fields (`journal`); on a terminal they
//! are for people; JSON is a choice. What is said can be changed while the program runs (`levels`), for a while or for
//! good, without a restart.

mod journal;
mod levels;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::model::{LogFormat, LogLevel};
use journal::Journal;
pub use levels::{Change, Levels};

/// Where journald takes messages with fields (systemd.io, "Native Journal Protocol").
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// Changes how much is logged while the program runs. Clones share.
#[derive(Clone, Debug)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    filter: reload::Handle<Targets, Registry>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    levels: Levels,
    /// Grows with every change by an operator: a change's end must not undo a later one.
    turn: u64,
}

impl Control {
    /// The configured level is now this.
    pub fn set_level(&self, level: LogLevel) {
        let mut state = self.state();
        state.levels.configured = level;
        self.apply(&state.levels);
    }

    /// What is said at the moment.
    pub fn levels(&self) -> Levels {
        self.state().levels.clone()
    }

    /// Makes an operator's change; returns which one it was, for [`Control::end`].
    pub fn change(&self, change: &Change) -> u64 {
        let mut state = self.state();
        state.levels.change(change);
        state.turn += 1;
        self.apply(&state.levels);
        state.turn
    }

    /// The time of a change is over: back to the configuration, unless something else was asked for since. True when it
    /// was this change that ended.
    pub fn end(&self, turn: u64) -> bool {
        let mut state = self.state();
        if state.turn != turn {
            return false;
        }
        state.levels.change(&Change::Configured);
        self.apply(&state.levels);
        true
    }

    fn apply(&self, levels: &Levels) {
        // The subscriber lives as long as the process, so the handle cannot have lost it.
        let _ = self.0.filter.reload(levels.filter());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a change after its time, on the runtime that calls it.
pub fn end_after(control: Control, turn: u64, time: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        if control.end(turn) {
            tracing::info!("the log level is as configured again");
        }
    });
}

/// Installs the subscriber. Called once; a second call changes nothing but still returns a working handle.
pub fn init(level: LogLevel, format: LogFormat) -> Control {
    let levels = Levels::new(level);
    let (filter, handle) = reload::Layer::new(levels.filter());
    let _ = tracing_subscriber::registry().with(filter).with(output(format)).try_init();
    Control(Arc::new(Inner { filter: handle, state: Mutex::new(State { levels, turn: 0 }) }))
}

/// The way out, over any subscriber.
type Output<S> = Box<dyn Layer<S> + Send + Sync>;

fn output<S>(format: LogFormat) -> Output<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let stderr = std::io::stderr;
    let is_journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), &stderr());
    match format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(stderr).boxed(),
        LogFormat::Auto if is_journal => match Journal::open(Path::new(JOURNAL_SOCKET)) {
            Ok(journal) => journal.boxed(),
            // The stream takes lines all the same, and adds their time.
            Err(_) => fmt::layer().with_writer(stderr).with_ansi(false).with_target(false).without_time().boxed(),
        },
        LogFormat::Auto | LogFormat::Text => {
            let layer = fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).with_target(false);
            if is_journal { layer.without_time().boxed() } else { layer.boxed() }
        }
    }
}

/// Whether a stream is the journal: systemd says in `JOURNAL_STREAM` which device and inode that is. A program that
/// writes elsewhere may have inherited the variable.
fn is_journal(said: Option<&str>, stream: &impl std::os::fd::AsFd) -> bool {
    let Some((device, inode)) = said.and_then(|said| said.split_once(':')) else { return false };
    let (Ok(device), Ok(inode)) = (device.parse::<u64>(), inode.parse::<u64>()) else { return false };
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "narrower on 32-bit machines")]
    rustix::fs::fstat(stream).is_ok_and(|stat| (stat.st_dev as u64, stat.st_ino as u64) == (device, inode))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_stream_is_the_journal_only_when_device_and_inode_are_those_that_systemd_names() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let (device, inode) = (metadata.dev(), metadata.ino());
        assert!(is_journal(Some(&format!("{device}:{inode}")), &file));
        for other in [format!("{device}:{}", inode + 1), format!("{}:{inode}", device + 1)] {
            assert!(!is_journal(Some(&other), &file), "{other}");
        }
        for nonsense in ["", ":", "1", "a:b"] {
            assert!(!is_journal(Some(nonsense), &file), "{nonsense}");
        }
        assert!(!is_journal(None, &file));
    }

    #[test]
    fn the_end_of_a_change_does_not_undo_a_later_one() {
        let (_filter, handle) = reload::Layer::<Targets, Registry>::new(Targets::new());
        let levels = Levels::new(LogLevel::Info);
        let control = Control(Arc::new(Inner { filter: handle, state: Mutex::new(State { levels, turn: 0 }) }));
        let first = control.change(&"debug".parse().unwrap());
        let second = control.change(&"forward=trace".parse().unwrap());
        assert!(!control.end(first));
        assert_eq!(control.levels().level, Some(LogLevel::Debug));
        assert!(control.end(second));
        assert_eq!(control.levels(), Levels::new(LogLevel::Info));
    }
}
