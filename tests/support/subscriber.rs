//! A subscriber to everything below `tidegate/` that stays whatever happens to its broker.
//!
//! Owns the thread and the session, which outlives its connections. A message is acknowledged only when it has been
//! taken. Never looks into one: that is for who takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::mqtt::{Door, Packet, Session, puback_frame};
use super::wait::SOON;

/// How long it waits before it tries again to reach a broker that is down.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// The subscriber; ends with its value.
#[derive(Debug)]
pub struct Subscriber {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    session: (Door, String),
}

impl Subscriber {
    /// Subscribes; returns when the broker has confirmed it. `take` is given the topic and the payload of each message.
    pub fn start(door: Door, client_id: &str, mut take: impl FnMut(String, &[u8]) + Send + 'static) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (confirmed, confirmation) = mpsc::channel();
        let session = (door, client_id.to_owned());
        let thread = thread::spawn({
            let (session, ended) = (session.clone(), Arc::clone(&ended));
            move || {
                while !ended.load(Ordering::SeqCst) {
                    // A broker that is down or restarts is part of many tests; the session waits there for us.
                    let _ = receive(&session, &mut take, &ended, &confirmed);
                    thread::park_timeout(RECONNECT_PAUSE);
                }
            }
        });
        confirmation.recv_timeout(SOON).expect("the broker confirms the subscription");
        Self { ended, thread: Some(thread), session }
    }

    /// Ends it and its session, for which the broker would go on keeping every message.
    pub fn leave(self) {
        let (door, client_id) = self.session.clone();
        drop(self);
        Session::enter(&door, &client_id, true).expect("the broker ends the session");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection.
fn receive(
    (door, client_id): &(Door, String),
    take: &mut impl FnMut(String, &[u8]),
    ended: &AtomicBool,
    confirmed: &mpsc::Sender<()>,
) -> std::io::Result<()> {
    let mut session = Session::enter(door, client_id, false)?;
    if session.session_present {
        // Nobody listens after the first time.
        let _ = confirmed.send(());
    } else {
        session.subscribe("tidegate/#")?;
    }
    while !ended.load(Ordering::SeqCst) {
        match session.poll()? {
            Some(Packet::Publish { topic, payload, packet_id, .. }) => {
                take(topic, &payload);
                if let Some(packet_id) = packet_id {
                    session.send(&puback_frame(packet_id))?;
                }
            }
            Some(Packet::SubAck(granted)) => {
                assert_eq!(granted, [1], "the broker grants QoS 1");
                let _ = confirmed.send(());
            }
            Some(other) => panic!("the subscriber got {other:?}"),
            None => {}
        }
    }
    Ok(())
}
