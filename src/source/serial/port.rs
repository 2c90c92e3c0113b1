//! Opening a serial port, and saying why it cannot be opened.
//!
//! Owns the settings of the line and the words for a technician: not plugged in, not allowed, in use and by whom.
//! Looks only at what the system shows to everybody (`/dev`, `/proc`, `/etc/group`, `/etc/passwd`).

use std::io::ErrorKind as IoKind;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;
use tokio_serial::{DataBits, ErrorKind, SerialPort, SerialPortBuilderExt, SerialStream, StopBits};

use crate::config::model::{FlowControl, Parity, SerialSource};
use crate::forward::explain::Explanation;
use crate::unit;

/// Most ports named as being there instead of the one that is not.
const PORTS_TOLD_MAX: usize = 5;

/// Device numbers (major) of pseudo-terminals, from the kernel's list of devices.
const PSEUDO_TERMINALS: RangeInclusive<u32> = 136..=143;

/// Opens a port raw and, unless it is a pseudo-terminal, for us alone.
pub(in crate::source) fn open(config: &SerialSource) -> tokio_serial::Result<SerialStream> {
    let SerialSource { port, baud, data_bits, parity, stop_bits, flow_control, .. } = config;
    let mut opened = open_line(port, *baud, *data_bits, *parity, *stop_bits, *flow_control)?;
    if let Some(on) = config.dtr {
        opened.write_data_terminal_ready(on)?;
    }
    if let Some(on) = config.rts {
        opened.write_request_to_send(on)?;
    }
    Ok(opened)
}

/// The same for a line that is no source of its own.
pub(in crate::source) fn open_line(
    port: &Path,
    baud: u32,
    data_bits: u8,
    parity: Parity,
    stop_bits: u8,
    flow_control: FlowControl,
) -> tokio_serial::Result<SerialStream> {
    let data_bits = if data_bits == 7 { DataBits::Seven } else { DataBits::Eight };
    let stop_bits = if stop_bits == 2 { StopBits::Two } else { StopBits::One };
    let parity = match parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let flow_control = match flow_control {
        FlowControl::None => tokio_serial::FlowControl::None,
        FlowControl::Software => tokio_serial::FlowControl::Software,
        FlowControl::Hardware => tokio_serial::FlowControl::Hardware,
    };
    // Exclusive is the default of the builder.
    let mut stream = tokio_serial::new(port.to_string_lossy(), baud)
        .data_bits(data_bits)
        .stop_bits(stop_bits)
        .parity(parity)
        .flow_control(flow_control)
        .open_native_async()?;
    if is_pseudo_terminal(port) {
        stream.set_exclusive(false)?;
    }
    Ok(stream)
}

/// Whether a port is one end of a program, such as socat that brings a port of another machine. The kernel forgets that
/// somebody wanted a port for himself when the last one closes it; of a pseudo-terminal that is the program at the other
/// end, so after a kill we would be shut out by ourselves for ever.
fn is_pseudo_terminal(port: &Path) -> bool {
    std::fs::metadata(port).is_ok_and(|found| PSEUDO_TERMINALS.contains(&rustix::fs::major(found.rdev())))
}

/// Where a pseudo-terminal's end is found.
const PSEUDO_TERMINALS_AT: &str = "/dev/pts/";

/// Whether a path, or the link that it is, names a pseudo-terminal, also one that is gone.
fn names_pseudo_terminal(port: &Path) -> bool {
    let led_to = std::fs::read_link(port).unwrap_or_else(|_| port.to_owned());
    led_to.starts_with(PSEUDO_TERMINALS_AT)
}

/// A port that opens, in words. A pseudo-terminal has no wire, and a baud rate means nothing there.
pub(in crate::source) fn opened(port: &Path, baud: u32) -> String {
    let shown = port.display();
    match is_pseudo_terminal(port) {
        true => format!("{shown} opens; it is a pseudo-terminal, another program's end, so {baud} baud means nothing"),
        false => format!("{shown} opens at {baud} baud"),
    }
}

/// The running gateway that has a port open, in words: a check beside it cannot try the port, and need not.
pub(in crate::source) fn held_by_gateway(error: &tokio_serial::Error, path: &Path) -> Option<String> {
    if error.kind() != ErrorKind::NoDevice {
        return None;
    }
    let user = user_of(path).filter(|user| user.starts_with("tidegate (pid "))?;
    Some(format!("{} is in use by {user}: the gateway runs and has it, so it was not tried", path.display()))
}

