//! What stands between the line and the Modbus client: it lets only the awaited answer through.
//!
//! Owns the bytes that came at the wrong time: what lies about when a request leaves is thrown away, and so is what
//! [`Filter`] does not take for the answer. It also knows when the line was last heard and whether a request has left as
//! a whole. Never parses what an answer says.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::decode::modbus::frame::{Filter, Framing};

/// Bytes taken from the line at once; more than the longest frame.
const CHUNK_BYTES: usize = 512;

/// Most bytes thrown away before a request: what a busy line can have sent in the meantime. Whoever sends more never
/// stops, and the request leaves all the same.
const STALE_BYTES_MAX: usize = 64 * 1024;

/// What is known about the line.
#[derive(Debug)]
pub(super) struct Traffic {
    filter: Filter,
    /// When something was last sent or heard.
    pub(super) busy: Instant,
    /// A request has left in part: what the other end makes of the next one is anybody's guess.
    pub(super) is_cut: bool,
}

impl Traffic {
    /// Bytes heard since the request that are no part of its answer.
    pub(super) fn noise(&self) -> u64 {
        self.filter.noise()
    }

    /// Answers that came after their request had been given up.
    pub(super) fn late(&self) -> u64 {
        self.filter.late()
    }
}

/// The gate's other end, for who asks.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Mutex<Traffic>>);

impl Watch {
    /// Never held over an await.
    pub(super) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port or connection behind a gate.
#[derive(Debug)]
pub(super) struct Gate<T> {
    inner: T,
    watch: Watch,
    /// The answer, or what is left of it to be read.
    answer: Vec<u8>,
}

impl<T> Gate<T> {
    pub(super) fn new(inner: T, framing: Framing) -> (Self, Watch) {
        let traffic = Traffic { filter: Filter::new(framing), busy: Instant::now(), is_cut: false };
        let watch = Watch(Arc::new(Mutex::new(traffic)));
        (Self { inner, watch: watch.clone(), answer: Vec::new() }, watch)
    }
}

/// The other end has closed.
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the other end")
}

fn not_modbus() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what answers is no Modbus TCP server")
}

impl<T: AsyncRead + Unpin> Gate<T> {
    /// Takes what has come; pending where nothing has.
    fn hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; CHUNK_BYTES];
        let mut chunk = ReadBuf::new(&mut chunk);
        match Pin::new(&mut self.inner).poll_read(cx, &mut chunk) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) if chunk.filled().is_empty() => Poll::Ready(Err(closed())),
            Poll::Ready(Ok(())) => {
                let mut traffic = self.watch.traffic();
                traffic.busy = Instant::now();
                traffic.filter.hear(chunk.filled());
                if let Some(answer) = traffic.filter.answer().map_err(|_| not_modbus())? {
                    self.answer = answer;
                }
                Poll::Ready(Ok(chunk.filled().len()))
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.watch.traffic().is_cut {
            let mut stale = 0;
            while stale < STALE_BYTES_MAX
                && let Poll::Ready(count) = self.hear(cx)
            {
                stale += count?;
            }
            self.answer.clear();
            let mut traffic = self.watch.traffic();
            traffic.filter.ask(bytes);
            traffic.is_cut = true;
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        let mut traffic = self.watch.traffic();
        traffic.busy = Instant::now();
        traffic.is_cut = !matches!(written, Poll::Ready(Ok(count)) if count == bytes.len());
        drop(traffic);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is buffered on our side; a serial port's own flush would hold up all tasks until the last bit is out.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gate<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.answer.is_empty() {
            match self.hear(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) => {}
            }
        }
        let count = self.answer.len().min(buffer.remaining());
        buffer.put_slice(&self.answer[..count]);
        self.answer.drain(..count);
        Poll::Ready(Ok(()))
    }
}
