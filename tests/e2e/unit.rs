//! The systemd unit as it is shipped, by systemd's own judgement. Whether it also works is for `cross/boot-test`.

use std::path::Path;
use std::process::Command;

use crate::support::gateway::TIDEGATE;

/// The highest exposure that passes, in tenths: 1.5 of 10.
const EXPOSURE_TENTHS_MAX: &str = "15";

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/tidegate.service");

/// Runs systemd-analyze; `None` on a machine without systemd.
fn analyze(arguments: &[&str], unit: &Path) -> Option<(bool, String)> {
    let run = Command::new("systemd-analyze").args(arguments).arg(unit).env("SYSTEMD_COLORS", "0").output();
    if let Err(error) = &run
        && error.kind() == std::io::ErrorKind::NotFound
    {
        eprintln!("no systemd-analyze here: not checked");
        return None;
    }
    let run = run.unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    Some((run.status.success(), text))
}

#[test]
fn the_unit_is_hardened_as_far_as_serial_ports_and_brokers_allow() {
    let arguments = ["security", "--offline=true", &format!("--threshold={EXPOSURE_TENTHS_MAX}")];
    let Some((good, text)) = analyze(&arguments, Path::new(UNIT)) else { return };
    assert!(good && text.contains("Overall exposure level"), "{text}");
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("tidegate.service");
    // It looks for the program, too.
    std::fs::write(&copy, std::fs::read_to_string(UNIT).unwrap().replace("/usr/bin/tidegate", TIDEGATE)).unwrap();
    let Some((good, text)) = analyze(&["verify", "--man=no"], &copy) else { return };
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("tidegate")).collect();
    assert!(good && ours.is_empty(), "{ours:?}");
}
