//! SIGHUP: from the running configuration to a changed one.
//!
//! Owns what may change while the gateway runs, and the order in which it does. Never waits for the data path: a store
//! that takes nothing keeps the engine waiting, and the word to stop must be heard all the same.

use super::pipeline::Rules;
use super::{App, idle, load, warn_each};
use crate::config::model::Config;

impl App {
    /// Takes a changed configuration, or keeps the old one and says why.
    pub(super) async fn reload(&mut self) {
        self.service.reloading();
        match self.take_new_configuration() {
            Ok(()) => {
                self.page.follow(&self.config.http).await;
                let (sources, alarms) = (self.config.sources.len(), self.config.alarms.len());
                tracing::info!(sources, alarms, "configuration reloaded");
                idle::tell(&self.path, &self.config);
            }
            Err(report) => {
                tracing::error!("configuration not reloaded, the old one stays in force:\n{report}");
            }
        }
        self.show();
        self.service.ready();
    }

    fn take_new_configuration(&mut self) -> Result<(), String> {
        let loaded = load(&self.path).map_err(|failure| failure.to_string())?;
        let new = loaded.config.clone();
        if new.gateway.id != self.config.gateway.id {
            return Err(needs_restart("gateway.id", &self.config.gateway.id, &new.gateway.id));
        }
        if new.store.path != self.config.store.path {
            let (old, new) = (self.config.store.path.display(), new.store.path.display());
            return Err(needs_restart("store.path", old, new));
        }
        if new.gateway.control_socket != self.config.gateway.control_socket {
            let shown = |config: &Config| match &config.gateway.control_socket {
                Some(path) => path.display().to_string(),
                None => "off".to_owned(),
            };
            return Err(needs_restart("gateway.control_socket", shown(&self.config), shown(&new)));
        }
        if new.gateway.log_format != self.config.gateway.log_format {
            let shown = |config: &Config| config.gateway.log_format.as_str();
            return Err(needs_restart("gateway.log_format", shown(&self.config), shown(&new)));
        }
        warn_each(&loaded);
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
        Ok(())
    }
}

fn needs_restart(key: &str, old: impl std::fmt::Display, new: impl std::fmt::Display) -> String {
    format!(
        "error: `{key}` changes from `{old}` to `{new}`, which needs a restart\n  = help: systemctl restart tidegate"
    )
}
