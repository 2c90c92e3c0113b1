//! What the demo says, line by line: time, who, what.
//!
//! Owns colours (only on a terminal, never with `NO_COLOR`) and how much is shown of what happens often. A reader that
//! went away (`tidegate demo | head`) is no error.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Colours by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// Of less interest.
    Dim,
    /// All is well.
    Good,
    /// Look here.
    Warn,
    /// Not well.
    Bad,
    /// A heading.
    Strong,
}

/// Standard output.
#[derive(Debug)]
pub struct Screen {
    start: Instant,
    colour: bool,
    /// When the last detail of each kind was shown.
    details: [Cell<Option<Instant>>; 2],
    detail_every: Duration,
}

/// What happens often and is shown now and then.
#[derive(Clone, Copy, Debug)]
pub enum Detail {
    /// A reading was sent.
    Reading,
    /// An event arrived.
    Event,
}

impl Screen {
    /// Time starts now; of each kind of detail one is shown in `detail_every`.
    pub fn new(detail_every: Duration) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Self { start: Instant::now(), colour, details: Default::default(), detail_every }
    }

    /// A line with the time and who it is about.
    pub fn say(&self, who: &str, tone: Tone, text: &str) {
        let time = format!("{:5.1} s", self.start.elapsed().as_secs_f64());
        self.line(&format!("{}  {who:<9} {}", self.paint(Tone::Dim, &time), self.paint(tone, text)));
    }

    /// A line with the time, unless one of its kind was shown a moment ago.
    pub fn detail(&self, kind: Detail, who: &str, text: impl FnOnce() -> String) {
        let last = &self.details[kind as usize];
        if last.get().is_none_or(|shown| shown.elapsed() >= self.detail_every) {
            last.set(Some(Instant::now()));
            self.say(who, Tone::Dim, &text());
        }
    }

    /// A line as it is.
    pub fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A row of the table at the end.
    pub fn row(&self, name: &str, value: &str, tone: Tone, note: &str) {
        let value = self.paint(tone, &format!("{value:>10}"));
        self.line(format!("  {name:<38}{value}   {}", self.paint(Tone::Dim, note)).trim_end());
    }

    /// `text` in the colour of `tone`.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "1;31",
            Tone::Strong => "1",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
