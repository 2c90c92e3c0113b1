//! What answers in the broker's place, when something does that speaks neither TLS nor MQTT.
//!
//! Owns one question, asked in plain HTTP after a connection failed in that way: most often it is a page of the network
//! that wants somebody to sign in, and its address is what a technician needs to know. Never sends anything of ours.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::explain::{Explanation, place};
use crate::config::model::Upstream;

/// Longest time for the question and its answer. Whatever it is has just answered within the connect timeout.
const WITHIN: Duration = Duration::from_secs(3);

/// Bytes of the answer looked at: a status line and the usual headers.
const ANSWER_BYTES_MAX: usize = 2048;

/// Characters of a status line or an address told.
const TOLD_CHARS_MAX: usize = 80;

/// Asks who is there. `None` when it does not answer in HTTP either.
pub async fn explain(upstream: &Upstream) -> Option<Explanation> {
    let answer = tokio::time::timeout(WITHIN, ask(upstream)).await.ok()?.ok()?;
    page(&answer).map(|page| page.explain(upstream))
}

async fn ask(upstream: &Upstream) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((upstream.url.host.as_str(), upstream.url.port)).await?;
    let question = format!("GET / HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n\r\n", upstream.url.host);
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut chunk = [0; 512];
    while answer.len() < ANSWER_BYTES_MAX && !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => answer.extend_from_slice(&chunk[..count]),
            // What came before a reset counts.
            _ => break,
        }
    }
    Ok(answer)
}

/// The head of an HTTP answer.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    /// `302 Found`
    status: String,
    /// Where browsers are sent, without what follows a question mark: that may be a secret.
    location: Option<String>,
}

impl Page {
    fn explain(&self, upstream: &Upstream) -> Explanation {
        let sends = self.location.as_ref().map_or_else(String::new, |to| format!(" and sends browsers to {to}"));
        Explanation::plain(format!(
            "{} answers HTTP, not MQTT ({}{sends}): a captive portal (sign-in page) of the network, or a web server; sign \
             this gateway in to the network or have it let through, or correct `url`",
            place(upstream),
            self.status
        ))
    }
}

/// Reads the head of an answer; `None` when it is not HTTP (RFC 9112, chapter 4).
fn page(answer: &[u8]) -> Option<Page> {
    let text = String::from_utf8_lossy(answer);
    let mut lines = text.split("\r\n");
    let (version, status) = lines.next()?.split_once(' ')?;
    if !version.starts_with("HTTP/") {
        return None;
    }
    let location = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("location"))
        .map(|(_, value)| told(value.split('?').next().unwrap_or_default()));
    Some(Page { status: told(status), location })
}

/// A stranger's text, fit for a log.
fn told(text: &str) -> String {
    text.trim().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(TOLD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;
    use crate::forward::testing;

    #[test]
    fn a_portal_is_told_with_its_address_and_without_what_may_be_secret() {
        let answer = b"HTTP/1.1 302 Found\r\nServer: x\r\nlocation: http://portal.example/login?token=abc\r\n\r\nbody";
        let told = page(answer).unwrap().explain(&testing::upstream("broker.example.com", 8883, None)).text;
        let start = "broker.example.com:8883 answers HTTP, not MQTT (302 Found and sends browsers to \
                     http://portal.example/login): a captive portal";
        assert!(told.starts_with(start), "{told}");
        assert!(!told.contains("abc"), "{told}");
    }

    #[test]
    fn a_web_server_sends_nobody_anywhere() {
        let found = page(b"HTTP/1.0 400 Bad\x1b[31m Request\n\r\n\r\nlocation: x").unwrap();
        assert_eq!(found, Page { status: "400 Bad[31m Request".to_owned(), location: None });
    }

    #[test]
    fn what_is_not_http_is_nothing_we_know() {
        for answer in
            [b"".as_slice(), b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP", b"\xff \xff"]
        {
            assert_eq!(page(answer), None, "{answer:?}");
        }
    }
}
