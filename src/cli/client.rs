//! The asking side of the control socket.
//!
//! Owns one request and its answer over a unix socket. Never changes anything by itself.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Failure;

/// Longest answer taken, bytes. The list of all alarms on 20,000 sensors is a few MB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest wait for an answer; the gateway itself gives up earlier.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Asks the gateway that listens on `socket`.
///
/// # Errors
/// In words for the operator: no gateway there, no permission, or what the gateway answered.
pub fn get<T: DeserializeOwned>(socket: &Path, route: &str) -> Result<T, Failure> {
    call(socket, Method::GET, route, Bytes::new())
}

/// Tells the gateway that listens on `socket`.
///
/// # Errors
/// As [`get`].
pub fn post<T: DeserializeOwned>(socket: &Path, route: &str, body: &impl Serialize) -> Result<T, Failure> {
    let body = serde_json::to_vec(body).map_err(|error| Failure::Failed(format!("error: {error}")))?;
    call(socket, Method::POST, route, Bytes::from(body))
}

/// Asks the gateway that listens on `socket` for a text.
///
/// # Errors
/// As [`get`].
pub fn get_text(socket: &Path, route: &str) -> Result<Bytes, Failure> {
    call_bytes(socket, Method::GET, route, Bytes::new())
}

fn call<T: DeserializeOwned>(socket: &Path, method: Method, route: &str, body: Bytes) -> Result<T, Failure> {
    let bytes = call_bytes(socket, method, route, body)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::Failed(format!("error: the gateway's answer is not understood: {error}")))
}

fn call_bytes(socket: &Path, method: Method, route: &str, body: Bytes) -> Result<Bytes, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("error: the runtime cannot start: {error}")))?;
    runtime
        .block_on(async { tokio::time::timeout(ANSWER_WITHIN, exchange(socket, method, route, body)).await })
        .map_err(|_| Failure::Failed("error: the gateway did not answer in time".to_owned()))?
}

/// One question and its answer.
pub(super) async fn exchange(socket: &Path, method: Method, route: &str, body: Bytes) -> Result<Bytes, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("error: asking the gateway failed: {error}"));
    let stream = tokio::net::UnixStream::connect(socket).await.map_err(|error| no_gateway(socket, &error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(route)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| failed(&error))?
        .to_bytes();
    if status.is_success() {
        Ok(bytes)
    } else {
        Err(Failure::Failed(format!("error: {}", String::from_utf8_lossy(&bytes))))
    }
}

pub(super) fn no_gateway(socket: &Path, error: &std::io::Error) -> Failure {
    let shown = socket.display();
    let help = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            "is the gateway running? `systemctl status tidegate`; its log says so if it could not make its socket; another \
             one is named by --socket"
        }
        std::io::ErrorKind::PermissionDenied => "only root and the group `tidegate` may ask: use sudo",
        _ => "see `journalctl -u tidegate`",
    };
    Failure::Failed(format!("error: no gateway answers on {shown}: {error}\n  = help: {help}"))
}

/// As JSON for scripts.
///
/// # Errors
/// Never for the types we show; typed all the same.
pub fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Failed(format!("error: {error}")))
}

/// Writes to standard output; a reader that has closed it (`| head`) is no fault of ours.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn print(write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Failure> {
    print_to(&mut std::io::stdout().lock(), write)
}

/// As [`print`], to somewhere else.
///
/// # Errors
/// As [`print`].
pub fn print_to(out: &mut dyn Write, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Failure> {
    match write(out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("error: standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
