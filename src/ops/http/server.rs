//! The port: opened, tried again while another program has it, and served within limits.
//!
//! Owns the listening socket and what one peer may cost: connections, time for a request's head, its size, and time
//! during which nothing can be sent to it. A page that cannot be served never stops the gateway.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::guard::Guard;
use super::token::Token;
use super::{Page, router};
use crate::config::model::Http;
use crate::counters::Counters;
use crate::forward::repeats::{Repeats, Say};
use crate::ops::board::Serving;
use crate::ops::control::Routes;
use crate::shutdown::Shutdown;

/// Most connections at a time; a browser takes two to six. Each costs some 30 KB while it is busy.
const CONNECTIONS_MAX: usize = 32;

/// Time for a request's head, and longest pause between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Largest head of a request, bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields.
const HEADERS_MAX: usize = 64;

/// Longest time that what was sent may stay unacknowledged: a phone that has left the building.
const UNACKNOWLEDGED_MAX_MS: u32 = 30_000;

/// Pauses between attempts to open the port: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

/// After an accept that failed (no file descriptor left) there is nothing to do but wait a little.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Serves until shutdown.
pub async fn run(config: Http, routes: Routes, counters: Arc<Counters>, mut shutdown: Shutdown) {
    let mut repeats = Repeats::default();
    let mut pause = RETRY.0;
    let board = Arc::clone(&counters);
    let serving = |fault: Option<String>| board.board.note_serving(Some(Serving { listen: config.listen, fault }));
    loop {
        match open(&config).await {
            Ok((listener, token)) => {
                let uname = rustix::system::uname();
                let guard = Guard::new(&config, token, &routes.gateway, &uname.nodename().to_string_lossy());
                serving(None);
                tracing::info!(url = %format_args!("http://{}/", config.listen), "the local page is served");
                let page = Page { routes, counters, guard: Arc::new(guard) };
                serve(&listener, page, shutdown).await;
                break;
            }
            Err(fault) => {
                if repeats.note(&fault, routes.clock.boot()) != Say::Nothing {
                    tracing::warn!("the local page is not served, all else goes on; tried again: {fault}");
                }
                serving(Some(fault));
            }
        }
        tokio::select! {
            () = shutdown.wait() => break,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY.1),
        }
    }
    board.board.note_serving(None);
}

/// Opens the port, and reads what its readers must know; in words what is in the way.
async fn open(config: &Http) -> Result<(TcpListener, Option<Token>), String> {
    let token = config.token_file.as_deref().map(Token::read).transpose().map_err(|error| {
        let file = error.file.as_deref().map_or_else(String::new, |file| format!("{}: ", file.display()));
        format!("{file}{}; {}", error.found, error.help)
    })?;
    // The configuration's check has refused it; it must not depend on that.
    if token.is_none() && config.is_open_to_others() {
        return Err(format!("{} can be reached by others, and there is no `token_file`", config.listen));
    }
    let listener = TcpListener::bind(config.listen).await.map_err(|error| explain(config.listen, &error))?;
    Ok((listener, token))
}

fn explain(listen: SocketAddr, error: &std::io::Error) -> String {
    let port = listen.port();
    match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program listens on {listen} (`ss -tlnp sport = :{port}` shows it); end it, or set `listen` under [http]"
        ),
        ErrorKind::AddrNotAvailable => {
            format!("this machine has no address {}; `ip address` shows those it has", listen.ip())
        }
        ErrorKind::PermissionDenied => {
            format!("only root may listen on port {port}; take one from 1024 on in `listen` under [http]")
        }
        _ => format!("{listen} cannot be listened on: {error}"),
    }
}

async fn serve(listener: &TcpListener, page: Page, mut shutdown: Shutdown) {
    let service = TowerToHyperService::new(router(page));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection to the local page could not be taken");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            turn_away(&stream);
            continue;
        };
        // Both only make it better; a connection does without.
        let _ = stream.set_nodelay(true);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED_MAX_MS);
        let (service, mut shutdown) = (service.clone(), shutdown.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .max_buf_size(HEAD_BYTES_MAX)
                .max_headers(HEADERS_MAX)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // How a browser's connection ends is its own affair.
                _ = connection => {}
                () = shutdown.wait() => {}
            }
        });
    }
}

/// Says that there is no room, as far as that can be said without waiting.
fn turn_away(stream: &TcpStream) {
    let answer =
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\nretry-after: 10\r\n\r\n";
    let _ = stream.try_write(answer);
}
