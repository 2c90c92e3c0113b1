//! What was probably meant: by other words for a key (from manuals and other programs), else by likeness.

use super::keys::{Key, KeyTable};
use super::text::FOUND_CHARS_MAX;
use super::tree::{Context, Data, Entry};

/// Longest word compared for likeness, bytes; comparing is quadratic.
const COMPARED_BYTES_MAX: usize = 128;

/// Reports a key that no table of this kind has; returns the one that was probably meant.
pub fn unknown_key(
    ctx: &mut Context<'_>,
    table: &'static KeyTable,
    variant: Option<&str>,
    entry: &Entry,
) -> Option<&'static str> {
    let is_table = match &entry.value.data {
        Data::Table(_) => true,
        Data::List(items) => items.iter().any(|item| matches!(item.data, Data::Table(_))),
        _ => false,
    };
    let what = if is_table { "table" } else { "key" };
    let belongs = |key: &&Key| key.only.is_empty() || variant.is_none_or(|variant| key.only.contains(&variant));
    let near =
        suggestion(table.keys.iter().filter(belongs), &entry.name).or_else(|| suggestion(table.keys, &entry.name));
    let all: Vec<&str> = table.keys.iter().filter(belongs).map(|key| key.name).collect();
    let problem = ctx.error(entry.key, format!("unknown {what} `{}`", printable_name(&entry.name)));
    match near {
        Some(key) => problem.label(format!("did you mean `{}`?", key.name)),
        None => problem.label(format!("not a {what} of {}", table.noun)),
    };
    match near {
        Some(key) if key.name == "password_file" => {
            problem.help("no password stands in the configuration: put it into a file of its own and name that file");
        }
        _ => {
            problem.help(format!("{} takes {}", table.noun, one_of(&all, "`").replace(" or ", " and ")));
        }
    }
    near.map(|key| key.name)
}

fn printable_name(name: &str) -> String {
    name.chars().take(FOUND_CHARS_MAX).collect()
}

/// The key that was probably meant: by another word for it, else by likeness.
pub fn suggestion(keys: impl IntoIterator<Item = &'static Key>, found: &str) -> Option<&'static Key> {
    let keys: Vec<&'static Key> = keys.into_iter().collect();
    if found.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let found = found.to_ascii_lowercase().replace('-', "_");
    let same = |key: &&Key| key.name == found || key.near.contains(&found.as_str());
    keys.iter().copied().find(same).or_else(|| {
        let words = keys
            .iter()
            .copied()
            .flat_map(|key| std::iter::once(&key.name).chain(key.near).map(move |word| (key, *word)));
        let scored = words.map(|(key, word)| (strsim::osa_distance(&found, word), key.name != word, key, word));
        // Another word for a key must be hit almost exactly; there are many of them and they are short.
        let best = scored.filter(|(distance, alias, _, word)| {
            close(*distance, found.len(), word.len()) && (!*alias || (*distance <= 1 && word.len() >= 5))
        });
        best.min_by_key(|(distance, alias, _, _)| (*distance, *alias)).map(|(_, _, key, _)| key)
    })
}

/// The word that was probably meant.
pub fn nearest<'w>(found: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if found.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let words = words.filter(|word| word.len() <= COMPARED_BYTES_MAX);
    let scored = words.map(|word| (strsim::osa_distance(found, word), word));
    scored.filter(|(distance, word)| close(*distance, found.len(), word.len())).min().map(|(_, word)| word)
}

fn close(distance: usize, found: usize, word: usize) -> bool {
    distance <= found.min(word).div_ceil(3).min(3) && distance < found.min(word)
}

/// "`a`, `b` or `c`".
pub fn one_of(words: &[&str], quote: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{quote}{word}{quote}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}
