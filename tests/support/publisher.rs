//! A sensor's side of the local broker: publishes at QoS 1 and knows what the broker has taken.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::mqtt::{Packet, Session, publish_frame};
use super::wait::holds_within;

/// Messages on the way at once.
const WINDOW: usize = 100;

/// How long a broker may be away before a test has failed.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// Publishes in order. A message that was not acknowledged when the connection broke is published again on the next,
/// before anything new, so the broker may have it twice but never misses it.
#[derive(Debug)]
pub struct Publisher {
    address: SocketAddr,
    client_id: String,
    session: Option<Session>,
    /// In order of publication; the packet id is that of the current connection.
    unacknowledged: VecDeque<(u16, String, Vec<u8>)>,
    packet_id: u16,
    acknowledged: u64,
}

impl Publisher {
    /// Connects at the first publish.
    pub fn new(address: SocketAddr, client_id: &str) -> Self {
        Self {
            address,
            client_id: client_id.to_owned(),
            session: None,
            unacknowledged: VecDeque::new(),
            packet_id: 0,
            acknowledged: 0,
        }
    }

    /// Sends a message; returns once the window has room again, so at most [`WINDOW`] are not acknowledged.
    pub fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>) {
        let packet_id = self.next_id();
        let bytes = publish_frame(topic, payload.as_ref(), Some(packet_id), false);
        self.unacknowledged.push_back((packet_id, topic.to_owned(), payload.as_ref().to_vec()));
        // On a new connection `reconnect` has already sent it with the others.
        if self.session.as_mut().is_some_and(|session| session.send(&bytes).is_ok()) {
            self.receive_down_to(WINDOW - 1);
        } else {
            self.session = None;
            self.receive_down_to(WINDOW - 1);
        }
    }

    /// Sends a retained message, not counted and not repeated.
    pub fn retain(&mut self, topic: &str, payload: &[u8]) {
        self.flush();
        let packet_id = self.next_id();
        let session = self.session.as_mut().expect("flush leaves a connection");
        session.send(&publish_frame(topic, payload, Some(packet_id), true)).expect("broker takes a retained message");
        self.unacknowledged.push_back((packet_id, topic.to_owned(), payload.to_vec()));
        self.flush();
    }

    /// Returns once the broker has acknowledged everything.
    pub fn flush(&mut self) {
        self.receive_down_to(0);
    }

    /// Messages the broker has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn next_id(&mut self) -> u16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
        self.packet_id
    }

    fn receive_down_to(&mut self, left: usize) {
        let mut progress = Instant::now();
        while self.session.is_none() || self.unacknowledged.len() > left {
            let before = self.acknowledged;
            if let Err(error) = self.receive() {
                self.session = None;
                assert!(progress.elapsed() < AWAY_MAX, "publishing to {}: {error}", self.address);
            }
            if self.acknowledged > before {
                progress = Instant::now();
            }
            assert!(progress.elapsed() < AWAY_MAX, "{} acknowledges nothing", self.address);
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        if self.session.is_none() {
            self.reconnect()?;
        }
        let session = self.session.as_mut().expect("connected above");
        if let Some(Packet::PubAck(packet_id)) = session.poll()? {
            // Brokers acknowledge in order, but nothing here depends on it.
            let place = self.unacknowledged.iter().position(|(id, ..)| *id == packet_id);
            if let Some(place) = place {
                self.unacknowledged.remove(place);
                self.acknowledged += 1;
            }
        }
        Ok(())
    }

    fn reconnect(&mut self) -> io::Result<()> {
        let mut session = None;
        let mut last = io::Error::other("not tried");
        holds_within(Duration::from_secs(1), || match Session::connect(self.address, &self.client_id, true) {
            Ok(connected) => {
                session = Some(connected);
                true
            }
            Err(error) => {
                last = error;
                false
            }
        });
        let Some(mut session) = session else { return Err(last) };
        for at in 0..self.unacknowledged.len() {
            let packet_id = self.next_id();
            let (id, topic, payload) = &mut self.unacknowledged[at];
            *id = packet_id;
            session.send(&publish_frame(topic, payload, Some(packet_id), false))?;
        }
        self.session = Some(session);
        Ok(())
    }
}
