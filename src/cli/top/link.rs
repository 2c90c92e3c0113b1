//! The gateway's state as it comes in, on a thread of its own.
//!
//! Owns the connection: opened again and again while no gateway answers, at most once a second. Hears signals, too, so
//! that the terminal is given back. Never writes to the terminal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::model::{History, Message};
use crate::cli::client;
use crate::error::Failure;

/// Pause before the next attempt to reach the gateway.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A gateway that says nothing for so long does not answer: it tells something every second.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Longest message, bytes: 2,000 sensors with ten limits each, and 500 alarms, have some 3 MB.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// News that wait for the screen; beyond it the gateway waits, and then sends the whole state again.
const NEWS_WAITING_MAX: usize = 8;

/// Questions that wait.
const QUESTIONS_WAITING_MAX: usize = 4;

/// What has come in.
#[derive(Debug)]
pub enum News {
    /// The state or a change of it.
    State(Box<Message>),
    /// The last hour of some sensors.
    History(History),
    /// No gateway answers, in words; it is tried again.
    Lost(String),
    /// A signal says to end.
    End,
}

/// Whose last hour is asked for: the numbering, and numbers of rows.
pub type Question = (u32, Vec<u32>);

/// To the thread, and from it.
pub struct Link {
    /// What has come in.
    pub news: mpsc::Receiver<News>,
    /// What is to be asked.
    pub questions: mpsc::Sender<Question>,
}

impl Link {
    /// Starts the thread; it ends with this value, or with the process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(socket: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::Failed(format!("error: the thread cannot start: {error}"));
        let (tell, news) = mpsc::channel(NEWS_WAITING_MAX);
        let (questions, asked) = mpsc::channel(QUESTIONS_WAITING_MAX);
        let socket = socket.to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        // Before the terminal is taken: none of them may come in between.
        let ends = {
            let _inside = runtime.enter();
            [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()]
                .map(signal)
                .into_iter()
                .collect::<std::io::Result<Vec<_>>>()
                .map_err(failed)?
        };
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = any(ends) => drop(tell.send(News::End).await),
                    () = follow(&socket, &tell, asked) => {}
                }
            });
        };
        std::thread::Builder::new().name("link".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { news, questions })
    }
}

/// Returns with the first of the signals.
async fn any(mut ends: Vec<tokio::signal::unix::Signal>) {
    std::future::poll_fn(|context| {
        let heard = ends.iter_mut().any(|one| one.poll_recv(context).is_ready());
        if heard { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

async fn follow(socket: &Path, tell: &mpsc::Sender<News>, mut asked: mpsc::Receiver<Question>) {
    loop {
        let ended = tokio::select! {
            ended = stream(socket, tell) => ended,
            () = answer(socket.to_owned(), tell, &mut asked) => return,
        };
        let why = match ended {
            Ok(()) => "the gateway has stopped".to_owned(),
            Err(Failure::Failed(why)) => why,
            Err(_) => "the gateway cannot be asked".to_owned(),
        };
        if tell.send(News::Lost(why)).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// Asks what is to be asked, one after the other; returns when nobody is there to ask any more.
async fn answer(socket: PathBuf, tell: &mpsc::Sender<News>, asked: &mut mpsc::Receiver<Question>) {
    while let Some((epoch, rows)) = asked.recv().await {
        let rows: Vec<String> = rows.iter().map(u32::to_string).collect();
        let route = format!("/v1/state/history?epoch={epoch}&rows={}", rows.join(","));
        let answer = client::exchange(&socket, Method::GET, &route, Bytes::new());
        // One that is refused is asked again with the next whole state, which is then on its way.
        let Ok(Ok(bytes)) = tokio::time::timeout(SILENCE_MAX, answer).await else { continue };
        let Ok(history) = serde_json::from_slice(&bytes) else { continue };
        if tell.send(News::History(history)).await.is_err() {
            return;
        }
    }
}

async fn stream(socket: &Path, tell: &mpsc::Sender<News>) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("asking the gateway failed: {error}"));
    let silent = |_| Failure::Failed("the gateway does not answer".to_owned());
    let connect = tokio::net::UnixStream::connect(socket);
    let connected = tokio::time::timeout(SILENCE_MAX, connect).await.map_err(silent)?;
    let connected = connected.map_err(|error| client::no_gateway(socket, &error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connected)).await.map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let _ends_with_us = Abort(connection.abort_handle());
    let request = Request::builder().uri("/v1/state/stream").header("host", "localhost").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| failed(&error))?;
    let response = tokio::time::timeout(SILENCE_MAX, sender.send_request(request)).await.map_err(silent)?;
    let response = response.map_err(|error| failed(&error))?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let bytes = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        let known = status != hyper::StatusCode::NOT_FOUND;
        return Err(match known {
            true => Failure::Failed(text.trim_end().to_owned()),
            false => {
                Failure::Failed("the gateway that answers is of an earlier version and cannot show this".to_owned())
            }
        });
    }
    let mut rest: Vec<u8> = Vec::new();
    while let Some(frame) = tokio::time::timeout(SILENCE_MAX, body.frame()).await.map_err(silent)? {
        let Ok(bytes) = frame.map_err(|error| failed(&error))?.into_data() else { continue };
        // Only what is new can hold an end.
        let mut from = rest.len();
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest[from..].iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=from + end).collect();
            from = 0;
            let Some(json) = line.strip_prefix(b"data: ") else { continue };
            let message = serde_json::from_slice(json).map_err(|error| failed(&error))?;
            if tell.send(News::State(Box::new(message))).await.is_err() {
                return Ok(());
            }
        }
        if rest.len() > MESSAGE_BYTES_MAX {
            return Err(failed(&"a message without end"));
        }
    }
    Ok(())
}

/// Ends a task with this value.
struct Abort(tokio::task::AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}
