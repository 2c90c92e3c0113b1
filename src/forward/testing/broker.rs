//! A broker of a few lines that remembers what it got and can misbehave. It survives its own "restarts".

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the broker behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Good,
    /// Takes everything and acknowledges nothing.
    AcknowledgesNothing,
    /// Acknowledges the status, never an event.
    AcknowledgesStatusOnly,
    /// Acknowledges every two events in reverse.
    AcknowledgesBackwards,
    /// Closes the connection when it gets the event with this number.
    ClosesAt(u64),
    /// Acknowledges everything but the event with this number.
    LeavesOut(u64),
    /// Closes the connection when it gets a status.
    ClosesAtStatus,
    /// Closes the connection after so many events of it.
    ClosesAfter(u32),
    /// Takes the connection and says nothing at all.
    Mute,
    /// Answers the CONNECT with a page.
    Http,
    /// Closes instead of a CONNACK.
    ClosesAtConnect,
    /// Refuses with this return code.
    Refuses(u8),
    /// Answers the event with this number with this reason code (MQTT 5), so many times; then as it should.
    Answers { sequence: u64, reason: u8, times: usize },
    /// Answers every event with this reason code (MQTT 5).
    RefusesEvents(u8),
    /// Answers events of this sensor with this reason code (MQTT 5), and hangs up after it.
    RefusesAndHangsUp { sensor: &'static str, reason: u8 },
    /// Answers a status with this reason code (MQTT 5).
    RefusesStatus(u8),
    /// Says this goodbye (MQTT 5) instead of acknowledging an event.
    Goodbye(u8),
    /// Takes three messages at a time and so many topic aliases (MQTT 5), and acknowledges events in pairs.
    Narrow { aliases: u8 },
}

/// What it got.
#[derive(Clone, Debug)]
pub struct Got {
    pub topic: String,
    pub payload: serde_json::Value,
}

impl Got {
    pub fn sequence(&self) -> u64 {
        super::sequence_of(&self.payload)
    }
}

#[derive(Default)]
struct Shared {
    events: Vec<Got>,
    messages: Vec<usize>,
    payload_bytes: usize,
    status: Vec<Got>,
    connections: usize,
    disconnects: usize,
    client_ids: Vec<String>,
    answered: usize,
    pending_max: usize,
    aliases_used: usize,
}

/// The broker's control.
pub struct FakeBroker {
    pub port: u16,
    manner: Arc<Mutex<Manner>>,
    shared: Arc<Mutex<Shared>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeBroker {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let manner = Arc::new(Mutex::new(manner));
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (its_manner, its_shared) = (Arc::clone(&manner), Arc::clone(&shared));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (manner, shared) = (Arc::clone(&its_manner), Arc::clone(&its_shared));
                tokio::spawn(async move {
                    // An end of file is how a connection ends.
                    let _ = serve(stream, &manner, &shared).await;
                });
            }
        });
        Self { port, manner, shared, task }
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn events(&self) -> Vec<Got> {
        self.shared.lock().unwrap().events.clone()
    }

    pub fn count(&self) -> usize {
        self.shared.lock().unwrap().events.len()
    }

    /// How many events each message held.
    pub fn messages(&self) -> Vec<usize> {
        self.shared.lock().unwrap().messages.clone()
    }

    /// Bytes of all payloads of events.
    pub fn payload_bytes(&self) -> usize {
        self.shared.lock().unwrap().payload_bytes
    }

    pub fn status(&self) -> Vec<Got> {
        self.shared.lock().unwrap().status.clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.lock().unwrap().connections
    }

    pub fn disconnects(&self) -> usize {
        self.shared.lock().unwrap().disconnects
    }

    /// How often an event was refused.
    pub fn answered(&self) -> usize {
        self.shared.lock().unwrap().answered
    }

    /// Most events that were unacknowledged at a time, with [`Manner::Narrow`].
    pub fn pending_max(&self) -> usize {
        self.shared.lock().unwrap().pending_max
    }

    /// Messages that came with a number in place of a topic.
    pub fn aliases_used(&self) -> usize {
        self.shared.lock().unwrap().aliases_used
    }

    pub fn client_ids(&self) -> Vec<String> {
        self.shared.lock().unwrap().client_ids.clone()
    }

    /// The numbers of the events in the order of their first arrival.
    pub fn first_arrivals(&self) -> Vec<u64> {
        let mut seen = std::collections::HashSet::new();
        self.events().iter().map(Got::sequence).filter(|sequence| seen.insert(*sequence)).collect()
    }
}

