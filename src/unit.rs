//! What the service's unit does not let the gateway do, in words for people.
//!
//! Seen from inside, the unit's confinement looks like a fault of the machine: a disk that is read-only, a port that others
//! own. Owns telling the two apart, and the remedy. Never changes anything.

use std::path::Path;

/// Set by systemd: the folders of `StateDirectory=`, divided by colons.
const STATE_DIRECTORIES: &str = "STATE_DIRECTORY";

/// What to do where the system says that the disk is read-only: what comes behind a semicolon.
pub fn read_only(path: &Path) -> String {
    read_only_with(path, std::env::var(STATE_DIRECTORIES).ok().as_deref())
}

fn read_only_with(path: &Path, state_directories: Option<&str>) -> String {
    match state_directories {
        // `ProtectSystem=strict`, most likely. Those folders of the unit themselves are always writable by it.
        Some(allowed) if !allowed.split(':').any(|folder| path.starts_with(folder)) => format!(
            "the service may write only below {}: `sudo install -d -o tidegate -g tidegate -m 750 {path}`, `sudo systemctl \
             edit tidegate`, there `[Service]` and `ReadWritePaths={path}`, then `sudo systemctl restart tidegate`; should \
             the disk itself be read-only, `dmesg` says why",
            allowed.replace(':', " and "),
            path = path.display()
        ),
        _ => "the disk is read-only: `dmesg` says why; make it writable (`sudo mount -o remount,rw <disk>`) or replace it"
            .to_owned(),
    }
}

/// What to do about a device that the unit's `DevicePolicy=` denies (EPERM, whatever its rights are).
pub fn device(path: &Path) -> String {
    // A lasting name leads to the node; what has a driver of its own is told to systemd by the driver.
    let node = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = node.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let driver = name.trim_end_matches(|c: char| c.is_ascii_digit());
    format!(
        "the service's unit does not allow {}: `sudo systemctl edit tidegate`, there `[Service]` and \
         `DeviceAllow=char-{driver} rw`, then `sudo systemctl restart tidegate`",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_only_the_unit_forbids_is_told_apart_from_a_bad_disk() {
        let states = Some("/var/lib/tidegate:/var/lib/tidegate-readings");
        let elsewhere = read_only_with(Path::new("/mnt/ssd/store"), states);
        assert!(elsewhere.starts_with("the service may write only below /var/lib/tidegate and /var/"), "{elsewhere}");
        assert!(elsewhere.contains("`ReadWritePaths=/mnt/ssd/store`"), "{elsewhere}");
        for (path, states) in [("/var/lib/tidegate/queue", states), ("/mnt/ssd/store", None)] {
            assert!(read_only_with(Path::new(path), states).starts_with("the disk is read-only"), "{path}");
        }
    }

    #[test]
    fn a_device_is_allowed_by_its_driver() {
        assert!(device(Path::new("/dev/ttymxc2")).contains("`DeviceAllow=char-ttymxc rw`"));
    }

    #[test]
    fn the_unit_lets_the_gateway_write_where_it_says_readings_may_lie() {
        let unit = include_str!("../systemd/tidegate.service");
        assert!(unit.lines().any(|line| line == "StateDirectory=tidegate tidegate-readings"));
        // What the memory limits of the same unit were measured with.
        assert!(unit.lines().any(|line| line == "Environment=MALLOC_MMAP_THRESHOLD_=131072"));
    }
}
