//! An example of the other end: reads a gateway's events once each, drops repeats by `id` and finds gaps by `sequence`.
//!
//! `cargo run --example consumer -- broker.example.com 1883`. Memory is bounded: the ids of the last [`SEEN_MAX`] events
//! and at most as many missing numbers are kept for each gateway, more than can be on their way a second time. A number
//! that is missing was evicted or set aside, which `tidegate.events.lost.v1` announces, or it is yet to come.
//!
//! To survive its own restart, a consumer keeps the ids with its results, in one transaction; this one keeps them in
//! memory and prints.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::error::Error;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

/// Ids and missing numbers kept for each gateway.
const SEEN_MAX: usize = 100_000;

/// Largest message taken, bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a zstd frame begins with (RFC 8878); no JSON does.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Acknowledgements that wait in memory: at least as many as the broker can have messages on their way.
const REQUESTS_MAX: usize = 65_536;

/// Wait before the next connection.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of one gateway.
#[derive(Default)]
struct Gateway {
    ids: HashSet<String>,
    /// The ids in the order of their arrival: the oldest is forgotten first.
    order: VecDeque<String>,
    /// The number after the highest so far; 0 before the first.
    expected: u64,
    /// Numbers below that have neither arrived nor been announced as lost.
    missing: BTreeSet<u64>,
}

impl Gateway {
    /// Whether the event is new; if not, it is to be dropped.
    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    /// Takes the number of a new event; returns the numbers that were skipped before it.
    fn number(&mut self, number: u64) -> Option<(u64, u64)> {
        let expected = if self.expected == 0 { number } else { self.expected };
        self.missing.remove(&number);
        self.expected = expected.max(number.saturating_add(1));
        if number <= expected {
            return None;
        }
        self.missing.extend(expected.max(number.saturating_sub(SEEN_MAX as u64))..number);
        while self.missing.len() > SEEN_MAX {
            self.missing.pop_first();
        }
        Some((expected, number - 1))
    }

    /// These were announced as lost.
    fn announced(&mut self, first: u64, last: u64) {
        self.missing.retain(|number| !(first..=last).contains(number));
    }
}

fn on_event(gateways: &mut HashMap<String, Gateway>, event: &Value) -> Result<(), Box<dyn Error>> {
    let text = |name: &str| event[name].as_str().ok_or_else(|| format!("no `{name}` in {event}"));
    let number: u64 = text("sequence")?.parse()?;
    let gateway = gateways.entry(text("source")?.to_owned()).or_default();
    // A replayed event was delivered before, though perhaps not to us: a consumer that wants the history takes it.
    if !gateway.is_new(text("id")?) || event["replayed"] == true {
        println!("repeat {number}");
        return Ok(());
    }
    if let Some((first, last)) = gateway.number(number) {
        println!("gap {first} {last}");
    }
    // Your own work goes here.
    println!("event {number} {} {}", text("type")?, text("subject")?);
    if text("type")? == "tidegate.events.lost.v1" {
        let data = &event["data"];
        let sequence = |name: &str| data[name].as_u64().ok_or_else(|| format!("no `{name}` in {data}"));
        gateway.announced(sequence("first_sequence")?, sequence("last_sequence")?);
        println!("lost {} {} unexplained {}", data["count"], data["reason"], gateway.missing.len());
    }
    Ok(())
}

/// Takes a message: an event, or with `batch` an array of them; with `compress` either is one zstd frame.
fn on_message(gateways: &mut HashMap<String, Gateway>, payload: &[u8]) -> Result<(), Box<dyn Error>> {
    let message = match payload.starts_with(&ZSTD) {
        true => serde_json::from_slice(&zstd::bulk::decompress(payload, MESSAGE_BYTES_MAX)?)?,
        false => serde_json::from_slice(payload)?,
    };
    match message {
        Value::Array(events) => events.iter().try_for_each(|event| on_event(gateways, event)),
        event => on_event(gateways, &event),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: consumer HOST PORT".into());
    };
    let mut options = MqttOptions::new("consumer-rs", host, port.parse()?);
    // The broker keeps what comes while we are away; and a message is ours only when we have done our work with it.
    options.set_clean_session(false).set_manual_acks(true);
    options.set_max_packet_size(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX);
    let (client, mut link) = AsyncClient::new(options, REQUESTS_MAX);
    let mut gateways = HashMap::new();
    loop {
        match link.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => client.try_subscribe("tidegate/#", QoS::AtLeastOnce)?,
            Ok(Event::Incoming(Packet::SubAck(_))) => println!("subscribed"),
            Ok(Event::Incoming(Packet::Publish(message))) => {
                if !message.topic.ends_with("/status")
                    && let Err(error) = on_message(&mut gateways, &message.payload)
                {
                    eprintln!("on {}: {error}", message.topic);
                }
                client.try_ack(&message)?;
            }
            Ok(_) => {}
            Err(error) => {
                eprintln!("{error}; again in {PAUSE:?}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
