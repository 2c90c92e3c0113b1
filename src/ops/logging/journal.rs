//! Lines to systemd's journal, with their fields: `journalctl TIDEGATE_SENSOR=zigbee/cold-store/temperature`.
//!
//! Owns the bytes of its native protocol: a datagram a line, in it fields one after the other,
//!
//! ```text
//! NAME=value\n                                     a value without a line end
//! NAME\n, length u64 little-endian, value, \n      any value
//! ```
//!
//! `MESSAGE` is the line as a terminal would show it, fields included, so that plain `journalctl -u tidegate` tells
//! everything. Never waits for journald: what it does not take at once goes to standard error, which systemd also reads.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Longest message, bytes: the report about a very wrong configuration is about as long. A datagram may have some 200
/// KiB.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Longest value of a field, bytes.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// What our fields' names begin with; the journal has its own `PRIORITY`, `ERRNO`, `UNIT` and more.
const PREFIX: &str = "TIDEGATE_";

/// The way to journald.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    /// Named with each line: a journald that is started anew has another socket there.
    path: PathBuf,
}

impl Journal {
    /// Opens the way.
    ///
    /// # Errors
    /// Nobody listens on that socket.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(path)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned() })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = Line::of(event);
        if self.socket.send_to(&line.datagram(event), &self.path).is_err() {
            // There is nowhere left to say that this fails, too.
            let _ = writeln!(io::stderr(), "{}", line.text());
        }
    }
}

/// One event's message and fields.
#[derive(Debug, Default)]
struct Line {
    message: String,
    /// The fields as people read them.
    shown: String,
    /// Name and value.
    fields: Vec<(&'static str, String)>,
}

impl Line {
    fn of(event: &Event<'_>) -> Self {
        let mut line = Self::default();
        event.record(&mut line);
        line
    }

    fn text(&self) -> String {
        let mut text = format!("{}{}", self.message, self.shown);
        cut(&mut text, MESSAGE_BYTES_MAX);
        text
    }

    fn datagram(&self, event: &Event<'_>) -> Vec<u8> {
        let metadata = event.metadata();
        let mut datagram = Vec::with_capacity(512);
        put(&mut datagram, "PRIORITY", priority(*metadata.level()));
        put(&mut datagram, "SYSLOG_IDENTIFIER", "tidegate");
        put(&mut datagram, "MESSAGE", &self.text());
        put(&mut datagram, "TIDEGATE_TARGET", metadata.target());
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            put(&mut datagram, "CODE_FILE", file);
            put(&mut datagram, "CODE_LINE", &line.to_string());
        }
        for (name, value) in &self.fields {
            put(&mut datagram, &journal_name(name), value);
        }
        datagram
    }

    fn add(&mut self, field: &Field, mut value: String) {
        cut(&mut value, VALUE_BYTES_MAX);
        self.fields.push((field.name(), value));
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
            return;
        }
        // Writing to a string cannot fail.
        let _ = write!(self.shown, " {}={value:?}", field.name());
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // As in `record_str`.
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
            return;
        }
        let value = format!("{value:?}");
        let _ = write!(self.shown, " {}={value}", field.name());
        self.add(field, value);
    }
}

/// Syslog's number of a level.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// Our name for a field: capitals, digits and `_`, as the journal takes them.
fn journal_name(name: &str) -> String {
    let mut out = PREFIX.to_owned();
    out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }));
    // The journal's limit.
    out.truncate(64);
    out
}

fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// Cuts a text at a character's boundary, and shows that it is cut.
fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use std::collections::BTreeMap;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Reads a datagram as journald does.
    fn parse(mut bytes: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| matches!(byte, b'=' | b'\n')).unwrap();
            let name = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let has_length = bytes[end] == b'\n';
            bytes = &bytes[end + 1..];
            let length = if has_length {
                let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                bytes = &bytes[8..];
                usize::try_from(length).unwrap()
            } else {
                bytes.iter().position(|byte| *byte == b'\n').unwrap()
            };
            let value = String::from_utf8(bytes[..length].to_vec()).unwrap();
            assert_eq!(bytes[length], b'\n', "a field ends with a line end");
            bytes = &bytes[length + 1..];
            let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
            assert!(is_name, "{name} is no name of a field");
            assert_eq!(fields.insert(name, value), None);
        }
        fields
    }

    /// What a journald at a socket of its own receives of a line.
    fn received(log: impl FnOnce()) -> BTreeMap<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::open(&path).unwrap());
        tracing::subscriber::with_default(subscriber, log);
        let mut buffer = vec![0; 256 * 1024];
        let length = journald.recv(&mut buffer).unwrap();
        parse(&buffer[..length])
    }

    #[test]
    fn a_line_arrives_with_its_level_and_fields_and_is_whole_without_them() {
        let id = uuid::Uuid::from_u128(7);
        let fields = received(|| {
            tracing::warn!(event_id = %id, sensor = "plant/a/value", times = 3, tls = true, "set aside: {}", "refused");
        });
        let text = format!("set aside: refused event_id={id} sensor=\"plant/a/value\" times=3 tls=true");
        assert_eq!(fields["MESSAGE"], text);
        assert_eq!(fields["PRIORITY"], "4");
        assert_eq!(fields["SYSLOG_IDENTIFIER"], "tidegate");
        assert_eq!(fields["TIDEGATE_EVENT_ID"], id.to_string());
        assert_eq!(fields["TIDEGATE_SENSOR"], "plant/a/value");
        assert_eq!((&*fields["TIDEGATE_TIMES"], &*fields["TIDEGATE_TLS"]), ("3", "true"));
        assert!(fields["CODE_FILE"].ends_with("journal.rs"));
    }

    #[test]
    fn line_ends_in_values_make_no_fields_of_their_own() {
        let fields = received(|| tracing::error!(reason = "a\nPRIORITY=0\nFAKE=1", "first\nsecond"));
        assert_eq!(fields["PRIORITY"], "3");
        assert_eq!(fields["TIDEGATE_REASON"], "a\nPRIORITY=0\nFAKE=1");
        assert!(fields["MESSAGE"].starts_with("first\nsecond"));
        assert!(!fields.contains_key("FAKE"));
    }

    #[test]
    fn a_line_is_bounded() {
        let long = "ä".repeat(MESSAGE_BYTES_MAX);
        let fields = received(|| tracing::info!(what = long, "{}", long));
        assert!(fields["MESSAGE"].len() <= MESSAGE_BYTES_MAX + 3 && fields["MESSAGE"].ends_with('…'));
        assert!(fields["TIDEGATE_WHAT"].len() <= VALUE_BYTES_MAX + 3);
    }

    #[test]
    fn without_a_journald_there_is_no_way_to_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Journal::open(&dir.path().join("socket")).is_err());
    }
}