/// Why a port could not be opened.
pub(in crate::source) fn explain(error: &tokio_serial::Error, path: &Path) -> Explanation {
    let port = path.display();
    let text = match error.kind() {
        _ if names_pseudo_terminal(path) && !path.exists() => {
            format!("{port} is a pseudo-terminal that is gone; start the program that makes it (socat, ser2net, ...)")
        }
        ErrorKind::Io(IoKind::NotFound) => format!("{port} is not plugged in{}", present_ports()),
        ErrorKind::Io(IoKind::PermissionDenied) => denied(path),
        // EBUSY, or somebody holds the lock.
        ErrorKind::NoDevice => format!(
            "{port} is in use{}; stop what uses it",
            user_of(path).map(|user| format!(" by {user}")).unwrap_or_default()
        ),
        ErrorKind::InvalidInput => format!("{port} does not take these settings: {error}"),
        _ if path.is_file() || path.is_dir() => format!("{port} is no serial port; correct `port`"),
        _ => format!("{port} cannot be opened: {error}"),
    };
    Explanation::plain(text)
}

/// A port that was open is gone.
pub(in crate::source) fn unplugged(path: &Path, error: Option<&std::io::Error>) -> Explanation {
    let port = path.display();
    match error {
        Some(error) if path.exists() => Explanation::plain(format!("{port} failed: {error}; trying it again")),
        _ => Explanation::plain(format!("{port} was unplugged or switched off; plug it back in")),
    }
}

/// A port that is open takes nothing.
pub(super) fn blocked(path: &Path) -> Explanation {
    let port = path.display();
    Explanation::plain(format!("{port} takes nothing that is sent; is `flow_control` right, and the device on?"))
}

/// "; there are ..": the ports one could have meant.
fn present_ports() -> String {
    let mut names: Vec<String> = std::fs::read_dir("/dev/serial/by-id")
        .map(|entries| entries.flatten().map(|entry| entry.path().display().to_string()).collect())
        .unwrap_or_default();
    if names.is_empty() {
        return "; no USB serial device is present".to_owned();
    }
    names.sort();
    names.truncate(PORTS_TOLD_MAX);
    format!("; present are {}", names.join(", "))
}

fn denied(path: &Path) -> String {
    // Owner, group and mode give EACCES; EPERM is what the unit's device policy gives, whatever those say.
    if rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK) == Err(Errno::PERM) {
        return unit::device(path);
    }
    let port = path.display();
    let user = std::fs::metadata("/proc/self")
        .ok()
        .and_then(|me| name_of("/etc/passwd", me.uid()))
        .unwrap_or_else(|| "<user>".to_owned());
    let group =
        std::fs::metadata(path).ok().and_then(|node| name_of("/etc/group", node.gid())).filter(|group| group != "root");
    match group {
        Some(group) => format!(
            "user {user} may not open {port}; run `usermod -aG {group} {user}`, or set `SupplementaryGroups={group}` in \
             the service's unit, and start it anew"
        ),
        None => {
            format!("user {user} may not open {port}; a udev rule has to give it a group of which {user} is a member")
        }
    }
}

/// The name with this number in a file of `name:x:number:..` lines.
fn name_of(file: &str, number: u32) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    })
}

/// The process that holds a device open, as far as we are allowed to see: "minicom (pid 812)".
fn user_of(path: &Path) -> Option<String> {
    let device = std::fs::canonicalize(path).ok()?;
    let own = std::process::id().to_string();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        if files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == device)) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn text(kind: ErrorKind, path: &str) -> String {
        explain(&tokio_serial::Error::new(kind, "text of the system"), Path::new(path)).text
    }

    #[test]
    fn every_failure_says_what_to_do() {
        let gone = text(ErrorKind::Io(IoKind::NotFound), "/dev/pts/99999");
        assert!(gone.contains("pseudo-terminal that is gone; start the program"), "{gone}");
        let missing = text(ErrorKind::Io(IoKind::NotFound), "/dev/serial/by-id/none");
        assert!(missing.starts_with("/dev/serial/by-id/none is not plugged in; "), "{missing}");
        assert!(text(ErrorKind::NoDevice, "/dev/none").contains("is in use; stop"));
        assert!(text(ErrorKind::Unknown, "/etc/passwd").contains("is no serial port"));
        let denied = text(ErrorKind::Io(IoKind::PermissionDenied), "/dev/tty");
        assert!(denied.contains("SupplementaryGroups=tty") || denied.contains("udev rule"), "{denied}");
    }

    #[test]
    fn names_are_found_by_number() {
        assert_eq!(name_of("/etc/passwd", 0).unwrap(), "root");
        assert_eq!(name_of("/etc/passwd", u32::MAX), None);
        assert_eq!(name_of("/nowhere", 0), None);
    }

    #[tokio::test]
    async fn a_pseudo_terminal_is_not_locked_against_ourselves_after_a_kill() {
        use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
        let other_end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&other_end).unwrap();
        let name = ptsname(&other_end, Vec::new()).unwrap().into_string().unwrap();
        let port = open_line(Path::new(&name), 9600, 8, Parity::None, 1, FlowControl::None).unwrap();
        assert!(!port.exclusive());
    }
}
