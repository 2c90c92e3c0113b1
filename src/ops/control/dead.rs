//! The dead letters' routes of the control socket: shown, sent again, dropped.
//!
//! Owns what is said about them. A change is answered when it is on disk.

use std::future::Future;

use axum::Router;
use axum::extract::{Json, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::{ANSWER_WITHIN, Answer, Routes};
use crate::config::model::{Encoding, Severity};
use crate::event::{EventData, wire};
use crate::store::handle::{Closed, DeadLetter, Which};

/// Which letters are meant: one, or all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadSelection {
    /// A sequence number or an event's id.
    #[serde(default)]
    pub letter: Option<String>,
    /// All of them.
    #[serde(default)]
    pub all: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DeadAnswer {
    /// How many letters it was about.
    pub letters: u64,
}

/// One letter, as listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadLine {
    /// The event's sequence number.
    pub sequence: u64,
    /// The event's id.
    pub id: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it is about: the sensor's name, or `gateway`, or `source/<name>`.
    pub sensor: String,
    /// The alarm, where it is an alarm's.
    pub alarm: Option<String>,
    /// How urgent.
    pub severity: Severity,
    /// When it happened, RFC 3339.
    pub event_time: String,
    /// When it was given up, the last time, RFC 3339.
    pub time: String,
    /// Why.
    pub reason: String,
    /// How often it was sent for nothing.
    pub attempts: u32,
    /// It waits to be sent again.
    pub retry: bool,
}

/// One attempt to send it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptShown {
    /// When it ended, RFC 3339.
    pub time: String,
    /// What happened.
    pub text: String,
}

/// One letter with all there is to say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeadShown {
    /// As listed.
    #[serde(flatten)]
    pub line: DeadLine,
    /// The last attempts, oldest first.
    pub history: Vec<AttemptShown>,
    /// The whole event, as it is sent.
    pub event: serde_json::Value,
}

impl DeadLine {
    fn new(letter: &DeadLetter) -> Self {
        let event = &letter.event;
        let alarm = match &event.data {
            EventData::Alarm(alarm) => Some(alarm.alarm.to_string()),
            _ => None,
        };
        Self {
            sequence: event.sequence,
            id: event.id.to_string(),
            event_type: event.data.event_type().to_owned(),
            sensor: event.subject.to_string(),
            alarm,
            severity: event.severity,
            event_time: event.time.to_string(),
            time: letter.time.to_string(),
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            retry: letter.retry,
        }
    }
}

/// Reads a sequence number or an event's id.
///
/// # Errors
/// In words, when it is neither.
pub fn parse_letter(text: &str) -> Result<Which, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(Which::Sequence(sequence));
    }
    text.parse().map(Which::Id).map_err(|_| format!("`{text}` is neither a sequence number nor an event's id"))
}

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new()
        .route("/v1/dead", get(list))
        .route("/v1/dead/{letter}", get(show))
        .route("/v1/dead/retry", post(retry))
        .route("/v1/dead/drop", post(drop_letters))
}

async fn list(State(routes): State<Routes>) -> Answer<Vec<DeadLine>> {
    let letters = within(routes.store.dead_letters()).await?;
    Ok(Json(letters.iter().map(DeadLine::new).collect()))
}

async fn show(State(routes): State<Routes>, Path(letter): Path<String>) -> Answer<DeadShown> {
    let which = parse_letter(&letter).map_err(|what| (StatusCode::BAD_REQUEST, what))?;
    let letters = within(routes.store.dead_letters()).await?;
    let is_meant = |found: &&DeadLetter| match which {
        Which::All => true,
        Which::Sequence(sequence) => found.event.sequence == sequence,
        Which::Id(id) => found.event.id == id,
    };
    let Some(found) = letters.iter().find(is_meant) else {
        return Err((StatusCode::NOT_FOUND, format!("there is no dead letter {letter}")));
    };
    let mut bytes = Vec::new();
    wire::encode(&found.event, &routes.gateway, Encoding::Json, true, &mut bytes);
    let event = serde_json::from_slice(&bytes)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("the event cannot be shown: {error}")))?;
    let history = found
        .history
        .iter()
        .map(|attempt| AttemptShown { time: attempt.time.to_string(), text: attempt.text.clone() })
        .collect();
    Ok(Json(DeadShown { line: DeadLine::new(found), history, event }))
}

async fn retry(State(routes): State<Routes>, Json(meant): Json<DeadSelection>) -> Answer<DeadAnswer> {
    let letters = within(routes.store.retry_dead(which(&meant)?)).await?;
    tracing::info!(letters, letter = meant.letter, all = meant.all, "operator's command: send dead letters again");
    Ok(Json(DeadAnswer { letters }))
}

async fn drop_letters(State(routes): State<Routes>, Json(meant): Json<DeadSelection>) -> Answer<DeadAnswer> {
    // The store logs what it drops.
    let letters = within(routes.store.drop_dead(which(&meant)?)).await?;
    Ok(Json(DeadAnswer { letters }))
}

fn which(meant: &DeadSelection) -> Result<Which, (StatusCode, String)> {
    match (&meant.letter, meant.all) {
        (None, true) => Ok(Which::All),
        (Some(letter), false) => parse_letter(letter).map_err(|what| (StatusCode::BAD_REQUEST, what)),
        _ => Err((StatusCode::BAD_REQUEST, "name one letter, or say `all`".to_owned())),
    }
}

/// Waits for the store, but not for as long as a broken disk takes.
async fn within<T>(asked: impl Future<Output = Result<T, Closed>>) -> Result<T, (StatusCode, String)> {
    let unavailable = |what: &str| (StatusCode::SERVICE_UNAVAILABLE, what.to_owned());
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Closed)) => Err(unavailable("the gateway is stopping")),
        Err(_) => Err(unavailable(
            "the store cannot write at the moment (`tidegate status` says why); what was asked for is done as soon as it can",
        )),
    }
}
