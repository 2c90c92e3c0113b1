//! Home Assistant's view of the alarms: a task beside the data path that keeps retained messages at a local broker in
//! step with the engine.
//!
//! Owns one connection of its own, what has been published over it, and a file that remembers which entities there are
//! (`<store.path>/home-assistant`: a line each, `<alarm> <sensor>`), so that those of alarms that are not configured any
//! more are removed after a restart as well. Asks the engine, at most every [`LOOK_AGAIN_AFTER`], and never makes it
//! wait. While the broker is away nothing is kept for it: after a reconnection everything is sent as it is then.

mod entity;
mod memory;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::clock::SystemClock;
use crate::config::model::{Alarm, HomeAssistant, MqttSource};
use crate::config::pattern;
use crate::forward::backoff::Backoff;
use crate::forward::link::{Fault, Link, Message, Options, Will};
use crate::forward::options::plain_options;
use crate::forward::tls::expiry::Certificates;
use crate::ops::command::Command;
use crate::shutdown::Shutdown;
use crate::source::broker_view;
use crate::store::handle::StoreStatus;
use entity::{Entity, Key, Names};
use memory::Memory;

/// Most entities: what a person can look at, and what a small broker keeps without harm.
pub const ENTITIES_MAX: usize = 1_000;

/// After a change the engine is asked again no sooner than this: a burst of events is one look.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The engine is asked at least this often: a sensor that became known made no event.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the engine may take to answer; longer means that it waits for a full store.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a farewell may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// Shortest and longest wait before the broker is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Messages without acknowledgement at a time.
const INFLIGHT_MAX: u16 = 16;

/// What the task is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// `[home_assistant]`
    pub config: HomeAssistant,
    /// The source whose broker is used.
    pub broker: MqttSource,
    /// The alarms that are configured.
    pub alarms: Vec<Alarm>,
    /// `gateway.id`
    pub gateway: Arc<str>,
    /// `store.path`
    pub store_path: PathBuf,
}

/// What it asks and listens to.
#[derive(Clone)]
pub struct Surroundings {
    /// To the engine.
    pub commands: mpsc::Sender<Command>,
    /// Changes when something is stored.
    pub store: watch::Receiver<StoreStatus>,
    /// The time.
    pub clock: Arc<SystemClock>,
}

