//! A reload that somebody asks for and waits for: the question, and what is said about its outcome.
//!
//! Owns the way from who asks to the app, and the comparison of two configurations. Never loads one and never decides what
//! may change while the gateway runs; see `app::reload`.

use std::fmt;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::config::model::{Config, Hook};
use crate::config::{Report, Told};

/// Who may wait for a reload at a time, beside who waits to be among them. They share one: the files are read after all
/// of them asked.
const ASKING_MAX: usize = 8;

/// Problems told one by one. More than this helps nobody, and a damaged file could have 100,000.
const PROBLEMS_MAX: usize = 100;

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The new configuration is in force.
    Reloaded {
        /// What it changed.
        changes: Changes,
        /// What else there is to know: there is nothing to read yet, or the store is still waited for.
        note: Option<String>,
        /// What is legal but probably not meant; errors are those of the files it names.
        #[serde(flatten)]
        found: Found,
    },
    /// The configuration is wrong, and the old one stays in force.
    Refused(Found),
    /// It is good, but changes what only a restart can; the old one stays in force, whole.
    RestartNeeded {
        /// Each such key.
        keys: Vec<Fixed>,
    },
}

/// A key that cannot change while the gateway runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// The key with its section.
    pub key: String,
    /// What is in force.
    pub from: String,
    /// What the files say.
    pub to: String,
}

/// What the loader found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many errors.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
    /// The first of them, for programs.
    pub problems: Vec<Told>,
    /// The report, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub report: String,
}

impl From<&Report> for Found {
    fn from(report: &Report) -> Self {
        Self {
            errors: report.error_count(),
            warnings: report.warning_count(),
            problems: report.told().take(PROBLEMS_MAX).collect(),
            report: report.to_string(),
        }
    }
}

/// What is different between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// `[[source]]`
    pub sources: Counts,
    /// `[[alarm]]`, what they run included.
    pub alarms: Counts,
    /// Names of the other sections that are different.
    pub sections: Vec<String>,
}

/// How many of a kind, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Now.
    pub total: usize,
    /// That were not there before.
    pub added: usize,
    /// That were there before and are not as they were.
    pub changed: usize,
    /// That are not there any more.
    pub removed: usize,
}

impl Counts {
    fn between<T>(old: &[T], new: &[T], name: impl Fn(&T) -> &str, is_same: impl Fn(&T, &T) -> bool) -> Self {
        let by_name: std::collections::HashMap<&str, &T> = old.iter().map(|one| (name(one), one)).collect();
        let mut counts = Self { total: new.len(), ..Self::default() };
        for one in new {
            match by_name.get(name(one)) {
                None => counts.added += 1,
                Some(before) if !is_same(before, one) => counts.changed += 1,
                Some(_) => {}
            }
        }
        counts.removed = old.len() - (new.len() - counts.added);
        counts
    }

    /// `5 alarms (1 changed, 1 removed)`
    fn words(&self, noun: &str) -> String {
        let kinds = [(self.added, "added"), (self.changed, "changed"), (self.removed, "removed")];
        let changed: Vec<String> =
            kinds.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        let plural = if self.total == 1 { "" } else { "s" };
        let changed = if changed.is_empty() { String::new() } else { format!(" ({})", changed.join(", ")) };
        format!("{} {noun}{plural}{changed}", self.total)
    }
}

impl Changes {
    /// From one to the other.
    pub fn between(old: &Config, new: &Config) -> Self {
        let hook = |config: &'_ Config, alarm: &str| -> Option<Hook> {
            config.hooks.iter().find(|hook| &*hook.alarm == alarm).cloned()
        };
        let sections = [
            ("gateway", old.gateway != new.gateway),
            ("store", old.store != new.store),
            ("upstream", old.upstream != new.upstream),
            ("http", old.http != new.http),
            ("record", old.record != new.record),
            ("home_assistant", old.home_assistant != new.home_assistant),
        ];
        Self {
            sources: Counts::between(&old.sources, &new.sources, |one| &one.name, PartialEq::eq),
            alarms: Counts::between(
                &old.alarms,
                &new.alarms,
                |one| &one.name,
                |before, now| before == now && hook(old, &before.name) == hook(new, &now.name),
            ),
            sections: sections.iter().filter(|(_, changed)| *changed).map(|(name, _)| (*name).to_owned()).collect(),
        }
    }
}

/// `3 sources (1 added), 5 alarms; changed: [upstream], [http]`
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.sources.words("source"), self.alarms.words("alarm"))?;
        if self.sections.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.sections.iter().map(|name| format!("[{name}]")).collect();
        write!(f, "; changed: {}", names.join(", "))
    }
}

/// What is said of it to people, in the log and in a terminal.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reloaded { changes, .. } => write!(f, "{changes}"),
            Self::Refused(found) => f.write_str(&found.report),
            Self::RestartNeeded { keys } => {
                for Fixed { key, from, to } in keys {
                    writeln!(f, "error: `{key}` changes from `{from}` to `{to}`, which needs a restart")?;
                }
                f.write_str("  = help: systemctl restart tidegate")
            }
        }
    }
}

