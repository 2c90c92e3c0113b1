//! Which entities may be at the broker, over restarts.
//!
//! Owns the file `<store.path>/home-assistant`: a line for each, the alarm's name, a blank, the sensor's name. A file that
//! is missing or cannot be read costs only the removal of what an earlier configuration had.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::ENTITIES_MAX;
use super::entity::Key;

/// Longest file read, bytes: all entities with names of a usual length, several times over.
const BYTES_MAX: u64 = 1024 * 1024;

/// Where the file is.
pub(super) struct Memory(PathBuf);

impl Memory {
    pub(super) fn new(store_path: &Path) -> Self {
        Self(store_path.join("home-assistant"))
    }

    pub(super) async fn load(&self) -> BTreeSet<Key> {
        let path = self.0.clone();
        let read = move || {
            let is_small = std::fs::metadata(&path).is_ok_and(|found| found.len() <= BYTES_MAX);
            if is_small { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() }
        };
        parse(&tokio::task::spawn_blocking(read).await.unwrap_or_default())
    }

    /// Replaces the file. What cannot be written is only forgotten at the next start.
    pub(super) async fn save(&self, known: &BTreeSet<Key>) {
        let (path, text) = (self.0.clone(), written(known));
        let write = move || {
            let new = path.with_extension("new");
            std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path))
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            tracing::debug!(%error, "Home Assistant: the list of entities cannot be written");
        }
    }
}

fn parse(text: &str) -> BTreeSet<Key> {
    let keys = text.lines().filter_map(|line| line.split_once(' '));
    keys.take(2 * ENTITIES_MAX).map(|(alarm, sensor)| Key { alarm: alarm.into(), sensor: sensor.into() }).collect()
}

fn written(known: &BTreeSet<Key>) -> String {
    let lines = known.iter().take(2 * ENTITIES_MAX);
    lines.map(|key| format!("{} {}\n", key.alarm, key.sensor)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_reads_back_and_rubbish_is_passed_over() {
        let key = |alarm: &str, sensor: &str| Key { alarm: alarm.into(), sensor: sensor.into() };
        let known = BTreeSet::from([key("too-warm", "zigbee/cold store/temperature"), key("silent", "a/b/c")]);
        assert_eq!(parse(&written(&known)), known);
        assert!(parse("one-word\n\n").is_empty());
    }
}
