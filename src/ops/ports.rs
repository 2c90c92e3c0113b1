//! The serial ports of this machine, as the system shows them to everybody.
//!
//! Owns reading `/sys/class/tty`, `/dev/serial/by-id` and `/proc`; below a root of the caller's choice, so that it can
//! be tested. Opens no port.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// How far above a port its USB device is looked for: interface, device, and a hub's worth more.
const USB_LEVELS_MAX: usize = 8;

/// A serial port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Port {
    /// `/dev/ttyUSB0`: may be another after the next start.
    pub device: PathBuf,
    /// Its names under `/dev/serial/by-id`, which stay: what `port` in [[source]] should say.
    pub by_id: Vec<PathBuf>,
    /// The kernel's driver.
    pub driver: Option<String>,
    /// The USB device behind it.
    pub usb: Option<Usb>,
    /// Who has it open, as far as we may see: "minicom (pid 812)".
    pub held_by: Vec<String>,
    /// Whether this user may open it.
    pub may_open: bool,
    /// The group that may.
    pub group: Option<String>,
}

/// What a USB device says of itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usb {
    /// Vendor's number, four hex digits.
    pub vendor_id: String,
    /// Product's number, four hex digits.
    pub product_id: String,
    /// The vendor in words.
    pub manufacturer: Option<String>,
    /// The product in words.
    pub product: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
}

/// All ports below `root` (`/`), by name.
pub fn list(root: &Path) -> Vec<Port> {
    let Ok(entries) = fs::read_dir(root.join("sys/class/tty")) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into()).collect();
    names.sort();
    let by_id = names_by_id(root);
    let mut holders = holders(root);
    names.iter().filter_map(|name| port(root, name, &by_id, &mut holders)).collect()
}

/// Who has a device open: "minicom (pid 812)". `device` is the system's own name for it.
pub fn held_by(root: &Path, device: &Path) -> Vec<String> {
    holders(root).remove(device).unwrap_or_default()
}

fn port(
    root: &Path,
    name: &str,
    by_id: &[(String, PathBuf)],
    holders: &mut BTreeMap<PathBuf, Vec<String>>,
) -> Option<Port> {
    let class = root.join("sys/class/tty").join(name);
    // Virtual consoles and pseudo terminals have no device; a UART that was only reserved has type 0.
    let device_dir = class.join("device").canonicalize().ok()?;
    if text(&class.join("type")).as_deref() == Some("0") {
        return None;
    }
    let driver = fs::read_link(device_dir.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let device = Path::new("/dev").join(name);
    let node = root.join("dev").join(name);
    let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    let group = fs::metadata(&node).ok().and_then(|node| group_name(root, node.gid()));
    Some(Port {
        by_id: by_id.iter().filter(|(target, _)| target == name).map(|(_, link)| link.clone()).collect(),
        driver,
        usb: usb(&device_dir),
        held_by: holders.remove(&device).unwrap_or_default(),
        may_open: rustix::fs::access(&node, access).is_ok(),
        group,
        device,
    })
}

/// The links by their target's name.
fn names_by_id(root: &Path) -> Vec<(String, PathBuf)> {
    let folder = Path::new("/dev/serial/by-id");
    let Ok(entries) = fs::read_dir(root.join("dev/serial/by-id")) else { return Vec::new() };
    let mut names: Vec<(String, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some((target.file_name()?.to_string_lossy().into_owned(), folder.join(entry.file_name())))
        })
        .collect();
    names.sort();
    names
}

fn usb(device: &Path) -> Option<Usb> {
    let found = device.ancestors().take(USB_LEVELS_MAX).find(|folder| folder.join("idVendor").is_file())?;
    Some(Usb {
        vendor_id: text(&found.join("idVendor"))?,
        product_id: text(&found.join("idProduct"))?,
        manufacturer: text(&found.join("manufacturer")),
        product: text(&found.join("product")),
        serial: text(&found.join("serial")),
    })
}

/// All open files of all processes that we may look at and that are terminals, by file.
fn holders(root: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let mut holders: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    let Ok(processes) = fs::read_dir(root.join("proc")) else { return holders };
    for process in processes.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            if !target.starts_with("/dev") {
                continue;
            }
            let name = text(&process.path().join("comm")).unwrap_or_default();
            let holder = format!("{name} (pid {pid})");
            let known = holders.entry(target).or_default();
            if !known.contains(&holder) {
                known.push(holder);
            }
        }
    }
    holders
}

fn group_name(root: &Path, number: u32) -> Option<String> {
    let groups = fs::read_to_string(root.join("etc/group")).ok()?;
    groups.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    })
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::os::unix::fs::symlink;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_usb_port_is_told_with_all_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let usb = "sys/devices/usb1/1-2";
        for (name, text) in
            [("idVendor", "0403\n"), ("idProduct", "6001\n"), ("product", "FT232R\n"), ("serial", "A5\n")]
        {
            write(root, &format!("{usb}/{name}"), text);
        }
        fs::create_dir_all(root.join(usb).join("1-2:1.0/ttyUSB0/tty/ttyUSB0")).unwrap();
        fs::create_dir_all(root.join("sys/bus/usb-serial/drivers/ftdi_sio")).unwrap();
        symlink(root.join("sys/bus/usb-serial/drivers/ftdi_sio"), root.join(usb).join("1-2:1.0/ttyUSB0/driver"))
            .unwrap();
        symlink("../..", root.join(usb).join("1-2:1.0/ttyUSB0/tty/ttyUSB0/device")).unwrap();
        fs::create_dir_all(root.join("sys/class/tty/ptmx")).unwrap();
        symlink(root.join(usb).join("1-2:1.0/ttyUSB0/tty/ttyUSB0"), root.join("sys/class/tty/ttyUSB0")).unwrap();
        // A UART that is not there.
        write(root, "sys/devices/pnp/ttyS1/type", "0\n");
        fs::create_dir_all(root.join("sys/devices/pnp/ttyS1/device")).unwrap();
        symlink(root.join("sys/devices/pnp/ttyS1"), root.join("sys/class/tty/ttyS1")).unwrap();
        write(root, "dev/ttyUSB0", "");
        fs::create_dir_all(root.join("dev/serial/by-id")).unwrap();
        symlink("../../ttyUSB0", root.join("dev/serial/by-id/usb-FTDI_FT232R_A5-if00-port0")).unwrap();
        write(root, "proc/812/comm", "minicom\n");
        fs::create_dir_all(root.join("proc/812/fd")).unwrap();
        symlink("/dev/ttyUSB0", root.join("proc/812/fd/3")).unwrap();
        let gid = fs::metadata(root.join("dev/ttyUSB0")).unwrap().gid();
        write(root, "etc/group", &format!("nobody:x:4294967294:\ndialout:x:{gid}:pi\n"));
        let usb = Usb {
            vendor_id: "0403".into(),
            product_id: "6001".into(),
            manufacturer: None,
            product: Some("FT232R".into()),
            serial: Some("A5".into()),
        };
        let expected = Port {
            device: "/dev/ttyUSB0".into(),
            by_id: vec!["/dev/serial/by-id/usb-FTDI_FT232R_A5-if00-port0".into()],
            driver: Some("ftdi_sio".into()),
            usb: Some(usb),
            held_by: vec!["minicom (pid 812)".into()],
            may_open: true,
            group: Some("dialout".into()),
        };
        assert_eq!(list(root), [expected]);
        assert_eq!(held_by(root, Path::new("/dev/ttyUSB0")), ["minicom (pid 812)"]);
    }

    #[test]
    fn a_system_that_shows_nothing_has_no_ports() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(list(dir.path()), []);
    }
}