/// Runs until shutdown.
pub async fn run(plan: Plan, surroundings: Surroundings, mut shutdown: Shutdown) {
    let names = Names::new(&plan.gateway, &plan.config.discovery_prefix);
    let memory = Memory::new(&plan.store_path);
    let known = memory.load().await;
    let mut task = Task {
        plan,
        surroundings,
        names,
        memory,
        known,
        entities: BTreeMap::new(),
        published: BTreeMap::new(),
        outbox: VecDeque::new(),
        is_bounded: false,
    };
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    let mut is_loss_told = false;
    loop {
        let began = Instant::now();
        let why = tokio::select! {
            biased;
            () = shutdown.wait() => return,
            connected = timeout(CONNECT_TIMEOUT, task.connect()) => match connected {
                Err(_) => "it does not answer".to_owned(),
                Ok(Err(why)) => why,
                Ok(Ok(mut link)) => {
                    tracing::info!(source = %task.plan.config.source, "Home Assistant: shown at the source's broker");
                    is_loss_told = false;
                    tokio::select! {
                        biased;
                        () = shutdown.wait() => {
                            let _ = timeout(GOODBYE, task.leave(&mut link)).await;
                            return;
                        }
                        why = task.serve(&mut link) => why,
                    }
                }
            },
        };
        if !std::mem::replace(&mut is_loss_told, true) {
            let source = &task.plan.config.source;
            tracing::warn!(%source, why, "Home Assistant: the source's broker is away; all is sent when it is back");
        }
        let wait = backoff.after(began.elapsed(), fastrand::f64());
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Task {
    plan: Plan,
    surroundings: Surroundings,
    names: Names,
    memory: Memory,
    /// Entities that may be at the broker, also from an earlier run.
    known: BTreeSet<Key>,
    entities: BTreeMap<Key, Entity>,
    /// What of it this connection has sent.
    published: BTreeMap<Key, Entity>,
    /// Topic and payload, retained all.
    outbox: VecDeque<(String, Vec<u8>)>,
    /// Too many entities has been told.
    is_bounded: bool,
}

impl Task {
    async fn connect(&self) -> Result<Link, String> {
        let view = broker_view(&self.plan.broker);
        let (client_id, earliest) = (self.names.client_id(), self.surroundings.clock.earliest());
        // Reading a slow card must not hold up the other tasks.
        let read =
            tokio::task::spawn_blocking(move || plain_options(&view, &client_id, earliest, &Certificates::default()));
        let options = read.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let will = Will { topic: self.names.availability(), payload: b"offline".to_vec(), retain: true };
        Link::connect(&Options { will: Some(will), ..options }).await.map_err(|fault| format!("{fault:?}"))
    }

    /// Says goodbye: a proper leave would keep the broker from publishing our will.
    async fn leave(&self, link: &mut Link) -> Result<(), Fault> {
        let topic = self.names.availability();
        link.publish(Message {
            topic: &topic,
            payload: b"offline",
            retain: true,
            packet_id: u16::MAX,
            properties: &[],
        })
        .await?;
        link.disconnect().await
    }

    /// Keeps the broker in step until the connection ends; says why.
    async fn serve(&mut self, link: &mut Link) -> String {
        self.published.clear();
        self.outbox.clear();
        let gone: Vec<Key> = self.known.iter().filter(|key| !self.is_configured(key)).cloned().collect();
        for key in gone {
            self.outbox.extend(self.names.removal(&key).map(|topic| (topic, Vec::new())));
            self.known.remove(&key);
        }
        self.outbox.push_back((self.names.availability(), b"online".to_vec()));
        let (mut inflight, mut packet_id) = (0_u16, 0_u16);
        let mut next_look = Instant::now();
        let mut seen = 0;
        loop {
            while inflight < INFLIGHT_MAX
                && let Some((topic, payload)) = self.outbox.pop_front()
            {
                packet_id = packet_id % (u16::MAX - 1) + 1;
                inflight += 1;
                let message = Message { topic: &topic, payload: &payload, retain: true, packet_id, properties: &[] };
                if let Err(fault) = link.publish(message).await {
                    return format!("{fault:?}");
                }
            }
            tokio::select! {
                answer = link.next() => match answer {
                    Ok(_) => inflight = inflight.saturating_sub(1),
                    Err(fault) => return format!("{fault:?}"),
                },
                changed = self.surroundings.store.changed() => {
                    if changed.is_err() {
                        return "the gateway is stopping".to_owned();
                    }
                    let last = self.surroundings.store.borrow_and_update().last_sequence;
                    if last != seen {
                        seen = last;
                        next_look = next_look.min(Instant::now() + LOOK_AGAIN_AFTER);
                    }
                }
                // Only when what was found before is on its way: this bounds what waits.
                () = tokio::time::sleep_until(next_look), if self.outbox.is_empty() => {
                    next_look = Instant::now() + LOOK_EVERY;
                    self.look().await;
                    self.compare().await;
                }
            }
        }
    }

    /// Asks the engine. When it does not answer, what was known stands.
    async fn look(&mut self) {
        let Some(sensors) = self.ask(Command::Sensors).await else { return };
        let Some(alarms) = self.ask(Command::Alarms).await else { return };
        let (entities, left_out) = entity::all(&sensors, &alarms, ENTITIES_MAX);
        if left_out > 0 && !self.is_bounded {
            tracing::warn!(left_out, shown = ENTITIES_MAX, "Home Assistant: there are more alarms than are shown");
        }
        self.is_bounded = left_out > 0;
        self.entities = entities;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.surroundings.commands.send(command(reply)).await.ok()?;
            answer.await.ok()
        };
        timeout(ANSWER_WITHIN, asked).await.ok().flatten()
    }

    /// Puts what is new into the outbox, and remembers new entities before they are told of.
    async fn compare(&mut self) {
        let before = self.known.len();
        self.known.extend(self.entities.keys().cloned());
        if self.known.len() != before {
            self.memory.save(&self.known).await;
        }
        for (key, entity) in &self.entities {
            let old = self.published.get(key);
            if old.is_none() {
                self.outbox.push_back((self.names.config(key), self.names.discovery(key)));
            }
            if old.is_none_or(|old| old.on != entity.on) {
                let word: &[u8] = if entity.on { b"ON" } else { b"OFF" };
                self.outbox.push_back((self.names.state(key), word.to_vec()));
            }
            if old.is_none_or(|old| old.is_other(entity)) {
                self.outbox.push_back((self.names.attributes(key), entity.attributes(key)));
                self.published.insert(key.clone(), entity.clone());
            }
        }
        let is_gone = |key: &Key| !self.entities.contains_key(key) && !self.is_configured(key);
        let gone: Vec<Key> = self.published.keys().filter(|key| is_gone(key)).cloned().collect();
        for key in gone {
            self.published.remove(&key);
            self.outbox.extend(self.names.removal(&key).map(|topic| (topic, Vec::new())));
        }
    }

    fn is_configured(&self, key: &Key) -> bool {
        let alarms = self.plan.alarms.iter().filter(|alarm| alarm.name == key.alarm);
        alarms.flat_map(|alarm| &alarm.sensors).any(|wanted| pattern::matches(wanted, &key.sensor))
    }
}