/// Who waits for the outcome.
pub type Answer = oneshot::Sender<Outcome>;

/// Asks for a reload.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<Answer>);

/// Hears of it.
#[derive(Debug)]
pub struct Asked(mpsc::Receiver<Answer>);

/// Both ends.
pub fn channel() -> (Asker, Asked) {
    let (asker, asked) = mpsc::channel(ASKING_MAX);
    (Asker(asker), Asked(asked))
}

impl Asker {
    /// Has the app reload, and returns what came of it; `None` when the gateway stops before. Who asks while one runs gets
    /// the next, which reads the files anew.
    pub async fn ask(&self) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        outcome.await.ok()
    }
}

impl Asked {
    /// Returns when somebody asks, with all who ask by then; never when nobody can ask any more. Cancel-safe.
    pub async fn next(&mut self) -> Vec<Answer> {
        let mut asking = Vec::new();
        if self.0.recv_many(&mut asking, ASKING_MAX).await == 0 {
            std::future::pending::<()>().await;
        }
        asking
    }
}

/// Tells all who asked.
pub fn answer(asking: Vec<Answer>, outcome: &Outcome) {
    for answer in asking {
        // Who has given up waiting finds it in the log.
        let _ = answer.send(outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::path::Path;

    use super::*;

    const BOILER: &str = "[[source]]\nname = \"boiler\"\ntype = \"serial\"\nport = \"/dev/ttyS0\"\nbaud = 9600\n\
                          decode = { format = \"key-value\" }\n";
    const HOT: &str = "[[alarm]]\nname = \"hot\"\nsensors = [\"boiler/#\"]\nhigh = 8.0\nseverity = \"high\"\n";

    fn config(text: &str) -> Config {
        let text = format!("[gateway]\nid = \"gw1\"\n{text}");
        crate::config::load_text(Path::new("t.toml"), &text, &|_| None).unwrap().config
    }

    fn changes(old: &str, new: &str) -> String {
        Changes::between(&config(old), &config(new)).to_string()
    }

    #[test]
    fn what_changes_is_counted_by_name_and_named_by_section() {
        let both = format!("{BOILER}{HOT}");
        assert_eq!(changes(&both, &both), "1 source, 1 alarm");
        assert_eq!(changes("", &both), "1 source (1 added), 1 alarm (1 added)");
        assert_eq!(changes(&both, BOILER), "1 source, 0 alarms (1 removed)");
        assert_eq!(changes(&both, &both.replace("8.0", "9.0")), "1 source, 1 alarm (1 changed)");
        let renamed = both.replace("\"hot\"", "\"warm\"").replace("9600", "19200");
        assert_eq!(changes(&both, &renamed), "1 source (1 changed), 1 alarm (1 added, 1 removed)");
        let run = "on_event = { command = [\"/bin/true\"] }\n";
        assert_eq!(changes(&both, &format!("{both}{run}")), "1 source, 1 alarm (1 changed)");
        let more = "log_level = \"warn\"\n[store]\nretain_delivered = \"16MiB\"\n";
        assert_eq!(changes("", more), "0 sources, 0 alarms; changed: [gateway], [store]");
    }

    #[test]
    fn an_outcome_is_read_as_it_was_written() {
        let report = crate::config::load_text(Path::new("t.toml"), "[gateway]\nidd = 1\n", &|_| None).unwrap_err();
        let refused = Outcome::Refused(Found::from(&report));
        let fixed = |key: &str| Fixed { key: key.to_owned(), from: "a".to_owned(), to: "b".to_owned() };
        let restart = Outcome::RestartNeeded { keys: vec![fixed("gateway.id"), fixed("store.path")] };
        let reloaded =
            Outcome::Reloaded { changes: Changes::default(), note: Some("idle".to_owned()), found: Found::default() };
        for outcome in [&refused, &restart, &reloaded] {
            let text = serde_json::to_string(outcome).unwrap();
            assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), *outcome, "{text}");
        }
        let json = serde_json::to_value(&refused).unwrap();
        assert_eq!((&json["outcome"], &json["problems"][0]["line"]), (&"refused".into(), &2.into()), "{json}");
        let said = restart.to_string();
        assert!(said.contains("`gateway.id`") && said.contains("`store.path`") && said.contains("systemctl restart"));
    }

    #[tokio::test]
    async fn all_who_ask_by_then_share_one_reload_and_who_waits_in_a_stop_is_told() {
        let (asker, mut asked) = channel();
        let ask = || {
            let asker = asker.clone();
            tokio::spawn(async move { asker.ask().await })
        };
        let (first, second) = (ask(), ask());
        tokio::task::yield_now().await;
        let asking = asked.next().await;
        assert_eq!(asking.len(), 2);
        let outcome = Outcome::RestartNeeded { keys: Vec::new() };
        answer(asking, &outcome);
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Some(outcome.clone()), Some(outcome)));
        let (third, fourth) = (ask(), ask());
        tokio::task::yield_now().await;
        drop(asked);
        assert_eq!((third.await.unwrap(), fourth.await.unwrap()), (None, None));
    }
}
