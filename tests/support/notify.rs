//! systemd's side of sd_notify(3): a datagram socket that keeps what it is told, with the time.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::wait::{SOON, holds_within};

/// How long the listener may take to notice that the test is over.
const NOTICE: Duration = Duration::from_millis(20);

/// How a datagram begins by which we find out how far the listener has come.
const MARK: &str = "TIDEGATE_TEST_MARK=";

/// One assignment, e.g. `READY=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When it came.
    pub at: Instant,
    /// Which datagram it came in; assignments of one datagram belong together.
    pub datagram: usize,
    /// The assignment.
    pub text: String,
}

/// The socket; ends with its value.
#[derive(Debug)]
pub struct NotifySocket {
    path: PathBuf,
    notices: Arc<Mutex<Vec<Notice>>>,
    ended: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
    /// Sends the marks; the last of them that was sent, and the last that was heard.
    own: UnixDatagram,
    sent: AtomicU64,
    heard: Arc<AtomicU64>,
}

impl NotifySocket {
    /// Binds a socket at `path`.
    pub fn bind(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("bind the notify socket");
        socket.set_read_timeout(Some(NOTICE)).expect("set a read timeout");
        let notices = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(AtomicU64::new(0));
        let listener = thread::spawn({
            let (notices, ended, heard) = (Arc::clone(&notices), Arc::clone(&ended), Arc::clone(&heard));
            move || listen(&socket, &notices, &ended, &heard)
        });
        let own = UnixDatagram::unbound().expect("make a socket");
        let path = path.to_owned();
        Self { path, notices, ended, listener: Some(listener), own, sent: AtomicU64::new(0), heard }
    }

    /// For `NOTIFY_SOCKET`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything said so far.
    pub fn notices(&self) -> Vec<Notice> {
        self.catch_up();
        self.notices.lock().expect("no holder panics").clone()
    }

    /// How many assignments so far begin with `text`.
    pub fn count(&self, text: &str) -> usize {
        self.catch_up();
        self.notices.lock().expect("no holder panics").iter().filter(|notice| notice.text.starts_with(text)).count()
    }

    /// Waits until the listener has taken what was said before: the last word of a process that has ended counts, however
    /// busy the machine is.
    fn catch_up(&self) {
        let mark = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        self.own.send_to(format!("{MARK}{mark}").as_bytes(), &self.path).expect("send a mark");
        let heard = holds_within(SOON, || self.heard.load(Ordering::SeqCst) >= mark);
        assert!(heard, "nobody listens at the notify socket");
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn listen(socket: &UnixDatagram, notices: &Mutex<Vec<Notice>>, ended: &AtomicBool, heard: &AtomicU64) {
    let mut bytes = vec![0; 64 * 1024];
    let mut datagram = 0;
    while !ended.load(Ordering::SeqCst) {
        let count = match socket.recv(&mut bytes) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(error) => panic!("notify socket: {error}"),
        };
        let at = Instant::now();
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if let Some(mark) = text.strip_prefix(MARK) {
            heard.fetch_max(mark.parse().expect("a mark is a number"), Ordering::SeqCst);
            continue;
        }
        let mut notices = notices.lock().expect("no holder panics");
        notices.extend(text.lines().map(|line| Notice { at, datagram, text: line.to_owned() }));
        datagram += 1;
    }
}
