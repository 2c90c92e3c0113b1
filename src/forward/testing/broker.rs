//! A broker of a few lines that remembers what it got and can misbehave. It survives its own "restarts".

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
    status: Vec<Got>,
    connections: usize,
    disconnects: usize,
    client_ids: Vec<String>,
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

    pub fn status(&self) -> Vec<Got> {
        self.shared.lock().unwrap().status.clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.lock().unwrap().connections
    }

    pub fn disconnects(&self) -> usize {
        self.shared.lock().unwrap().disconnects
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

async fn serve(mut stream: TcpStream, manner: &Mutex<Manner>, shared: &Mutex<Shared>) -> std::io::Result<()> {
    shared.lock().unwrap().connections += 1;
    let mut held: Option<[u8; 2]> = None;
    let mut events = 0;
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
        match first >> 4 {
            1 => match manner {
                Manner::Mute => std::future::pending().await,
                Manner::ClosesAtConnect => return Ok(()),
                Manner::Refuses(code) => {
                    stream.write_all(&[0x20, 2, 0, code]).await?;
                    return Ok(());
                }
                _ => {
                    let id_len = usize::from(u16::from_be_bytes([body[10], body[11]]));
                    let id = String::from_utf8(body[12..12 + id_len].to_vec()).unwrap();
                    shared.lock().unwrap().client_ids.push(id);
                    stream.write_all(&[0x20, 2, 0, 0]).await?;
                }
            },
            3 => {
                let topic_len = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let topic = String::from_utf8(body[2..2 + topic_len].to_vec()).unwrap();
                let packet_id = [body[2 + topic_len], body[3 + topic_len]];
                let payload = serde_json::from_slice(&body[4 + topic_len..]).unwrap();
                let got = Got { topic, payload };
                if got.topic.ends_with("/status") {
                    if manner == Manner::ClosesAtStatus {
                        return Ok(());
                    }
                    shared.lock().unwrap().status.push(got);
                    if manner != Manner::AcknowledgesNothing {
                        stream.write_all(&[0x40, 2, packet_id[0], packet_id[1]]).await?;
                    }
                    continue;
                }
                if matches!(manner, Manner::ClosesAt(poison) if poison == got.sequence()) {
                    return Ok(());
                }
                let is_left_out = matches!(manner, Manner::LeavesOut(number) if number == got.sequence());
                shared.lock().unwrap().events.push(got);
                events += 1;
                match manner {
                    Manner::AcknowledgesNothing | Manner::AcknowledgesStatusOnly => continue,
                    Manner::LeavesOut(_) if is_left_out => {}
                    Manner::ClosesAfter(count) if events > count => return Ok(()),
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
