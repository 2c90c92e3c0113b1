//! A gateway with nothing to read yet, as a fresh installation is.
//!
//! Owns what such a gateway says. It is not a fault: everything runs, and the first source that a reload or a restart
//! brings is read.

use std::path::Path;

use crate::config::model::Config;

/// What is to be done, in one line for `systemctl status`; `None` when there is something to read.
pub(super) fn advice(path: &Path, config: &Config) -> Option<String> {
    config.sources.is_empty().then(|| {
        format!("idle, no sensor is read yet: put a [[source]] into {}, then `sudo tidegate reload`", path.display())
    })
}

/// Says it in the log, once for every configuration that is taken.
pub(super) fn tell(path: &Path, config: &Config) {
    if let Some(advice) = advice(path, config) {
        tracing::warn!("{advice}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn advice_for(text: &str) -> Option<String> {
        let loaded = crate::config::load_text(Path::new("t.toml"), text, &|_| None).unwrap();
        advice(Path::new("/etc/tidegate/tidegate.toml"), &loaded.config)
    }

    #[test]
    fn only_a_gateway_without_sources_is_idle_and_it_names_the_file() {
        let shipped = include_str!("../../config/tidegate.toml");
        assert!(advice_for(shipped).unwrap().contains("/etc/tidegate/tidegate.toml"));
        let busy = "[[source]]\nname = \"boiler\"\ntype = \"serial\"\nport = \"/dev/ttyS0\"\nbaud = 9600\n\
                    decode = { format = \"key-value\" }\n";
        assert_eq!(advice_for(busy), None);
    }
}
