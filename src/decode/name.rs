//! Sensor names: `source/device/quantity` from templates, made once and kept.
//!
//! Owns the expansion of the `device` template, the rules of a valid name and the cache that makes a known sensor
//! cost no formatting. Bounded: the cache is emptied when it is full and fills again with what is still alive.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::value::quote;
use crate::config::model::{Template, TemplatePart};
use crate::counters::Reject;
use crate::reading::{SENSOR_BYTES_MAX, SensorId, Unit};

/// Most names kept ready per source. At about 150 bytes each this is 600 kB; a source with more devices still works,
/// it only formats more.
const NAMES_CACHED_MAX: usize = 4_096;

/// A refusal: the counter's label and the words.
pub(super) type Refusal = (Reject, String);

/// Fills in a template. `payload` holds the values of its `{payload.PATH}` parts in their order.
pub(super) fn expand(
    template: &Template,
    topic: Option<&str>,
    payload: &[Option<String>],
    out: &mut String,
) -> Result<(), Refusal> {
    let bad = |what: String| Err((Reject::BadName, what));
    let mut payload = payload.iter();
    for part in &template.0 {
        match (part, topic) {
            (TemplatePart::Text(text), _) => out.push_str(text),
            (TemplatePart::Topic, Some(topic)) => out.push_str(topic),
            (TemplatePart::TopicLevel(level), Some(topic)) => match topic.split('/').nth(*level) {
                Some(text) => out.push_str(text),
                None => return bad(format!("topic {} has no level {level}", quote(topic))),
            },
            (TemplatePart::TopicFrom(level), Some(topic)) => match rest_of(topic, *level) {
                Some(text) => out.push_str(text),
                None => return bad(format!("topic {} has no level {level}", quote(topic))),
            },
            (TemplatePart::Payload(path), _) => match payload.next() {
                Some(Some(text)) => out.push_str(text),
                _ => return Err((Reject::MissingField, format!("`{path}`, which names the device, is not there"))),
            },
            (TemplatePart::Topic | TemplatePart::TopicLevel(_) | TemplatePart::TopicFrom(_), None) => {
                return bad("the name needs a topic, and the source has none".to_owned());
            }
            (TemplatePart::Match(_), _) => return bad("the name needs a wildcard, and the path has none".to_owned()),
            (TemplatePart::Event(_), _) => return bad("the name needs an event's field".to_owned()),
        }
    }
    Ok(())
}

/// All levels from `level` on.
fn rest_of(topic: &str, level: usize) -> Option<&str> {
    let mut rest = topic;
    for _ in 0..level {
        rest = rest.split_once('/')?.1;
    }
    Some(rest)
}

/// Whether a finished name can be matched by MQTT patterns and put into a topic.
fn check(name: &str) -> Result<(), Refusal> {
    let bad = |what: &str| Err((Reject::BadName, format!("{} {what}", quote(name))));
    if name.len() > SENSOR_BYTES_MAX {
        return Err((Reject::BadName, format!("a name of {} bytes, at most {SENSOR_BYTES_MAX}", name.len())));
    }
    if name.contains(['+', '#']) {
        return bad("holds `+` or `#`, which mean any sensor in a pattern");
    }
    if name.contains(char::is_control) {
        return bad("holds a control character");
    }
    if name.split('/').any(str::is_empty) {
        return bad("has an empty level");
    }
    Ok(())
}

/// Names of one device, by the quantity's index.
#[derive(Debug, Default)]
pub(super) struct DeviceNames(Vec<Option<SensorId>>);

/// Makes names and keeps them.
#[derive(Debug)]
pub(super) struct Names {
    source: Arc<str>,
    device: Template,
    /// `quantity` of the number format, which may follow the topic; else the fields name their quantities.
    quantity: Option<Template>,
    /// Whether the topic alone decides: then it is the cache's key and nothing is expanded for a known sensor.
    by_topic: bool,
    /// Where in `devices` the names of a device are.
    known: HashMap<Box<str>, usize>,
    devices: Vec<DeviceNames>,
    cached: usize,
    /// The device of the message at hand, where the topic does not decide it.
    buffer: String,
    /// Names that the payload made, behind the source's, and the unit that goes with their last part.
    free: HashMap<Box<str>, (SensorId, Option<Unit>)>,
}

