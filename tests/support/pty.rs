//! A simulated serial device: one end of a pseudo terminal, found under a link like those in /dev/serial/by-id.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::OptionalActions;

use super::wait::{SOON, holds_within};

/// How long the gateway may leave the port's buffer full.
const WRITE_WAIT: Duration = Duration::from_secs(10);

/// A device that can be pulled out and put back.
#[derive(Debug)]
pub struct SerialDevice {
    link: PathBuf,
    plugged: Option<Plugged>,
    /// Held so that the next device gets another name, as a real one does whose old name is still in use.
    last_name: Option<PathBuf>,
}

#[derive(Debug)]
struct Plugged {
    ours: OwnedFd,
    name: PathBuf,
}

impl SerialDevice {
    /// A device that is plugged in, with its link at `link`.
    pub fn plug_in(link: &Path) -> Self {
        let mut device = Self { link: link.to_owned(), plugged: None, last_name: None };
        device.replug();
        device
    }

    /// The path that a configuration names.
    pub fn link(&self) -> &Path {
        &self.link
    }

    /// What the link leads to now: `/dev/pts/7`.
    ///
    /// # Panics
    /// While it is unplugged.
    pub fn name(&self) -> &Path {
        &self.plugged.as_ref().expect("plugged in").name
    }

    /// The device's own end of the line, for who plays the device.
    ///
    /// # Panics
    /// While it is unplugged.
    pub fn far_end(&self) -> OwnedFd {
        let ours = &self.plugged.as_ref().expect("plugged in").ours;
        ours.try_clone().expect("share the device's end")
    }

    /// Pulls it out: the other end sees a hang-up, and the link is gone as udev would remove it.
    pub fn unplug(&mut self) {
        let _ = fs::remove_file(&self.link);
        self.last_name = self.plugged.take().map(|plugged| plugged.name);
    }

    /// Puts it back: the same link leads to a device of another name.
    pub fn replug(&mut self) {
        assert!(self.plugged.is_none(), "still plugged in");
        let mut placeholders = Vec::new();
        let plugged = loop {
            let pair = open_pair().expect("make a pseudo terminal");
            if self.last_name.as_ref() != Some(&pair.name) {
                break pair;
            }
            placeholders.push(pair);
        };
        symlink(&plugged.name, &self.link).expect("make the device's link");
        self.plugged = Some(plugged);
    }

    /// Sends bytes as the device would.
    ///
    /// # Panics
    /// While it is unplugged, and when nobody takes them.
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        let ours = &self.plugged.as_ref().expect("plugged in").ours;
        let mut rest = bytes.as_ref();
        let mut fault = None;
        let done = holds_within(WRITE_WAIT, || {
            while !rest.is_empty() {
                match rustix::io::write(ours, rest).map_err(io::Error::from) {
                    Ok(0) => return false,
                    Ok(count) => rest = &rest[count..],
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                        return false;
                    }
                    Err(error) => {
                        fault = Some(error);
                        return true;
                    }
                }
            }
            true
        });
        assert!(fault.is_none(), "writing to the simulated device: {fault:?}");
        assert!(done, "nobody reads the serial port: {} bytes left", rest.len());
    }

    /// Sends a line, again and again until `condition` holds: what the other end throws away while it opens the port
    /// is said again.
    #[track_caller]
    pub fn repeat_until(&self, line: &str, what: &str, mut condition: impl FnMut() -> bool) {
        let done = holds_within(SOON, || {
            self.send(format!("{line}\r\n"));
            condition()
        });
        assert!(done, "timed out waiting for {what}");
    }
}

impl Drop for SerialDevice {
    fn drop(&mut self) {
        self.unplug();
    }
}

fn open_pair() -> io::Result<Plugged> {
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&ours)?;
    rustix::pty::unlockpt(&ours)?;
    let name = PathBuf::from(rustix::pty::ptsname(&ours, Vec::new())?.into_string().map_err(io::Error::other)?);
    // A serial line does not echo and knows no lines, whatever its reader sets up later.
    let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut settings = rustix::termios::tcgetattr(&theirs)?;
    settings.make_raw();
    rustix::termios::tcsetattr(&theirs, OptionalActions::Now, &settings)?;
    let flags = rustix::fs::fcntl_getfl(&ours)?;
    rustix::fs::fcntl_setfl(&ours, flags | OFlags::NONBLOCK)?;
    Ok(Plugged { ours, name })
}
