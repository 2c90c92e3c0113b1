//! Topic aliases of one connection (MQTT 5, 3.3.2.3.4): a topic that comes again is sent as a number.
//!
//! Owns which topic has which number. Pure. A small table in which the topic that was used longest ago gives way: the
//! sensors that speak most are few, and a search through a few names costs less than a map.

/// Most aliases used, whatever the broker offers.
const ALIASES_MAX: u16 = 32;

/// How a topic is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The number.
    pub number: u16,
    /// Whether the broker knows it already; else the topic goes along.
    pub known: bool,
}

#[derive(Debug)]
struct Entry {
    topic: String,
    used: u64,
}

/// The table.
#[derive(Debug)]
pub struct Aliases {
    entries: Vec<Entry>,
    limit: u16,
    uses: u64,
}

impl Aliases {
    /// For a broker that takes numbers up to `maximum`; 0 is none.
    pub fn new(maximum: u16) -> Self {
        Self { entries: Vec::new(), limit: maximum.min(ALIASES_MAX), uses: 0 }
    }

    /// How this topic is sent; `None` where the broker takes no aliases. What is returned must be sent, in order.
    pub fn of(&mut self, topic: &str) -> Option<Alias> {
        if self.limit == 0 {
            return None;
        }
        self.uses += 1;
        if let Some(place) = self.entries.iter().position(|entry| entry.topic == topic) {
            self.entries[place].used = self.uses;
            return Some(Alias { number: number(place), known: true });
        }
        let place = if self.entries.len() < usize::from(self.limit) {
            self.entries.push(Entry { topic: topic.to_owned(), used: self.uses });
            self.entries.len() - 1
        } else {
            let oldest = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.used);
            let place = oldest.map_or(0, |(place, _)| place);
            let entry = &mut self.entries[place];
            entry.topic.clear();
            entry.topic.push_str(topic);
            entry.used = self.uses;
            place
        };
        Some(Alias { number: number(place), known: false })
    }
}

/// Aliases count from 1.
fn number(place: usize) -> u16 {
    u16::try_from(place + 1).unwrap_or(ALIASES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(aliases: &mut Aliases, topic: &str) -> Option<(u16, bool)> {
        aliases.of(topic).map(|alias| (alias.number, alias.known))
    }

    #[test]
    fn a_topic_that_comes_again_is_a_number() {
        let mut aliases = Aliases::new(10);
        assert_eq!(of(&mut aliases, "a"), Some((1, false)));
        assert_eq!(of(&mut aliases, "b"), Some((2, false)));
        assert_eq!(of(&mut aliases, "a"), Some((1, true)));
    }

    #[test]
    fn the_topic_used_longest_ago_gives_way_and_is_then_new() {
        let mut aliases = Aliases::new(2);
        for (topic, expected) in
            [("a", (1, false)), ("b", (2, false)), ("a", (1, true)), ("c", (2, false)), ("b", (1, false))]
        {
            assert_eq!(of(&mut aliases, topic), Some(expected), "{topic}");
        }
    }

    #[test]
    fn never_more_than_the_broker_takes_and_never_more_than_the_bound() {
        let mut aliases = Aliases::new(u16::MAX);
        for topic in 0..1_000 {
            let alias = aliases.of(&topic.to_string());
            assert!(alias.is_some_and(|alias| (1..=ALIASES_MAX).contains(&alias.number) && !alias.known));
        }
        assert_eq!(Aliases::new(0).of("a"), None);
    }
}