impl Names {
    pub(super) fn new(source: Arc<str>, device: Template, quantity: Option<Template>) -> Self {
        let by_topic = !device.0.iter().any(|part| matches!(part, TemplatePart::Payload(_)));
        Self {
            source,
            device,
            quantity,
            by_topic,
            known: HashMap::new(),
            devices: Vec::new(),
            cached: 0,
            buffer: String::new(),
            free: HashMap::new(),
        }
    }

    /// A sensor that the payload names: behind the source's name and `device`, or else the device of the topic.
    /// `unit` finds the unit that goes with a name.
    pub(super) fn free(
        &mut self,
        topic: Option<&str>,
        device: Option<&str>,
        tail: &str,
        unit: impl Fn(&str) -> Option<Unit>,
    ) -> Result<(SensorId, Option<Unit>), Refusal> {
        self.buffer.clear();
        match device {
            Some(device) => self.buffer.push_str(device),
            None => expand(&self.device, topic, &[], &mut self.buffer)?,
        }
        if !self.buffer.is_empty() {
            self.buffer.push('/');
        }
        self.buffer.push_str(tail);
        if let Some(known) = self.free.get(&*self.buffer) {
            return Ok(known.clone());
        }
        let name = format!("{}/{}", self.source, self.buffer);
        check(&name)?;
        if self.free.len() >= NAMES_CACHED_MAX {
            self.free.clear();
        }
        let made = (SensorId::new(name), unit(tail));
        self.free.insert(self.buffer.as_str().into(), made.clone());
        Ok(made)
    }

    /// Forgets all, because indices of quantities are about to be given anew.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.devices.clear();
        self.cached = 0;
    }

    /// The names of the device that a message is about.
    pub(super) fn device<'a>(
        &'a mut self,
        topic: Option<&'a str>,
        payload: &'a [Option<String>],
    ) -> Result<DeviceSensors<'a>, Refusal> {
        if self.cached >= NAMES_CACHED_MAX {
            self.forget();
        }
        let key = if self.by_topic {
            topic.unwrap_or_default()
        } else {
            self.buffer.clear();
            expand(&self.device, topic, payload, &mut self.buffer)?;
            &self.buffer
        };
        let at = match self.known.get(key) {
            Some(at) => *at,
            None => {
                self.known.insert(key.into(), self.devices.len());
                self.devices.push(DeviceNames::default());
                // A device counts too, so that one whose names are all refused is bounded as well.
                self.cached += 1;
                self.devices.len() - 1
            }
        };
        let (source, device, quantity) = (&self.source, &self.device, self.quantity.as_ref());
        let names = &mut self.devices[at];
        Ok(DeviceSensors { source, device, quantity, topic, payload, names, cached: &mut self.cached })
    }
}

/// One device and its names.
pub(super) struct DeviceSensors<'a> {
    source: &'a Arc<str>,
    device: &'a Template,
    quantity: Option<&'a Template>,
    topic: Option<&'a str>,
    payload: &'a [Option<String>],
    names: &'a mut DeviceNames,
    cached: &'a mut usize,
}

