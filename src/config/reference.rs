//! The reference page, from the same key lists that the loader goes by.

use std::fmt::Write as _;

use super::keys::{Default, TABLES};

/// All tables and keys as Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration reference\n\n\
         One TOML file, `/etc/tidegate/tidegate.toml`, and `conf.d/*.toml` beside it, in the order of their names. \
         Sources and alarms of all files add up; a key of `[gateway]`, `[store]`, `[upstream]`, `[http]` or `[home_assistant]` is set in one place only.\n\n\
         `tidegate check` tells everything that is wrong, with line and remedy, without starting anything.\n\n\
         - Durations and sizes are texts with a unit: \
         \"500ms\", \"30s\", \"5m\", \"1h 30m\"; \"512B\", \"16kB\", \"64MiB\".\n\
         - In any text, `${VAR}` is an environment variable, `${VAR:-default}` has a default, \
         `${VAR:?message}` says what to do when it is not set, and `$$` is a dollar.\n\
         - Secrets stand in files of their own, readable by the gateway only; under systemd, \
         `\"${CREDENTIALS_DIRECTORY}/client.key\"`.\n",
    );
    for table in TABLES {
        let title = format!("`{}`", table.title);
        let _ = write!(
            out,
            "\n## {title}\n\n{}\n\n| key | takes | default | meaning |\n|---|---|---|---|\n",
            table.meaning
        );
        for key in table.keys {
            let default = match key.default {
                Default::Required => "**required**".to_owned(),
                Default::Words("") => "(a condition)".to_owned(),
                Default::Words(words) => words.to_owned(),
                Default::Toml(toml) => format!("`{toml}`"),
            };
            let only = match key.only {
                [] => String::new(),
                only => {
                    let words: Vec<String> = only.iter().map(|word| format!("\"{word}\"")).collect();
                    format!(" Only with {} = {}.", table.selector, words.join(", "))
                }
            };
            let cell = |text: &str| text.replace('|', "\\|");
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {}{} |",
                key.name,
                cell(key.takes),
                cell(&default),
                cell(key.meaning),
                only
            );
        }
    }
    out
}
