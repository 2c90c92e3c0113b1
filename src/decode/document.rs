//! `format = "json"` with wildcards, and `format = "cbor"`: fields of a document by paths that can lead to many values.
//!
//! Owns the plan: which paths, how every value's name, unit, time and attributes are found beside it, and that a value
//! is taken once (plain paths first, then wildcards in their order, without what `skip` names). Under a wildcard that
//! ends a path, texts and composites are no readings; everywhere else they are refused and counted.

use std::collections::HashSet;
use std::sync::Arc;

use super::item::Item;
use super::name::Refusal;
use super::packed::{self, Opened};
use super::path::{self, Step};
use super::present::Present;
use super::select::{Bound, each_mut, sibling, walk};
use super::sink::{CARRY_BYTES_MAX, Sink};
use super::tree::{Tree, from_cbor, from_json};
use super::value::Raw;
use super::{BinaryFormat, Format, carry, entries, layout, units};
use crate::config::model::{self, Entries, Packing, Template, TemplatePart};
use crate::config::template::{self, Place};
use crate::counters::Reject;
use crate::reading::Attributes;

/// A piece of a name.
#[derive(Debug)]
enum Part {
    Text(Arc<str>),
    Topic(TemplatePart),
    /// Paths that are tried in their order, and as they were written.
    Path(Vec<Vec<Step>>, String),
    Match(usize),
}

/// A field.
#[derive(Debug)]
struct Wanted {
    /// The index of its rule; `None` for whatever no field is configured for.
    rule: Option<usize>,
    steps: Vec<Step>,
    is_wild: bool,
    /// The last step is a wildcard: what it leads to may be anything.
    is_open: bool,
    quantity: Vec<Part>,
    unit: Option<Vec<Step>>,
    /// Where the value is in the bytes that the path leads to, and as it was written.
    layout: Option<(layout::Place, String)>,
}

/// The plan.
#[derive(Debug)]
pub(super) struct Document {
    fields: Vec<Wanted>,
    device: Vec<Part>,
    /// Where the time is, in several parts perhaps.
    time: Vec<Vec<Step>>,
    carry: Vec<Vec<Step>>,
    skip: Vec<Vec<Step>>,
    unpack: Vec<(Vec<Step>, Packing)>,
    /// The types of bytes that are a list of values.
    entries: Option<Entries>,
}

/// Whether a JSON source asks for more than plain paths.
pub(super) fn is_needed(decode: &model::Decode) -> bool {
    let reach = &decode.reach;
    let has_match = |template: &Template| template.0.iter().any(|part| matches!(part, TemplatePart::Match(_)));
    let is_wild = |path: &str| path.contains('*');
    reach.each.is_some()
        || !reach.skip.is_empty()
        || !reach.unpack.is_empty()
        || has_match(&decode.device)
        || decode.device.0.iter().any(|part| matches!(part, TemplatePart::Payload(path) if path.contains(['|', '*'])))
        || decode
            .fields
            .iter()
            .any(|f| f.unit_path.is_some() || f.bytes.is_some() || is_wild(&f.path) || f.quantity.contains('{'))
        || decode.ts_field.as_deref().is_some_and(is_wild)
        || decode.carry.iter().any(|path| is_wild(path))
}

impl Document {
    pub(super) fn new(decode: &model::Decode) -> Result<Self, String> {
        let each = decode.reach.each.as_deref();
        let steps = |path: &str| path::parse(&from_element(each, path));
        let mut fields = Vec::new();
        for (rule, field) in decode.fields.iter().enumerate() {
            let template = template::parse(&field.quantity, Place::Quantity).map_err(|(_, why)| why)?;
            let path = steps(&field.path)?;
            let unit = field.unit_path.as_deref().map(steps).transpose()?;
            let place = |written: &String| Ok::<_, String>((layout::parse(written)?, written.clone()));
            let layout = field.bytes.as_ref().map(place).transpose()?;
            fields.push(Wanted { layout, ..wanted(Some(rule), path, parts(&template, each)?, unit) });
        }
        // Values of several parts are a level of their own there.
        let everything = if decode.format == model::Format::CayenneLpp { "**" } else { "*" };
        if fields.is_empty() || decode.reach.others {
            let path = path::parse(&each.map_or_else(|| everything.to_owned(), |each| format!("{each}.*")))?;
            let last = wildcards(&path) - 1;
            fields.push(wanted(None, path, vec![Part::Match(last)], None));
        }
        // Plain paths first: a wildcard takes what is left.
        fields.sort_by_key(|field| field.is_wild);
        for field in &fields {
            let wilds = wildcards(&field.steps);
            let device = template_matches(&decode.device);
            if let Some(most) = field.quantity.iter().filter_map(matched).chain(device).max()
                && most >= wilds
            {
                return Err(format!(
                    "{{match[{most}]}} needs {} wildcards in every path, and one has {wilds}",
                    most + 1
                ));
            }
        }
        Ok(Self {
            fields,
            device: parts(&decode.device, each)?,
            time: match &decode.ts_field {
                Some(path) => super::time_parts(path).into_iter().map(steps).collect::<Result<_, _>>()?,
                None => Vec::new(),
            },
            carry: decode.carry.iter().map(|path| steps(path)).collect::<Result<_, _>>()?,
            skip: decode.reach.skip.iter().map(|path| steps(path)).collect::<Result<_, _>>()?,
            unpack: decode
                .reach
                .unpack
                .iter()
                .map(|(path, packing)| Ok((path::parse(path)?, *packing)))
                .collect::<Result<_, String>>()?,
            entries: decode.reach.entries.clone(),
        })
    }

