//! What the machine says of itself: the kernel's files under `/proc` and `/sys`.
//!
//! Owns their formats: proc_meminfo(5), proc_loadavg(5), the thermal zones' `temp` (thousandths of a degree) and the
//! Raspberry Pi's under-voltage alarm (`rpi_volt`, `in0_lcrit_alarm`). The root is an argument; what is missing or
//! nonsense is left out.

use std::fs;
use std::path::{Path, PathBuf};

/// Most entries looked at in a directory of the kernel's; a server with a hundred cores has some tens of zones.
const ENTRIES_MAX: usize = 256;

/// Outside these a sensor is broken, °C.
const TEMPERATURES: std::ops::RangeInclusive<f64> = -60.0..=200.0;

/// One look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    /// The processor's temperature, °C; the hottest of several.
    pub cpu_temperature: Option<f64>,
    /// The supply is too weak at the moment.
    pub under_voltage: Option<bool>,
    /// Bytes that may still be written on the store's disk.
    pub disk_free: Option<u64>,
    /// The same in percent of the disk.
    pub disk_free_percent: Option<f64>,
    /// Bytes of memory that programs can still have.
    pub memory_available: Option<u64>,
    /// Tasks that run or wait to, on average over a minute.
    pub load_1m: Option<f64>,
}

impl Machine {
    /// Looks at the machine whose files are under `root` (`/`), and at the disk that `store` lies on. Blocks as long as
    /// that disk does.
    pub fn look(root: &Path, store: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let disk = rustix::fs::statvfs(store).ok();
        Self {
            cpu_temperature: cpu_temperature(&root.join("sys/class/thermal")),
            under_voltage: under_voltage(&root.join("sys/class/hwmon")),
            disk_free: disk.as_ref().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            disk_free_percent: disk.as_ref().and_then(|disk| percent(disk.f_bavail, disk.f_blocks)),
            memory_available: text("proc/meminfo").and_then(|text| kilobytes(&text, "MemAvailable:")),
            load_1m: text("proc/loadavg").and_then(|text| load_1m(&text)),
        }
    }
}

/// The hottest zone of the processor; of all zones where none says that it is the processor's.
fn cpu_temperature(dir: &Path) -> Option<f64> {
    let mut hottest: [Option<f64>; 2] = [None; 2];
    for zone in entries(dir, "thermal_zone") {
        let text = |file: &str| fs::read_to_string(zone.join(file)).ok();
        let Some(degrees) = text("temp").and_then(|text| degrees(&text)) else { continue };
        let kind = text("type").unwrap_or_default().to_ascii_lowercase();
        let is_cpu = ["cpu", "soc", "x86_pkg"].iter().any(|word| kind.contains(word));
        let place = &mut hottest[usize::from(!is_cpu)];
        *place = Some(place.map_or(degrees, |known| known.max(degrees)));
    }
    hottest[0].or(hottest[1])
}

fn degrees(text: &str) -> Option<f64> {
    let degrees = f64::from(text.trim().parse::<i32>().ok()?) / 1_000.0;
    TEMPERATURES.contains(&degrees).then_some(degrees)
}

fn under_voltage(dir: &Path) -> Option<bool> {
    entries(dir, "hwmon").into_iter().find_map(|chip| {
        let text = |file: &str| fs::read_to_string(chip.join(file)).ok();
        (text("name")?.trim() == "rpi_volt").then_some(())?;
        match text("in0_lcrit_alarm")?.trim() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        }
    })
}

/// What a directory holds under names that begin so; links are followed by who reads them.
fn entries(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
    entries.flatten().take(ENTRIES_MAX).filter(named).map(|entry| entry.path()).collect()
}

/// A value of `status` or `meminfo`, which count in kB of 1,024 bytes.
pub(crate) fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

fn load_1m(text: &str) -> Option<f64> {
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part.min(whole) as f64 * 1_000.0 / whole as f64).round() / 10.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_raspberry_pi_tells_heat_voltage_memory_and_load() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        write(root, "sys/class/thermal/thermal_zone0/temp", "48312\n");
        write(root, "sys/class/thermal/cooling_device0/type", "fan\n");
        write(root, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n");
        write(root, "sys/class/hwmon/hwmon1/name", "rpi_volt\n");
        write(root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
        write(root, "proc/meminfo", "MemTotal:         440952 kB\nMemFree: 1 kB\nMemAvailable:     312000 kB\n");
        write(root, "proc/loadavg", "0.42 0.30 0.20 1/90 1234\n");
        let machine = Machine::look(root, root);
        assert_eq!(machine.cpu_temperature, Some(48.312));
        assert_eq!(machine.under_voltage, Some(true));
        assert_eq!(machine.memory_available, Some(312_000 * 1024));
        assert_eq!(machine.load_1m, Some(0.42));
        assert!(machine.disk_free.is_some_and(|bytes| bytes > 0), "{machine:?}");
        assert!(machine.disk_free_percent.is_some_and(|percent| (0.0..=100.0).contains(&percent)), "{machine:?}");
        write(root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
        assert_eq!(Machine::look(root, root).under_voltage, Some(false));
    }

    #[test]
    fn the_processors_zone_counts_and_any_zone_where_none_is_its() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (zone, kind, temp) in [(0, "acpitz", "90000"), (1, "x86_pkg_temp", "51000"), (2, "CPU-1", "53000")] {
            write(root, &format!("sys/class/thermal/thermal_zone{zone}/type"), kind);
            write(root, &format!("sys/class/thermal/thermal_zone{zone}/temp"), temp);
        }
        assert_eq!(Machine::look(root, root).cpu_temperature, Some(53.0));
        for zone in [1, 2] {
            write(root, &format!("sys/class/thermal/thermal_zone{zone}/type"), "wifi");
        }
        assert_eq!(Machine::look(root, root).cpu_temperature, Some(90.0));
    }

    #[test]
    fn what_is_missing_or_nonsense_is_not_said() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Machine::look(root.path(), &root.path().join("gone")), Machine::default());
        for text in ["", "hot", "-273150", "999999", "48.3"] {
            assert_eq!(degrees(text), None, "{text}");
        }
        for text in ["", "nan 0 0", "inf", "-1", "x"] {
            assert_eq!(load_1m(text), None, "{text}");
        }
        assert_eq!(percent(1, 0), None);
        assert_eq!((percent(1, 3), percent(9, 3)), (Some(33.3), Some(100.0)));
        write(root.path(), "sys/class/hwmon/hwmon0/name", "rpi_volt");
        write(root.path(), "sys/class/hwmon/hwmon0/in0_lcrit_alarm", "maybe");
        assert_eq!(Machine::look(root.path(), &root.path().join("gone")), Machine::default());
    }
}
