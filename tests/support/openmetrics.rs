//! Reads the OpenMetrics text format, strictly: what a scraper may forgive is an error here.
//!
//! Owns the rules: every family has HELP and TYPE, once, before its samples; samples of a family stand together, have
//! the suffixes of its type and no labels twice; histograms add up; the text ends with `# EOF`. Also our own rule of
//! names: `tidegate_<noun>_<unit>[_total]`. Used by the library's tests and by those of the real binary.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::collections::{BTreeMap, BTreeSet};

/// What names may end with, `_total` and the like left out.
const UNITS: [&str; 18] = [
    "attempts",
    "bytes",
    "commits",
    "connections",
    "disconnections",
    "errors",
    "events",
    "failures",
    "files",
    "jumps",
    "messages",
    "ratio",
    "readings",
    "rejects",
    "retries",
    "seconds",
    "state",
    "syncs",
];

/// One family.
#[derive(Clone, Debug)]
pub struct Family {
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: String,
    /// In the order of the text.
    pub samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Clone, Debug)]
pub struct Sample {
    /// With its suffix.
    pub name: String,
    /// By name.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// A whole text.
#[derive(Clone, Debug)]
pub struct Exposition(pub BTreeMap<String, Family>);

impl Exposition {
    /// Reads a text.
    ///
    /// # Panics
    /// At whatever breaks a rule, with the line.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the text ends with # EOF");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let (mut helped, mut current) = (None::<String>, None::<String>);
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(help.ends_with('.') && !help.contains('\\'), "help is a sentence: {line}");
                assert!(helped.replace(name.to_owned()).is_none(), "two HELP lines in a row: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert_eq!(helped.take().as_deref(), Some(name), "TYPE follows HELP: {line}");
                assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
                check_name(name, kind);
                let family = Family { kind: kind.to_owned(), samples: Vec::new() };
                assert!(families.insert(name.to_owned(), family).is_none(), "a family is there twice: {line}");
                current = Some(name.to_owned());
            } else {
                assert!(helped.is_none(), "HELP without TYPE before: {line}");
                let name = current.as_ref().unwrap_or_else(|| panic!("a sample without a family: {line}"));
                let family = families.get_mut(name).expect("made with its TYPE");
                let sample = Sample::parse(line);
                let suffix = sample.name.strip_prefix(name.as_str()).unwrap_or_else(|| panic!("not of {name}: {line}"));
                let suffixes: &[&str] = match &*family.kind {
                    "counter" => &["_total"],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "info" => &["_info"],
                    _ => &[""],
                };
                assert!(suffixes.contains(&suffix), "suffix of a {}: {line}", family.kind);
                let is_same = |other: &Sample| other.name == sample.name && other.labels == sample.labels;
                assert!(!family.samples.iter().any(is_same), "a sample is there twice: {line}");
                assert!(family.kind == "gauge" || sample.value >= 0.0, "below zero: {line}");
                family.samples.push(sample);
            }
        }
        assert!(helped.is_none(), "HELP without TYPE at the end");
        families.values().filter(|family| family.kind == "histogram").for_each(check_histogram);
        Self(families)
    }

    /// The value of the one sample with this name and these labels.
    #[track_caller]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} with {labels:?}"))
    }

    /// The same, if it is there.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples().find(|sample| sample.name == name && sample.labels == labels).map(|sample| sample.value)
    }

    /// The sum over all samples of a name.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
    }

    /// All samples.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.0.values().flat_map(|family| &family.samples)
    }

    /// The names under which samples can be asked for.
    pub fn names(&self) -> BTreeSet<String> {
        let of = |(name, family): (&String, &Family)| -> Vec<String> {
            match &*family.kind {
                "counter" => vec![format!("{name}_total")],
                "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
                "info" => vec![format!("{name}_info")],
                _ => vec![name.clone()],
            }
        };
        self.0.iter().flat_map(of).collect()
    }
}

impl Sample {
    #[track_caller]
    fn parse(line: &str) -> Self {
        let wrong = || -> ! { panic!("not a sample: {line}") };
        let end = line.find(['{', ' ']).unwrap_or_else(|| wrong());
        let (name, mut rest) = line.split_at(end);
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            let mut at = inner;
            loop {
                let (label, after) = at.split_once("=\"").unwrap_or_else(|| wrong());
                let is_name = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                assert!(is_name, "label {label}: {line}");
                let close = after.find('"').unwrap_or_else(|| wrong());
                let value = &after[..close];
                assert!(!value.contains('\\'), "nothing of ours needs an escape: {line}");
                assert!(labels.insert(label.to_owned(), value.to_owned()).is_none(), "label twice: {line}");
                at = &after[close + 1..];
                match at.strip_prefix(',') {
                    Some(next) => at = next,
                    None => break,
                }
            }
            rest = at.strip_prefix('}').unwrap_or_else(|| wrong());
        }
        let value: f64 = rest.strip_prefix(' ').and_then(|value| value.parse().ok()).unwrap_or_else(|| wrong());
        assert!(value.is_finite(), "no number: {line}");
        Self { name: name.to_owned(), labels, value }
    }
}

#[track_caller]
fn check_name(name: &str, kind: &str) {
    let parts: Vec<&str> = name.split('_').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    assert!(parts.iter().all(is_word), "{name} is not made of small letters and digits");
    assert_eq!(parts[0], "tidegate", "{name}");
    assert!(!name.ends_with("_total"), "{name}: the suffix belongs to the sample");
    if kind == "info" {
        return;
    }
    assert!(parts.len() >= 3 || name == "tidegate_clock_state", "{name} has no noun");
    assert!(UNITS.contains(parts.last().expect("not empty")), "{name} does not end with a unit");
    assert!(kind != "counter" || !name.ends_with("_state"), "{name} is no counter");
}

#[track_caller]
fn check_histogram(family: &Family) {
    let of = |suffix: &'static str| family.samples.iter().filter(move |sample| sample.name.ends_with(suffix));
    let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
    for bucket in of("_bucket") {
        let le = &bucket.labels["le"];
        let upper = if le == "+Inf" { f64::INFINITY } else { le.parse().expect("a number") };
        assert!(upper > bound && bucket.value >= count, "buckets rise: {bucket:?}");
        (bound, count) = (upper, bucket.value);
    }
    assert_eq!(bound, f64::INFINITY, "the last bucket holds all: {family:?}");
    let total: Vec<f64> = of("_count").map(|sample| sample.value).collect();
    assert_eq!(total, [count], "{family:?}");
    assert_eq!(of("_sum").count(), 1, "{family:?}");
}