    pub(super) fn read(&self, mut tree: Tree, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        for (steps, packing) in &self.unpack {
            let mut refused = None;
            each_mut(steps, &mut tree, &mut |packed| match packed::open(packed, *packing, sink.rules.decimal_comma) {
                Ok(Opened::Tree(inner)) => *packed = inner,
                Ok(Opened::Entries(bytes)) => *packed = self.entries(&bytes, sink),
                Ok(Opened::Nothing) => {}
                Err(why) => refused = Some(why),
            });
            if let Some(why) = refused {
                sink.refuse(Reject::Malformed, why);
            }
        }
        let tree = &tree;
        let mut taken: HashSet<usize> = HashSet::new();
        let mut found = false;
        for steps in &self.skip {
            walk(steps, tree, &mut Vec::new(), &mut |value, _| {
                found = true;
                take_below(value, &mut taken);
            });
        }
        // What names, dates or goes along with the readings is none itself, unless a field says so.
        for steps in self.time.iter().chain(&self.carry).chain(self.device_paths()) {
            walk(steps, tree, &mut Vec::new(), &mut |value, _| {
                taken.insert(place(value));
            });
        }
        for field in &self.fields {
            walk(&field.steps, tree, &mut Vec::new(), &mut |value, bound| {
                if field.layout.is_some() {
                    // The same bytes hold the values of other fields.
                    take_below(value, &mut taken);
                } else if !taken.insert(place(value)) && field.is_wild {
                    return;
                }
                if field.is_open && field.layout.is_none() && !is_reading(field, value, sink) {
                    return;
                }
                found = true;
                if let Err((reject, what)) = self.value(field, value, bound, tree, sink) {
                    sink.refuse(reject, what);
                }
            });
        }
        if !found {
            return Err((Reject::MissingField, sink.expected(&Present::of_tree(tree))));
        }
        Ok(())
    }

    /// Bytes that are a list of values, as a document.
    pub(super) fn entries(&self, bytes: &[u8], sink: &mut Sink<'_>) -> Tree {
        let Some(declared) = &self.entries else { return Tree::Null };
        let (tree, fault) = entries::read(bytes, declared);
        if let Some(why) = fault {
            sink.refuse(Reject::Malformed, why);
        }
        tree
    }

    fn device_paths(&self) -> impl Iterator<Item = &Vec<Step>> {
        let paths = self.device.iter().filter_map(|part| match part {
            Part::Path(tried, _) => Some(tried),
            _ => None,
        });
        paths.flatten()
    }

