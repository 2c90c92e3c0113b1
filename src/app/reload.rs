//! SIGHUP and `tidegate reload`: from the running configuration to a changed one.
//!
//! Owns what may change while the gateway runs, and the order in which it does. Never waits for the data path: a store
//! that takes nothing keeps the engine waiting, and the word to stop must be heard all the same.

use super::pipeline::Rules;
use super::{App, doubts, idle, load, tell_doubts, tell_refused};
use crate::config::Loaded;
use crate::config::model::Config;
use crate::ops::reload::{Changes, Fixed, Found, Outcome};

impl App {
    /// Takes a changed configuration, or keeps the old one and says why.
    pub(super) async fn reload(&mut self) -> Outcome {
        self.service.reloading();
        let outcome = match load(&self.path) {
            Err(report) => Outcome::Refused(Found::from(&report)),
            Ok(loaded) => match needs_restart(&self.config, &loaded.config) {
                keys if keys.is_empty() => self.take(loaded).await,
                keys => Outcome::RestartNeeded { keys },
            },
        };
        match &outcome {
            Outcome::Reloaded { changes, .. } => {
                let (sources, alarms) = (changes.sources.total, changes.alarms.total);
                tracing::info!(sources, alarms, "configuration reloaded: {changes}");
                idle::tell(&self.path, &self.config);
            }
            Outcome::Refused(_) | Outcome::RestartNeeded { .. } => tell_refused(&outcome),
        }
        self.show();
        self.service.ready();
        outcome
    }

    async fn take(&mut self, loaded: Loaded) -> Outcome {
        let doubts = doubts(&loaded);
        tell_doubts(&doubts);
        let new = loaded.config;
        let changes = Changes::between(&self.config, &new);
        self.log.set_level(new.gateway.log_level);
        if new.alarms != self.config.alarms || new.gateway.time_zone != self.config.gateway.time_zone {
            self.rules.send_replace(Rules { alarms: new.alarms.clone(), time_zone: new.gateway.zone() });
        }
        if new.store != self.config.store {
            let _ = self.store.configure(new.store.clone());
        }
        self.recorder.follow(new.record.as_ref());
        self.sources.follow(&new.sources);
        self.watcher.follow(&new);
        self.aside.follow(&new);
        self.forwarder.follow(new.upstream.as_ref(), &new.gateway.id);
        self.config = new;
        self.page.follow(&self.config.http).await;
        let note = idle::advice(&self.path, &self.config);
        Outcome::Reloaded { changes, note, found: Found::from(&doubts) }
    }
}

/// A key's name, and how its value is shown.
pub(super) type Key = (&'static str, fn(&Config) -> String);

/// What differs and cannot change while the gateway runs.
fn needs_restart(old: &Config, new: &Config) -> Vec<Fixed> {
    let keys: [Key; 4] = [
        ("gateway.id", |config| config.gateway.id.to_string()),
        ("store.path", |config| config.store.path.display().to_string()),
        ("gateway.control_socket", |config| {
            let socket = config.gateway.control_socket.as_ref();
            socket.map_or_else(|| "off".to_owned(), |path| path.display().to_string())
        }),
        LOG_FORMAT,
    ];
    keys.into_iter().filter_map(|key| fixed(key, old, new)).collect()
}

/// What the process is started with whatever it waits for.
pub(super) const LOG_FORMAT: Key = ("gateway.log_format", |config| config.gateway.log_format.as_str().to_owned());

/// That a key differs, if it does.
pub(super) fn fixed((key, shown): Key, old: &Config, new: &Config) -> Option<Fixed> {
    let (from, to) = (shown(old), shown(new));
    (from != to).then(|| Fixed { key: key.to_owned(), from, to })
}
