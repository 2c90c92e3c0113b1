//! The tap's route of the control socket: one JSON object a line for as long as the other side reads.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::{Bytes, Frame};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Routes;
use crate::tap::Listener;

/// Lines sent at once are about so many bytes at most.
const PIECE_BYTES: usize = 32 * 1024;

/// What is to be shown.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapQuery {
    /// Of this source only.
    pub source: Option<String>,
    /// With the bytes as they came.
    #[serde(default)]
    pub raw: bool,
}

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new().route("/v1/tap", get(tap))
}

async fn tap(State(routes): State<Routes>, Query(query): Query<TapQuery>) -> Result<Response, (StatusCode, String)> {
    let status = (routes.status)();
    if let Some(source) = &query.source
        && !status.sources.contains_key(source.as_str())
    {
        let names: Vec<&str> = status.sources.keys().map(|name| &**name).collect();
        let text = format!("there is no source `{source}`\n  = help: there are {}", names.join(", "));
        return Err((StatusCode::NOT_FOUND, text));
    }
    let Some(listener) = routes.tap.listen(query.source, query.raw) else {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "too many look on already".to_owned()));
    };
    let (to, from) = mpsc::channel(1);
    tokio::spawn(pump(listener, to));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(Lines(from))).into_response())
}

/// Hands on what is shown until the other side has gone or the gateway stops. While the other side does not read, what
/// it misses is lost in the tap's ring, not kept here.
async fn pump(mut listener: Listener, to: mpsc::Sender<Bytes>) {
    loop {
        let shown = tokio::select! {
            shown = listener.next() => shown,
            () = to.closed() => return,
        };
        let Some(mut shown) = shown else { return };
        let mut lines = Vec::new();
        loop {
            if serde_json::to_writer(&mut lines, &*shown).is_ok() {
                lines.push(b'\n');
            }
            match listener.next_ready() {
                Some(next) if lines.len() < PIECE_BYTES => shown = next,
                Some(next) => {
                    if to.send(Bytes::from(std::mem::take(&mut lines))).await.is_err() {
                        return;
                    }
                    shown = next;
                }
                None => break,
            }
        }
        if to.send(Bytes::from(lines)).await.is_err() {
            return;
        }
    }
}

/// The answer's body.
struct Lines(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
