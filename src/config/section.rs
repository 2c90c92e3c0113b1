//! A table being read: known keys, typed values, and a plain word about everything else.
//!
//! Owns "unknown", "twice" and "missing", and the readers of a key's value (text, number, duration, size, choice,
//! list). A reader that finds something wrong reports it and returns `None`, and reading goes on.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::keys::{Default, KeyTable};
use super::suggest::{nearest, one_of, unknown_key};
use super::text::{FOUND_CHARS_MAX, TEXT_BYTES_MAX, Text, number, text, unreadable, wrong_type};
use super::tree::{Context, Data, Entry, FileReference, Node, Role, Spot};
use super::units;

/// Longest command that is written out as a list, characters; a person's shell line is shorter.
const COMMAND_CHARS_MAX: usize = 200;

/// A table of one kind, from one or several places.
pub struct Section<'t> {
    /// Its keys.
    pub keys: &'static KeyTable,
    /// Where it starts, for what is missing.
    pub head: Spot,
    entries: BTreeMap<&'t str, &'t Entry>,
    /// Keys that unknown ones were taken for: what is "missing" is there, misspelt, and was already reported.
    meant: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// Takes the entries of a table (or of several that make one) and refuses unknown keys and keys set twice.
    pub fn new(ctx: &mut Context<'_>, keys: &'static KeyTable, head: Spot, parts: &[&'t [Entry]]) -> Self {
        let mut entries: BTreeMap<&'t str, &'t Entry> = BTreeMap::new();
        let mut meant = Vec::new();
        let all = || parts.iter().flat_map(|part| part.iter());
        let chosen = all().find(|entry| entry.name == keys.selector).and_then(|entry| match &entry.value.data {
            Data::Text(text) => Some(text.as_str()),
            _ => None,
        });
        for entry in all() {
            if keys.key(&entry.name).is_none() {
                meant.extend(unknown_key(ctx, keys, chosen, entry));
            } else if let Some(first) = entries.get(entry.name.as_str()) {
                let first = ctx.place(first.key);
                ctx.error(entry.key, format!("`{}` of {} is set twice", entry.name, keys.noun))
                    .label("the second time")
                    .note(first, "the first time")
                    .help("remove one of them; files in conf.d add to the main file, they do not override it");
            } else {
                entries.insert(&entry.name, entry);
            }
        }
        Self { keys, head, entries, meant }
    }

    /// The entry of a key, if it is there.
    pub fn entry(&self, name: &str) -> Option<&'t Entry> {
        debug_assert!(self.keys.key(name).is_some(), "`{name}` is not declared in keys.rs");
        self.entries.get(name).copied()
    }

    /// Whether the table has such a key at all.
    pub fn declares(&self, name: &str) -> bool {
        self.keys.key(name).is_some()
    }

    /// Whether a key is there, right or wrong.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Where a key's value is, or the table when it is left out.
    pub fn spot(&self, name: &str) -> Spot {
        self.entry(name).map_or(self.head, |entry| entry.value.spot)
    }

    /// Whether a key is truly left out: not there, not misspelt, and not in a part of the file that is no TOML.
    pub fn lacks(&self, ctx: &Context<'_>, name: &str) -> bool {
        !self.has(name) && !self.meant.contains(&name) && !ctx.is_damaged(self.head)
    }

    /// Reports a required key that is not there.
    pub fn require(&self, ctx: &mut Context<'_>, name: &'static str) {
        if !self.lacks(ctx, name) {
            return;
        }
        let takes = self.takes(name);
        ctx.error(self.head, format!("{} needs `{name}`", self.keys.noun))
            .label(format!("`{name}` is missing: {takes}"));
    }

    /// Reports every required key of the chosen variant that is missing, and every key that belongs to another one.
    pub fn check_variant(&self, ctx: &mut Context<'_>, variant: &str) {
        for key in self.keys.keys {
            let belongs = key.belongs(variant);
            // Where another key may stand in its place, the reader of the variant says that one of them is needed.
            let other = key.instead.and_then(|other| self.keys.key(other));
            if belongs && key.default == Default::Required && !other.is_some_and(|other| other.belongs(variant)) {
                self.require(ctx, key.name);
            }
            if let Some(entry) = self.entry(key.name)
                && !belongs
            {
                let selector = self.keys.selector;
                let owners: Vec<String> = key.only.iter().map(|only| format!("\"{only}\"")).collect();
                ctx.error(entry.key, format!("`{}` has no meaning with {selector} = \"{variant}\"", key.name))
                    .label(format!("only with {selector} = {}", owners.join(" or ")));
            }
        }
    }

    /// A text.
    pub fn text(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<Text> {
        self.entry(name).and_then(|entry| text(ctx, &entry.value, &quoted(name)))
    }

    /// A text that is not empty.
    pub fn filled_text(&self, ctx: &mut Context<'_>, name: &'static str, bytes_max: usize) -> Option<Text> {
        let text = self.text(ctx, name)?;
        if text.value.trim().is_empty() {
            ctx.error(text.spot, format!("`{name}` is empty")).label(self.expected(name));
            return None;
        }
        if text.value.len() > bytes_max {
            let found = format!("`{name}` is {} bytes long", text.value.len());
            ctx.error(text.spot, found).label(format!("at most {bytes_max}"));
            return None;
        }
        if text.value.chars().any(|c| c.is_control()) {
            ctx.error(text.spot, format!("`{name}` holds a control character (a tab or line end, perhaps)"));
            return None;
        }
        Some(text)
    }

    /// A name of letters, digits, `-` and `_`.
    pub fn name(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<Text> {
        let text = self.text(ctx, name)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.value.is_empty() || text.value.len() > super::NAME_BYTES_MAX || !text.value.chars().all(fits) {
            let found = match text.shown() {
                Some(shown) => format!("`{shown}` cannot be used as `{name}`"),
                None => format!("this cannot be used as `{name}`"),
            };
            ctx.error(text.spot, found)
                .label(format!("letters, digits, `-` and `_`, 1 to {} of them", super::NAME_BYTES_MAX));
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn boolean(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<bool> {
        let entry = self.entry(name)?;
        match &entry.value.data {
            Data::Bool(state) => Some(*state),
            Data::Text(text) if matches!(text.as_str(), "true" | "false") => {
                let help = format!("write {name} = {text}, without quotes");
                wrong_type(ctx, &entry.value, &quoted(name), "true or false").help(help);
                None
            }
            _ => {
                wrong_type(ctx, &entry.value, &quoted(name), "true or false");
                None
            }
        }
    }

    /// A whole number in bounds.
    pub fn integer<T: TryFrom<i64>>(
        &self,
        ctx: &mut Context<'_>,
        name: &'static str,
        bounds: RangeInclusive<i64>,
    ) -> Option<T> {
        let entry = self.entry(name)?;
        let expected = &*self.takes(name);
        match &entry.value.data {
            Data::Integer(Some(number)) if bounds.contains(number) => T::try_from(*number).ok(),
            Data::Integer(_) => {
                out_of_bounds(ctx, entry, expected);
                None
            }
            Data::Text(text) if text.trim().parse::<i64>().is_ok() => {
                let help = format!("write {name} = {}, without quotes", text.trim());
                wrong_type(ctx, &entry.value, &quoted(name), expected).help(help);
                None
            }
            _ => {
                wrong_type(ctx, &entry.value, &quoted(name), expected);
                None
            }
        }
    }

    /// A finite number.
    pub fn number(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<f64> {
        self.entry(name).and_then(|entry| number(ctx, &entry.value, &quoted(name)))
    }

    /// A duration in bounds.
    pub fn duration(
        &self,
        ctx: &mut Context<'_>,
        name: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let bare = |number: &dyn Display| {
            format!("write \"{number}s\" if seconds are meant, or \"{number}ms\", \"{number}m\"")
        };
        let (found, entry) = self.with_unit(ctx, name, "a duration such as \"30s\"", bare, units::duration)?;
        if bounds.contains(&found) {
            return Some(found);
        }
        self.beyond(ctx, entry, &units::show_duration(*bounds.start()), &units::show_duration(*bounds.end()));
        None
    }

    /// A size in bytes, in bounds.
    pub fn size(&self, ctx: &mut Context<'_>, name: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let bare = |number: &dyn Display| match number.to_string().parse::<u64>() {
            Ok(bytes) => format!("write \"{}\" if bytes are meant", units::show_size(bytes)),
            Err(_) => "write it as \"64MiB\"".to_owned(),
        };
        let (found, entry) = self.with_unit(ctx, name, "a size such as \"64MiB\"", bare, units::size)?;
        if bounds.contains(&found) {
            return Some(found);
        }
        self.beyond(ctx, entry, &units::show_size(*bounds.start()), &units::show_size(*bounds.end()));
        None
    }

    fn beyond(&self, ctx: &mut Context<'_>, entry: &Entry, low: &str, high: &str) {
        ctx.error(entry.value.spot, format!("`{}` is out of bounds", entry.name))
            .label(format!("expected {low} to {high}"));
    }

    fn with_unit<T>(
        &self,
        ctx: &mut Context<'_>,
        name: &'static str,
        expected: &str,
        bare: impl Fn(&dyn Display) -> String,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<(T, &'t Entry)> {
        let entry = self.entry(name)?;
        let number: &dyn Display = match &entry.value.data {
            Data::Text(_) => {
                let text = text(ctx, &entry.value, &quoted(name))?;
                return match read(&text.value) {
                    Ok(value) => Some((value, entry)),
                    Err(why) => {
                        unreadable(ctx, &text, name).label(why);
                        None
                    }
                };
            }
            Data::Integer(Some(number)) => number,
            Data::Number(Some(number)) => number,
            _ => {
                wrong_type(ctx, &entry.value, &quoted(name), expected);
                return None;
            }
        };
        let help = bare(number);
        ctx.error(entry.value.spot, format!("`{name}` has no unit")).label(format!("expected {expected}")).help(help);
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &self,
        ctx: &mut Context<'_>,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let entry = self.entry(name)?;
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let expected = one_of(&words, "\"");
        if !matches!(entry.value.data, Data::Text(_)) {
            wrong_type(ctx, &entry.value, &quoted(name), &expected);
            return None;
        }
        let text = text(ctx, &entry.value, &quoted(name))?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let near = nearest(&text.value.to_ascii_lowercase(), words.iter().copied());
        let problem = match text.shown() {
            Some(shown) => ctx.error(text.spot, format!("`{name}` cannot be \"{shown}\"")),
            None => ctx.error(text.spot, format!("`{name}` cannot be this")),
        };
        problem.label(match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("expected {expected}"),
        });
        if near.is_some() {
            problem.help(format!("expected {expected}"));
        }
        None
    }

    /// A list, at most so long.
    pub fn list(&self, ctx: &mut Context<'_>, name: &'static str, length_max: usize) -> Option<&'t [Node]> {
        let entry = self.entry(name)?;
        let Data::List(items) = &entry.value.data else {
            let chars_max = if name == "command" { COMMAND_CHARS_MAX } else { FOUND_CHARS_MAX };
            let raw: String = ctx.raw(entry.value.spot).chars().take(chars_max + 1).collect();
            let scalar = matches!(entry.value.data, Data::Text(_) | Data::Integer(_) | Data::Number(_) | Data::Bool(_));
            let items = if name == "command" { words_of(&raw) } else { raw.clone() };
            let problem = wrong_type(ctx, &entry.value, &quoted(name), &self.takes(name));
            if scalar && raw.chars().count() <= chars_max && !raw.contains('\n') {
                problem.help(format!("a list stands in brackets: {name} = [{items}]"));
            }
            return None;
        };
        if items.len() > length_max {
            ctx.error(entry.value.spot, format!("`{name}` holds {} entries", items.len()))
                .label(format!("at most {length_max}"));
            return None;
        }
        Some(items)
    }

    /// A list of texts.
    pub fn texts(&self, ctx: &mut Context<'_>, name: &'static str, length_max: usize) -> Option<Vec<Text>> {
        let items = self.list(ctx, name, length_max)?;
        Some(items.iter().filter_map(|item| text(ctx, item, &format!("an entry of `{name}`"))).collect())
    }

    /// Two numbers, the first below the second.
    pub fn range(&self, ctx: &mut Context<'_>, name: &'static str) -> Option<(f64, f64)> {
        let items = self.list(ctx, name, usize::MAX)?;
        let what = format!("an entry of `{name}`");
        let [low, high] = items else {
            let found = format!("`{name}` holds {} entries", items.len());
            ctx.error(self.spot(name), found).label("expected two numbers: [low, high]");
            return None;
        };
        let (low, high) = (number(ctx, low, &what), number(ctx, high, &what));
        let (low, high) = (low?, high?);
        if low >= high {
            ctx.error(self.spot(name), format!("`{name}` is empty: {low} is not below {high}"))
                .label("expected [low, high]");
            return None;
        }
        Some((low, high))
    }

    /// A file's path; remembered for the check that it is there and safe.
    pub fn file(&self, ctx: &mut Context<'_>, name: &'static str, role: Role) -> Option<PathBuf> {
        let text = self.filled_text(ctx, name, TEXT_BYTES_MAX)?;
        let pem = text.value.contains("-----BEGIN");
        if pem || (matches!(role, Role::Password | Role::Token) && !text.value.contains('/')) {
            ctx.error(text.spot, format!("`{name}` takes the path of a file, not what is in it"))
                .hide()
                .label("expected a path such as \"/etc/tidegate/client.key\"")
                .help("a file beside the program is written \"./name\"");
            return None;
        }
        let path = PathBuf::from(text.value);
        let directory = (ctx.env)("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty());
        let credential = directory.is_some_and(|directory| path.starts_with(directory));
        let place = ctx.place(text.spot);
        ctx.references.push(FileReference { path: path.clone(), role, place, credential });
        Some(path)
    }

    /// What a key should hold, for a label.
    pub fn expected(&self, name: &str) -> String {
        format!("expected {}", self.takes(name))
    }

    /// What a key should hold, with its article.
    fn takes(&self, name: &str) -> String {
        let takes = self.keys.key(name).map_or("value", |key| key.takes);
        let article = match takes {
            _ if takes.starts_with(['"', '[']) || takes.starts_with(|c: char| c.is_ascii_digit()) => "",
            _ if takes.starts_with("true") || takes.starts_with("one ") => "",
            _ if takes.starts_with(['a', 'I']) => "an ",
            _ => "a ",
        };
        format!("{article}{takes}")
    }
}

fn out_of_bounds(ctx: &mut Context<'_>, entry: &Entry, expected: &str) {
    ctx.error(entry.value.spot, format!("`{}` is out of bounds", entry.name)).label(format!("expected {expected}"));
}

/// A text as it stands in the file, quotes included, as the items of a list: no shell is there to split it. One with
/// quotes or escapes inside stays whole, as where to split it cannot be told.
fn words_of(raw: &str) -> String {
    let inside = ['"', '\''].into_iter().find_map(|quote| raw.strip_prefix(quote)?.strip_suffix(quote));
    match inside {
        Some(text) if !text.contains(['"', '\'', '\\']) => {
            text.split_whitespace().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
        }
        _ => raw.to_owned(),
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}