/// The events of a message, or the one status.
fn unpacked(topic: &str, payload: &[u8]) -> Vec<Got> {
    let plain = match payload {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::bulk::decompress(payload, 1 << 20).unwrap(),
        _ => payload.to_vec(),
    };
    let payload = match plain[0] {
        0x9f => ciborium::from_reader(&plain[..]).unwrap(),
        _ => serde_json::from_slice(&plain).unwrap(),
    };
    let got = |payload| Got { topic: topic.to_owned(), payload };
    match payload {
        serde_json::Value::Array(all) => {
            assert!(topic.ends_with("/batch"), "a batch on {topic}");
            all.into_iter().map(got).collect()
        }
        one => vec![got(one)],
    }
}

async fn serve(mut stream: TcpStream, manner: &Mutex<Manner>, shared: &Mutex<Shared>) -> std::io::Result<()> {
    shared.lock().unwrap().connections += 1;
    let mut held: Option<[u8; 2]> = None;
    let mut events = 0;
    let mut is_v5 = false;
    let mut pending: Vec<[u8; 2]> = Vec::new();
    let mut aliases: HashMap<u16, String> = HashMap::new();
    loop {
        let first = stream.read_u8().await?;
        if *manner.lock().unwrap() == Manner::Http {
            // Whatever it is asked, in whatever protocol.
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>").await?;
            stream.write_all(&[b'x'; 4096]).await?;
            std::future::pending::<()>().await;
        }
        let mut body = vec![0; remaining_length(&mut stream).await?];
        stream.read_exact(&mut body).await?;
        let manner = *manner.lock().unwrap();
        is_v5 |= first >> 4 == 1 && body[6] == 5;
        match first >> 4 {
            1 => match manner {
                Manner::Mute => std::future::pending().await,
                Manner::ClosesAtConnect => return Ok(()),
                Manner::Refuses(code) => {
                    let refusal: &[u8] = if is_v5 { &[0x20, 3, 0, code, 0] } else { &[0x20, 2, 0, code] };
                    stream.write_all(refusal).await?;
                    return Ok(());
                }
                _ => {
                    // Our properties are short: one byte of length.
                    let at = if is_v5 { 11 + usize::from(body[10]) } else { 10 };
                    let id_len = usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
                    let id = String::from_utf8(body[at + 2..at + 2 + id_len].to_vec()).unwrap();
                    shared.lock().unwrap().client_ids.push(id);
                    let welcome: &[u8] = match manner {
                        Manner::Narrow { aliases } => &[0x20, 9, 0, 0, 6, 33, 0, 3, 34, 0, aliases],
                        _ if is_v5 => &[0x20, 3, 0, 0, 0],
                        _ => &[0x20, 2, 0, 0],
                    };
                    stream.write_all(welcome).await?;
                }
            },
            3 => {
                let topic_len = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let mut topic = String::from_utf8(body[2..2 + topic_len].to_vec()).unwrap();
                let packet_id = [body[2 + topic_len], body[3 + topic_len]];
                let mut start = 4 + topic_len;
                if is_v5 {
                    let properties = start + 1..start + 1 + usize::from(body[start]);
                    start = properties.end;
                    if let [.., 35, high, low] = body[properties] {
                        let alias = aliases.entry(u16::from_be_bytes([high, low])).or_default();
                        let Manner::Narrow { aliases: offered } = manner else { panic!("nobody offered an alias") };
                        assert!((1..=offered).contains(&low) && high == 0, "an alias that was not offered");
                        if topic.is_empty() {
                            topic.clone_from(alias);
                            shared.lock().unwrap().aliases_used += 1;
                        } else {
                            alias.clone_from(&topic);
                        }
                    }
                }
                let all = unpacked(&topic, &body[start..]);
                let is_among = |number| all.iter().any(|got| got.sequence() == number);
                if topic.ends_with("/status") {
                    if manner == Manner::ClosesAtStatus {
                        return Ok(());
                    }
                    shared.lock().unwrap().status.extend(all);
                    if let Manner::RefusesStatus(reason) = manner {
                        stream.write_all(&[0x40, 4, packet_id[0], packet_id[1], reason, 0]).await?;
                        continue;
                    }
                    if manner != Manner::AcknowledgesNothing {
                        stream.write_all(&[0x40, 2, packet_id[0], packet_id[1]]).await?;
                    }
                    continue;
                }
                if matches!(manner, Manner::ClosesAt(poison) if is_among(poison)) {
                    return Ok(());
                }
                if let Manner::Answers { sequence, reason, times } = manner
                    && is_among(sequence)
                    && shared.lock().unwrap().answered < times
                {
                    shared.lock().unwrap().answered += 1;
                    stream.write_all(&[0x40, 4, packet_id[0], packet_id[1], reason, 0]).await?;
                    continue;
                }
                let refusal = match manner {
                    Manner::RefusesEvents(reason) => Some((reason, false)),
                    Manner::RefusesAndHangsUp { sensor, reason } if topic.ends_with(sensor) => Some((reason, true)),
                    _ => None,
                };
                if let Some((reason, hangs_up)) = refusal {
                    shared.lock().unwrap().answered += 1;
                    stream.write_all(&[0x40, 4, packet_id[0], packet_id[1], reason, 0]).await?;
                    if hangs_up {
                        // Its words are to arrive before its end does.
                        stream.shutdown().await?;
                        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
                        return Ok(());
                    }
                    continue;
                }
                let is_left_out = matches!(manner, Manner::LeavesOut(number) if is_among(number));
                {
                    let mut shared = shared.lock().unwrap();
                    shared.messages.push(all.len());
                    shared.payload_bytes += body.len() - start;
                    shared.events.extend(all);
                }
                events += 1;
                match manner {
                    Manner::AcknowledgesNothing | Manner::AcknowledgesStatusOnly => continue,
                    Manner::LeavesOut(_) if is_left_out => {}
                    Manner::ClosesAfter(count) if events > count => return Ok(()),
                    Manner::Goodbye(reason) => {
                        stream.write_all(&[0xe0, 2, reason, 0]).await?;
                        return Ok(());
                    }
                    Manner::Narrow { .. } => {
                        pending.push(packet_id);
                        {
                            let mut shared = shared.lock().unwrap();
                            shared.pending_max = shared.pending_max.max(pending.len());
                        }
                        if pending.len() >= 2 {
                            for id in pending.drain(..) {
                                stream.write_all(&[0x40, 2, id[0], id[1]]).await?;
                            }
                        }
                    }
                    Manner::AcknowledgesBackwards if held.is_none() => held = Some(packet_id),
                    _ => {
                        stream.write_all(&[0x40, 2, packet_id[0], packet_id[1]]).await?;
                        if let Some(earlier) = held.take() {
                            stream.write_all(&[0x40, 2, earlier[0], earlier[1]]).await?;
                        }
                    }
                }
            }
            12 => stream.write_all(&[0xD0, 0]).await?,
            14 => {
                shared.lock().unwrap().disconnects += 1;
                return Ok(());
            }
            other => panic!("unexpected packet type {other}"),
        }
    }
}

async fn remaining_length(stream: &mut TcpStream) -> std::io::Result<usize> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
}