impl DeviceSensors<'_> {
    /// The sensor for the quantity with this index, where it has been named.
    pub(super) fn known(&self, index: usize) -> Option<&SensorId> {
        self.names.0.get(index)?.as_ref()
    }

    /// The sensor for the quantity with this index.
    pub(super) fn sensor(&mut self, index: usize, quantity: &str) -> Result<&SensorId, Refusal> {
        if self.known(index).is_none() {
            self.name(index, quantity)?;
        }
        Ok(self.known(index).expect("invariant: it has just been named"))
    }

    fn name(&mut self, index: usize, quantity: &str) -> Result<(), Refusal> {
        let mut name = String::with_capacity(64);
        let _ = write!(name, "{}/", self.source);
        if !self.device.0.is_empty() {
            expand(self.device, self.topic, self.payload, &mut name)?;
            name.push('/');
        }
        match self.quantity {
            Some(template) => expand(template, self.topic, &[], &mut name)?,
            None => name.push_str(quantity),
        }
        check(&name)?;
        let places = self.names.0.len();
        if places <= index {
            // Places count, used or not: they take memory, too.
            *self.cached += index + 1 - places;
            self.names.0.resize(index + 1, None);
        }
        self.names.0[index] = Some(SensorId::new(name));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::decode::READINGS_PER_MESSAGE_MAX;

    fn text(text: &str) -> TemplatePart {
        TemplatePart::Text(text.into())
    }

    fn name(device: Vec<TemplatePart>, topic: Option<&str>, payload: &[Option<String>]) -> Result<String, Reject> {
        let mut names = Names::new("src".into(), Template(device), None);
        let sensor = |mut device: DeviceSensors<'_>| device.sensor(0, "t").map(SensorId::to_string);
        names.device(topic, payload).and_then(sensor).map_err(|(reject, _)| reject)
    }

    #[test]
    fn templates_take_levels_of_the_topic_and_fields_of_the_payload() {
        let topic = Some("zigbee2mqtt/hall/cold");
        assert_eq!(name(vec![], topic, &[]).unwrap(), "src/t");
        assert_eq!(name(vec![TemplatePart::Topic], topic, &[]).unwrap(), "src/zigbee2mqtt/hall/cold/t");
        assert_eq!(name(vec![TemplatePart::TopicLevel(1)], topic, &[]).unwrap(), "src/hall/t");
        assert_eq!(name(vec![TemplatePart::TopicFrom(1)], topic, &[]).unwrap(), "src/hall/cold/t");
        let both = vec![TemplatePart::TopicLevel(2), text("-"), TemplatePart::Payload("id".to_owned())];
        assert_eq!(name(both, topic, &[Some("7".to_owned())]).unwrap(), "src/cold-7/t");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(name(vec![TemplatePart::TopicLevel(3)], Some("a/b/c"), &[]), Err(Reject::BadName));
        assert_eq!(name(vec![TemplatePart::TopicFrom(3)], Some("a/b/c"), &[]), Err(Reject::BadName));
        assert_eq!(name(vec![TemplatePart::Topic], None, &[]), Err(Reject::BadName));
        assert_eq!(name(vec![TemplatePart::Payload("id".to_owned())], None, &[None]), Err(Reject::MissingField));
    }

    #[test]
    fn names_that_patterns_could_not_match_are_refused() {
        for device in ["a+b", "#", "a//b", "/a", "a/", "", "a\nb", "a\u{0}", &"x".repeat(SENSOR_BYTES_MAX)] {
            assert_eq!(name(vec![text(device)], None, &[]), Err(Reject::BadName), "{device:?}");
        }
        let longest = "x".repeat(SENSOR_BYTES_MAX - "src//t".len());
        assert_eq!(name(vec![text(&longest)], None, &[]).unwrap().len(), SENSOR_BYTES_MAX);
    }

    #[test]
    fn a_known_sensor_is_the_same_allocation_and_the_cache_is_bounded() {
        let mut names = Names::new("s".into(), Template(vec![TemplatePart::Topic]), None);
        let first = names.device(Some("a"), &[]).unwrap().sensor(3, "t").unwrap().clone();
        let again = names.device(Some("a"), &[]).unwrap().sensor(3, "t").unwrap().clone();
        assert!(std::ptr::eq(first.as_str(), again.as_str()));
        for device in 0..3 * NAMES_CACHED_MAX {
            let topic = format!("d{device}");
            assert_eq!(
                names.device(Some(&topic), &[]).unwrap().sensor(0, "t").unwrap().as_str(),
                format!("s/{topic}/t")
            );
            assert!(names.known.len() <= NAMES_CACHED_MAX);
        }
    }

    #[test]
    fn devices_that_make_up_quantities_are_bounded_too() {
        let mut names = Names::new("s".into(), Template(vec![TemplatePart::Topic]), None);
        let quantity_max = 2 * READINGS_PER_MESSAGE_MAX;
        for device in 0..100 {
            names.device(Some(&format!("d{device}")), &[]).unwrap().sensor(quantity_max, "t").unwrap();
            let places: usize = names.devices.iter().map(|names| names.0.len()).sum();
            assert!(places <= NAMES_CACHED_MAX + quantity_max + 1, "{places}");
        }
    }
}
