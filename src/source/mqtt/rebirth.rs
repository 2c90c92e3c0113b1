//! When Sparkplug nodes are asked for their birth.
//!
//! Owns the waiting and the limits; pure, time comes in. A node is asked [`REORDER_WAIT`] after its birth was found
//! missing, unless it has come by then (the specification's reorder timeout), at most once in [`AGAIN`].0, and less and
//! less often as long as nothing comes of it, up to [`AGAIN`].1. Any two requests are [`SPACING`] apart: a whole plant of
//! nodes does not send all its births at once.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::decode::Birth;

/// How long messages that were overtaken are waited for.
const REORDER_WAIT: Duration = Duration::from_secs(2);

/// Shortest and longest time from one request to the next, for one node.
const AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));

/// Between requests to different nodes.
const SPACING: Duration = Duration::from_millis(200);

/// Nodes kept in mind. A source has seldom more than a hundred; what is beyond asks when others are settled.
const NODES_MAX: usize = 4_096;

#[derive(Debug)]
struct Node {
    due: Option<Instant>,
    /// Not before.
    next: Option<Instant>,
    /// From the next request to the one after it.
    wait: Duration,
}

/// Nodes that are, or were, to be asked.
#[derive(Debug, Default)]
pub(super) struct Rebirths {
    nodes: HashMap<Box<str>, Node>,
    last: Option<Instant>,
}

impl Rebirths {
    /// Takes in what a message told.
    pub(super) fn note(&mut self, birth: Birth, now: Instant) {
        match birth {
            Birth::Missing(name) => {
                if self.nodes.len() >= NODES_MAX && !self.nodes.contains_key(&name) {
                    self.nodes.retain(|_, node| node.due.is_some() || node.next.is_some_and(|next| next > now));
                    if self.nodes.len() >= NODES_MAX {
                        return;
                    }
                }
                let node = self.nodes.entry(name).or_insert(Node { due: None, next: None, wait: AGAIN.0 });
                let soon = now + REORDER_WAIT;
                node.due.get_or_insert(node.next.map_or(soon, |next| next.max(soon)));
            }
            Birth::Settled(name) => {
                if let Some(node) = self.nodes.get_mut(&name) {
                    node.due = None;
                    node.wait = AGAIN.0;
                }
            }
        }
    }

    /// When [`Rebirths::take`] has something to give.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.nodes.values().filter_map(|node| node.due).min()?;
        Some(self.last.map_or(due, |last| due.max(last + SPACING)))
    }

    /// A node that is to be asked now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Box<str>> {
        if self.next_due()? > now {
            return None;
        }
        let (name, node) =
            self.nodes.iter_mut().filter(|(_, node)| node.due.is_some()).min_by_key(|(_, node)| node.due)?;
        node.due = None;
        node.next = Some(now + node.wait);
        node.wait = (node.wait * 2).min(AGAIN.1);
        self.last = Some(now);
        Some(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(name: &str) -> Birth {
        Birth::Missing(name.into())
    }

    #[test]
    fn a_node_is_asked_after_the_wait_and_again_ever_more_seldom() {
        let start = Instant::now();
        let mut rebirths = Rebirths::default();
        let mut asked = Vec::new();
        for second in 0..=1_000 {
            let now = start + Duration::from_secs(second);
            rebirths.note(missing("g/n"), now);
            if rebirths.take(now).is_some() {
                asked.push(second);
            }
        }
        assert_eq!(asked, [2, 62, 182, 422, 902]);
    }

    #[test]
    fn a_birth_in_time_or_a_late_message_makes_the_request_needless_and_the_next_one_usual() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut rebirths = Rebirths::default();
        rebirths.note(missing("g/n"), at(0));
        rebirths.note(Birth::Settled("g/n".into()), at(1));
        assert_eq!((rebirths.next_due(), rebirths.take(at(5))), (None, None));
        rebirths.note(missing("g/n"), at(10));
        assert_eq!(rebirths.take(at(12)).as_deref(), Some("g/n"));
        rebirths.note(Birth::Settled("g/n".into()), at(13));
        rebirths.note(missing("g/n"), at(14));
        assert_eq!(rebirths.next_due(), Some(at(72)), "once a minute at most");
    }

    #[test]
    fn nodes_are_asked_one_after_the_other() {
        let start = Instant::now();
        let mut rebirths = Rebirths::default();
        for node in 0..3 {
            rebirths.note(missing(&format!("g/{node}")), start);
        }
        let now = start + REORDER_WAIT;
        assert!(rebirths.take(now).is_some());
        assert_eq!(rebirths.take(now), None);
        assert!(rebirths.take(now + SPACING).is_some());
        assert_eq!(rebirths.next_due(), Some(now + 2 * SPACING));
    }

    #[test]
    fn nodes_beyond_the_bound_are_passed_over() {
        let start = Instant::now();
        let mut rebirths = Rebirths::default();
        for node in 0..NODES_MAX + 10 {
            rebirths.note(missing(&format!("g/{node}")), start);
        }
        assert_eq!(rebirths.nodes.len(), NODES_MAX);
    }
}
