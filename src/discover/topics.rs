//! What the topics of messages that look alike have in common: the filter of the source, and where the device's name is.

use std::collections::BTreeSet;

use super::guess::Kind;
use super::{Group, plain};

/// Topics of a source named in the proposal.
const TOPICS_TOLD_MAX: usize = 5;

/// What the topics of a group have in common.
pub(super) struct Topics {
    pub(super) filter: String,
    pub(super) device: Option<String>,
    pub(super) last: String,
}

pub(super) fn topics(group: &Group<'_>) -> Option<Topics> {
    let topics: BTreeSet<&str> = group.messages.iter().filter_map(|heard| heard.topic.as_deref()).collect();
    let split: Vec<Vec<&str>> = topics.iter().map(|topic| topic.split('/').collect()).collect();
    let first = split.first()?;
    let varies = |level: usize| split.iter().any(|levels| levels[level] != first[level]);
    let wild: Vec<usize> = (0..first.len()).filter(|level| varies(*level)).collect();
    let filter: Vec<&str> =
        (0..first.len()).map(|level| if wild.contains(&level) { "+" } else { first[level] }).collect();
    let last = first.last().copied().unwrap_or_default();
    // A bare number's last level is its quantity; what names the device stands before.
    let end = if group.kind == Kind::Number { first.len() - 1 } else { first.len() };
    let named: Vec<usize> = match wild.iter().copied().filter(|level| *level < end).collect::<Vec<_>>() {
        none if none.is_empty() => end.checked_sub(1).into_iter().collect(),
        wild => wild,
    };
    let device: Vec<String> = named.iter().map(|level| format!("{{topic[{level}]}}")).collect();
    let device = (!device.is_empty()).then(|| device.join("/"));
    Some(Topics { filter: filter.join("/"), device, last: plain(last) })
}

pub(super) fn of(group: &Group<'_>) -> String {
    let topics: BTreeSet<&str> = group.messages.iter().filter_map(|heard| heard.topic.as_deref()).collect();
    if topics.is_empty() { "(lines)".to_owned() } else { format!("on {}", some(&topics)) }
}

pub(super) fn some(topics: &BTreeSet<&str>) -> String {
    let shown: Vec<String> =
        topics.iter().take(TOPICS_TOLD_MAX).map(|topic| topic.escape_debug().to_string()).collect();
    match topics.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// How many levels the device's part of a sensor's name has.
pub(super) fn levels(topics: Option<&Topics>) -> usize {
    topics.and_then(|topics| topics.device.as_ref()).map_or(0, |device| device.split('/').count())
}