    fn value(
        &self,
        field: &Wanted,
        value: &Tree,
        bound: &[Bound<'_>],
        tree: &Tree,
        sink: &mut Sink<'_>,
    ) -> Result<(), Refusal> {
        // An empty list is what some devices send instead of null.
        if matches!(value, Tree::Null) || matches!(value, Tree::List(items) if items.is_empty()) {
            return Ok(());
        }
        // An uplink without a payload says no value.
        if field.layout.is_some() && matches!(value, Tree::Text(text) if text.is_empty()) {
            return Ok(());
        }
        let bytes;
        let raw = match &field.layout {
            None => value.raw(),
            Some((place, written)) => {
                bytes = packed::bytes_of(value).map_err(|what| (Reject::NotANumber, what))?;
                let short = || (Reject::Malformed, format!("{} bytes, too few for `{written}`", bytes.len()));
                place.read(&bytes).ok_or_else(short)?
            }
        };
        let topic = sink.message.topic;
        let device = fill(&self.device, topic, bound, tree)?;
        let name = fill(&field.quantity, topic, bound, tree)?;
        let unit = field.unit.as_ref().and_then(|steps| sibling(steps, tree, bound)).and_then(Tree::name);
        let stamp = match self.time.as_slice() {
            [whole] => sibling(whole, tree, bound).and_then(|value| sink.rules.time.read(&value.raw())),
            parts => {
                let parts = parts.iter().filter_map(|steps| sibling(steps, tree, bound)?.name());
                sink.rules.time.read(&Raw::Text(&parts.collect::<Vec<_>>().join(" ")))
            }
        };
        let attributes = self.attributes(bound, tree, sink);
        let item = Item {
            rule: field.rule,
            device: Some(&device),
            unit: unit.map(|unit| units::spelled(&unit).into()),
            stamp,
            attributes,
            ..Item::new(&name, raw)
        };
        sink.item(item);
        Ok(())
    }

    fn attributes(&self, bound: &[Bound<'_>], tree: &Tree, sink: &mut Sink<'_>) -> Option<Attributes> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for (index, steps) in self.carry.iter().enumerate() {
            let Some(value) = sibling(steps, tree, bound) else { continue };
            let value = value.to_json();
            bytes += carry::size(&value);
            if bytes > CARRY_BYTES_MAX {
                sink.too_much_carried(index);
                break;
            }
            found.push((Arc::clone(&sink.rules.carry[index]), value));
        }
        (!found.is_empty()).then(|| Arc::new(found))
    }
}

impl Format for Document {
    fn read(&mut self, payload: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let tree = from_json(payload).map_err(|why| (Reject::Malformed, why))?;
        Document::read(self, tree, sink)
    }
}

impl BinaryFormat for Document {
    fn read(&mut self, payload: &[u8], sink: &mut Sink<'_>) -> Result<(), Refusal> {
        let tree = from_cbor(payload).map_err(|why| (Reject::Malformed, why))?;
        Document::read(self, tree, sink)
    }
}

fn wildcards(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Any | Step::Deep)).count()
}

fn wanted(rule: Option<usize>, steps: Vec<Step>, quantity: Vec<Part>, unit: Option<Vec<Step>>) -> Wanted {
    let is_open = matches!(steps.last(), Some(Step::Any | Step::Deep));
    Wanted { rule, is_wild: path::is_wild(&steps), is_open, steps, quantity, unit, layout: None }
}

/// A path as seen from the document: `$.` starts at its top, all others at the element of `each`.
fn from_element(each: Option<&str>, path: &str) -> String {
    match (path.strip_prefix("$."), each) {
        (Some(path), _) => path.to_owned(),
        (None, Some(each)) if path.starts_with('[') => format!("{each}{path}"),
        (None, Some(each)) => format!("{each}.{path}"),
        (None, None) => path.to_owned(),
    }
}

fn parts(template: &Template, each: Option<&str>) -> Result<Vec<Part>, String> {
    let part = |part: &TemplatePart| {
        Ok(match part {
            TemplatePart::Text(text) => Part::Text(Arc::clone(text)),
            TemplatePart::Payload(path) => {
                let tried = path.split('|').map(|path| path::parse(&from_element(each, path)));
                Part::Path(tried.collect::<Result<_, _>>()?, path.clone())
            }
            TemplatePart::Match(index) => Part::Match(*index),
            other => Part::Topic(other.clone()),
        })
    };
    template.0.iter().map(part).collect()
}

fn matched(part: &Part) -> Option<usize> {
    match part {
        Part::Match(index) => Some(*index),
        _ => None,
    }
}

fn template_matches(template: &Template) -> impl Iterator<Item = usize> {
    template.0.iter().filter_map(|part| match part {
        TemplatePart::Match(index) => Some(*index),
        _ => None,
    })
}

fn fill(parts: &[Part], topic: Option<&str>, bound: &[Bound<'_>], tree: &Tree) -> Result<String, Refusal> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Topic(part) => super::name::expand(&Template(vec![part.clone()]), topic, &[], &mut out)?,
            Part::Match(index) => bound.get(*index).into_iter().for_each(|bound| bound.push_to(&mut out)),
            Part::Path(tried, path) => match tried.iter().find_map(|steps| sibling(steps, tree, bound)?.name()) {
                Some(text) => out.push_str(&text),
                None => return Err((Reject::MissingField, format!("`{path}`, a part of the name, is not there"))),
            },
        }
    }
    Ok(out)
}

/// Whether a value that a wildcard led to can be a reading.
fn is_reading(field: &Wanted, value: &Tree, sink: &Sink<'_>) -> bool {
    match value.raw() {
        Raw::Composite => false,
        Raw::Text(text) => field.rule.is_some_and(|rule| sink.state.entries[rule].rule.takes_text(text)),
        _ => true,
    }
}

/// Marks everything at and below a value.
fn take_below(value: &Tree, taken: &mut HashSet<usize>) {
    taken.insert(place(value));
    match value {
        Tree::List(items) => items.iter().for_each(|item| take_below(item, taken)),
        Tree::Object(members) => members.iter().for_each(|(_, member)| take_below(member, taken)),
        _ => {}
    }
}

/// A value's place in memory, which is its identity as long as the document is not changed.
fn place(value: &Tree) -> usize {
    std::ptr::from_ref(value).addr()
}
