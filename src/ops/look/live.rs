//! What all open pages and terminals share: one look a second, written once for all of them.
//!
//! Owns the task that looks, and the pages that are open. Nothing is looked at while no page is open. A page that is
//! opened gets the whole state, and from then on what has changed; one that does not keep up misses changes, and gets
//! the whole state again. Never waits for a page, nor long for the engine.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::state::Looker;
use super::{LookAt, Onlooker};
use crate::counters::Counters;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A state without open pages may be this old when it is given out again.
const FULL_FOR: Duration = Duration::from_secs(1);

/// Most open pages. Half of the connections there may be, so that a health check always finds room.
const PAGES_MAX: usize = 16;

/// Most terminals. Beside the pages, so that whoever may open the control socket is not kept out by browsers.
const TERMINALS_MAX: usize = 8;

/// Messages that wait for a page; beyond it the page is not keeping up.
const MESSAGES_WAITING_MAX: usize = 4;

/// Questions that wait for the task.
const QUESTIONS_WAITING_MAX: usize = 32;

enum Question {
    Full(oneshot::Sender<Bytes>),
    Join(Who, oneshot::Sender<Result<mpsc::Receiver<Bytes>, NoRoom>>),
    Close,
}

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A browser.
    Page,
    /// `tidegate top`.
    Terminal,
}

impl Who {
    fn most(self) -> usize {
        match self {
            Self::Page => PAGES_MAX,
            Self::Terminal => TERMINALS_MAX,
        }
    }
}

/// Why a page cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// There are as many as there may be.
    Full,
    /// The gateway is stopping.
    Stopping,
}

/// To the task that looks.
#[derive(Clone)]
pub struct Live {
    questions: mpsc::Sender<Question>,
    counters: Arc<Counters>,
}

impl Live {
    /// Starts the task; it ends with the last handle.
    pub fn spawn(at: LookAt, counters: Arc<Counters>) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_WAITING_MAX);
        let task = Task { looker: Looker::new(at, Arc::clone(&counters)), pages: Vec::new(), full: None };
        tokio::spawn(task.run(asked));
        Self { questions, counters }
    }

    /// What is counted, and kept to be shown.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The whole state as JSON; `None` when the gateway is stopping.
    pub async fn full(&self) -> Option<Bytes> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(Question::Full(reply)).await.ok()?;
        answer.await.ok()
    }

    /// The gateway stops: ends all streams, and gives nothing out any more.
    pub async fn close(&self) {
        // Closed already is as good.
        let _ = self.questions.send(Question::Close).await;
    }

    /// Opens a page: a stream of server-sent events.
    ///
    /// # Errors
    /// See [`NoRoom`].
    pub async fn join(&self, who: Who) -> Result<Updates, NoRoom> {
        let looks = (who == Who::Terminal).then(|| Onlooker::new(Arc::clone(&self.counters)));
        let (reply, answer) = oneshot::channel();
        self.questions.send(Question::Join(who, reply)).await.map_err(|_| NoRoom::Stopping)?;
        let messages = answer.await.map_err(|_| NoRoom::Stopping)??;
        Ok(Updates { messages, _looks: looks })
    }
}

/// The body of a stream of server-sent events.
pub struct Updates {
    messages: mpsc::Receiver<Bytes>,
    /// A terminal's: what it shows is kept only for as long as somebody looks.
    _looks: Option<Onlooker>,
}

impl Body for Updates {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.messages.poll_recv(context).map(|message| message.map(|message| Ok(Frame::data(message))))
    }
}

struct OpenPage {
    who: Who,
    messages: mpsc::Sender<Bytes>,
    /// It has missed something, and gets the whole state next.
    behind: bool,
}

struct Task {
    looker: Looker,
    pages: Vec<OpenPage>,
    /// The whole state at the last look.
    full: Option<(Instant, Bytes)>,
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<Question>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                question = asked.recv() => match question {
                    None | Some(Question::Close) => return,
                    Some(Question::Full(reply)) => {
                        let full = self.full().await;
                        // Who has given up waiting needs no answer.
                        let _ = reply.send(full);
                    }
                    Some(Question::Join(who, reply)) => {
                        let joined = self.join(who).await;
                        let _ = reply.send(joined);
                    }
                },
                _ = looks.tick(), if !self.pages.is_empty() => self.look().await,
            }
        }
    }

    /// The whole state as of the last look, or of now if that is long ago.
    async fn full(&mut self) -> Bytes {
        if let Some((made, full)) = &self.full
            && made.elapsed() < FULL_FOR
        {
            return full.clone();
        }
        self.looker.look().await;
        let full = Bytes::from(self.looker.full());
        self.full = Some((Instant::now(), full.clone()));
        full
    }

    async fn join(&mut self, who: Who) -> Result<mpsc::Receiver<Bytes>, NoRoom> {
        self.pages.retain(|page| !page.messages.is_closed());
        if self.pages.iter().filter(|page| page.who == who).count() >= who.most() {
            return Err(NoRoom::Full);
        }
        let (messages, updates) = mpsc::channel(MESSAGES_WAITING_MAX);
        let full = self.full().await;
        if self.pages.is_empty() {
            // Changes count from here.
            self.looker.delta();
        }
        // The channel is new and empty.
        let _ = messages.try_send(event(&full));
        self.pages.push(OpenPage { who, messages, behind: false });
        Ok(updates)
    }

    /// One look, and what is new to all pages.
    async fn look(&mut self) {
        self.pages.retain(|page| !page.messages.is_closed());
        if self.pages.is_empty() {
            self.looker.rest();
            self.full = None;
            return;
        }
        self.looker.look().await;
        // What was given out before is older than the changes that follow.
        self.full = None;
        let delta = self.looker.delta();
        let (mut whole, delta) = (None, delta.map(|delta| event(&Bytes::from(delta))));
        for page in &mut self.pages {
            let message = match &delta {
                Some(delta) if !page.behind => delta,
                _ => whole.get_or_insert_with(|| event(&Bytes::from(self.looker.full()))),
            };
            page.behind = page.messages.try_send(message.clone()).is_err();
        }
    }
}

/// As a server-sent event. JSON as we write it has no line ends.
fn event(json: &Bytes) -> Bytes {
    let mut event = Vec::with_capacity(json.len() + 8);
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(json);
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}
