//! Logging: where lines go and how much is said.
//!
//! Owns the global subscriber. Under systemd (stderr is the journal) lines carry no time and no colour, because the
//! journal adds the one and shows the other as garbage; on a terminal they are for people.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::model::LogLevel;

/// Changes how much is logged while the program runs.
#[derive(Clone, Debug)]
pub struct Control(reload::Handle<Targets, Registry>);

impl Control {
    /// From now on, log this much.
    pub fn set_level(&self, level: LogLevel) {
        // The subscriber lives as long as the process, so the handle cannot have lost it.
        let _ = self.0.reload(filter(level));
    }
}

/// Installs the subscriber. Called once; a second call changes nothing but still returns a working handle.
pub fn init(level: LogLevel) -> Control {
    let (filter, handle) = reload::Layer::new(filter(level));
    let stderr = std::io::stderr;
    let terminal = stderr().is_terminal();
    let layer = fmt::layer().with_writer(stderr).with_ansi(terminal).with_target(false);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !terminal;
    let layer = if journal { layer.without_time().boxed() } else { layer.boxed() };
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    Control(handle)
}

/// Our own lines at `level`; the libraries' only from warnings on, so that "debug" shows us and not them.
fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let others = LevelFilter::from_level(own.min(Level::WARN));
    // What sled meets it also returns; the store says it in our words, and once.
    Targets::new().with_default(others).with_target("sled", LevelFilter::OFF).with_target("tidegate", own)
}
