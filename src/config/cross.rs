//! What can only be seen with the whole configuration in hand: names used twice, ports shared, patterns that match
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::model::{Condition, Config, ModbusLine, SetPoint, Source, SourceKind};
use super::pattern;
use super::suggest::nearest;
use super::tree::{Context, Spot};
use super::{alarm, source};
use crate::decode::Decoder;
use crate::reading::own;

/// Reports a name that is there twice.
pub fn unique<'n>(ctx: &mut Context<'_>, what: &str, names: impl Iterator<Item = (&'n Arc<str>, Spot)>) {
    let mut seen: HashMap<&str, Spot> = HashMap::new();
    for (name, spot) in names {
        match seen.get(&**name) {
            Some(first) => {
                let first = ctx.place(*first);
                ctx.error(spot, format!("two {what}s are named `{name}`")).label("the second").note(first, "the first");
            }
            None => {
                seen.insert(name, spot);
            }
        }
    }
}

/// Reports sources that would be in each other's way.
pub fn sources(ctx: &mut Context<'_>, sources: &[source::Read], upstream: Option<(&super::model::Upstream, Spot)>) {
    let mut ports = HashMap::new();
    let mut clients = HashMap::new();
    if let Some((upstream, spot)) = upstream {
        for url in &upstream.urls {
            clients.insert((&url.host, url.port, &upstream.client_id), spot);
        }
    }
    let mut servers = HashMap::new();
    for read in sources {
        let port = match &read.source.kind {
            SourceKind::Serial(serial) => Some(&serial.port),
            SourceKind::Modbus(modbus) => match &modbus.line {
                ModbusLine::Serial { port, .. } => Some(port),
                ModbusLine::Tcp { .. } | ModbusLine::RtuOverTcp { .. } => None,
            },
            SourceKind::Mqtt(_) => None,
        };
        if let Some(port) = port
            && let Some(first) = ports.insert(port, read.address)
        {
            let first = ctx.place(first);
            ctx.error(read.address, "two sources on one port").label("the second").note(first, "the first");
        }
        match &read.source.kind {
            SourceKind::Serial(_) => {}
            SourceKind::Modbus(modbus) => {
                if let ModbusLine::Tcp { host, port } | ModbusLine::RtuOverTcp { host, port, .. } = &modbus.line
                    && let Some(first) = servers.insert((host, *port), read.address)
                {
                    let first = ctx.place(first);
                    ctx.warning(read.address, "two sources at one Modbus server")
                        .label("many servers take one connection only")
                        .note(first, "the first")
                        .help("one source can have several [[source.unit]]");
                }
            }
            SourceKind::Mqtt(mqtt) => {
                let key = (&mqtt.url.host, mqtt.url.port, &mqtt.client_id);
                if let Some(first) = clients.insert(key, read.address) {
                    let first = ctx.place(first);
                    ctx.error(read.address, format!("client id `{}` twice at one broker", mqtt.client_id))
                        .label("the broker would throw out one for the other, over and over")
                        .note(first, "the first")
                        .help("give each its own `client_id`");
                }
            }
        }
    }
}

/// Reports what only the decoder knows: the grammar of paths, and which keys its format has a use for.
pub fn decoders(ctx: &mut Context<'_>, sources: &[source::Read]) {
    for read in sources.iter().filter(|read| !matches!(read.source.kind, SourceKind::Modbus(_))) {
        if let Err(reason) = Decoder::new(&read.source) {
            ctx.error(read.decode, format!("source `{}` cannot be decoded: {reason}", read.source.name));
        }
    }
}

/// Warns about patterns and set points that no configured source can satisfy.
pub fn patterns(ctx: &mut Context<'_>, alarms: &[alarm::Read], sources: &[Source], watches_itself: bool) {
    let own = watches_itself.then(pattern::Shape::own);
    let shapes: Vec<pattern::Shape<'_>> = sources.iter().map(pattern::Shape::of).chain(own).collect();
    for read in alarms {
        for (pattern, spot) in read.alarm.sensors.iter().zip(&read.sensors) {
            no_match(ctx, pattern, *spot, sources, &shapes, "this pattern");
        }
        if let Condition::Deviation { from: SetPoint::Sensor(name), .. } = &read.alarm.condition {
            no_match(ctx, name, read.deviation_from, sources, &shapes, "this name");
        }
    }
}

fn no_match(
    ctx: &mut Context<'_>,
    pattern: &str,
    spot: Spot,
    sources: &[Source],
    shapes: &[pattern::Shape<'_>],
    what: &str,
) {
    let levels: Vec<&str> = pattern.split('/').collect();
    if shapes.is_empty() || shapes.iter().any(|shape| shape.can_match(&levels)) {
        return;
    }
    if levels[0] == own::NAME {
        let last = levels.last().copied().unwrap_or("");
        let label = match nearest(last, own::QUANTITIES.into_iter()) {
            _ if shapes.len() == sources.len() => "`watch` in [gateway] is off".to_owned(),
            Some(near) if near != last => format!("did you mean `{}/{near}`?", own::NAME),
            _ => format!("the gateway's own are named {}/quantity", own::NAME),
        };
        ctx.warning(spot, format!("{what} matches none of the gateway's own readings"))
            .label(label)
            .help(format!("they are {}", own::QUANTITIES.join(", ")));
        return;
    }
    let names = || sources.iter().map(|source| &*source.name);
    let known = names().any(|name| levels[0] == "+" || levels[0] == name);
    let label = if known {
        // The source is right, so it is the quantity or the depth.
        let last = levels.last().copied().unwrap_or("");
        let of_source = sources.iter().filter(|source| levels[0] == "+" || levels[0] == &*source.name);
        let quantities: Vec<&str> = of_source.flat_map(pattern::quantities).collect();
        match nearest(last, quantities.iter().copied()) {
            Some(near) if near != last => format!("did you mean the quantity `{near}`?"),
            _ => "sensors are named source/device/quantity".to_owned(),
        }
    } else {
        match nearest(levels[0], names()) {
            Some(near) => format!("did you mean the source `{near}`?"),
            None => format!("there is no source `{}`", levels[0]),
        }
    };
    ctx.warning(spot, format!("{what} matches no sensor of any source")).label(label);
}

/// Warns about groups of one.
pub fn groups(ctx: &mut Context<'_>, alarms: &[alarm::Read]) {
    let mut members: HashMap<&str, usize> = HashMap::new();
    for group in alarms.iter().filter_map(|read| read.alarm.group.as_deref()) {
        *members.entry(group).or_default() += 1;
    }
    for read in alarms {
        if let Some(group) = &read.alarm.group
            && members.get(&**group) == Some(&1)
        {
            ctx.warning(read.group, format!("`{}` is the only alarm of group `{group}`", read.alarm.name))
                .help("a group makes a difference from two alarms on");
        }
    }
}

/// What a whole configuration lacks, in words; each a warning.
pub fn lacks(config: &Config) -> Vec<&'static str> {
    let mut lacks = Vec::new();
    if config.sources.is_empty() && !config.watches_itself() {
        lacks.push("no [[source]]: nothing is read");
    }
    if config.alarms.is_empty() {
        lacks.push("no [[alarm]]: no event is raised by a reading");
    }
    if config.upstream.is_none() {
        lacks.push("no [upstream]: events are stored and not forwarded");
    }
    lacks
}
