//! Whether this machine has got a network again: a cable that is plugged back in need not wait for the back-off.
//!
//! Owns the list of what there is: physical interfaces with a carrier and default routes. Reads it from the kernel's
//! files every other second, only while an attempt is waited for (a dozen short reads; listening to netlink would need
//! more code than this has lines). What fails beyond the next switch is not seen here: for that there is the back-off.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Longest time after a gain until the attempt, evenly drawn: addresses and routes come a moment after the carrier, and
/// a switch that is powered up again gives a carrier to all gateways on it at once.
const SETTLE_MAX: Duration = Duration::from_secs(3);

/// Interfaces and routes looked at. A gateway has a handful; a machine that runs hundreds of containers is no reason to
/// read for long.
const LINKS_MAX: usize = 64;

/// What there was at the last look.
#[derive(Debug)]
pub struct Network {
    root: PathBuf,
    known: BTreeSet<String>,
}

impl Network {
    /// This machine's.
    pub fn of_this_machine() -> Self {
        Self::below(Path::new("/"))
    }

    fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), known: BTreeSet::new() }
    }

    /// What is there now is no news.
    pub fn look(&mut self) {
        self.known = self.links();
    }

    /// Returns once there is something that was not there at the look before, and has had a moment to settle.
    /// Cancel-safe. `random` is an even draw from 0 to 1.
    pub async fn gained(&mut self, random: f64) {
        while !self.has_gained() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::time::sleep(SETTLE_MAX.mul_f64(random.clamp(0.0, 1.0))).await;
    }

    fn has_gained(&mut self) -> bool {
        let now = self.links();
        let gained = now.difference(&self.known).next().is_some();
        self.known = now;
        gained
    }

    fn links(&self) -> BTreeSet<String> {
        let mut links = BTreeSet::new();
        let interfaces = fs::read_dir(self.root.join("sys/class/net")).into_iter().flatten().flatten();
        for interface in interfaces.take(LINKS_MAX) {
            let path = interface.path();
            // Only hardware has a device behind it; reading the carrier of one that is switched off fails.
            let carrier = fs::read_to_string(path.join("carrier")).is_ok_and(|carrier| carrier.trim() == "1");
            if carrier && path.join("device").exists() {
                links.insert(format!("carrier {}", interface.file_name().to_string_lossy()));
            }
        }
        // By way of `self`: `ProcSubset=pid` leaves that.
        let v4 = fs::read_to_string(self.root.join("proc/self/net/route")).unwrap_or_default();
        links.extend(v4.lines().filter_map(default_v4).take(LINKS_MAX));
        let v6 = fs::read_to_string(self.root.join("proc/self/net/ipv6_route")).unwrap_or_default();
        links.extend(v6.lines().filter_map(default_v6).take(LINKS_MAX));
        links
    }
}

/// A default route of `/proc/net/route`: interface, destination, gateway, five columns on, the mask.
fn default_v4(line: &str) -> Option<String> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    match columns[..] {
        [interface, "00000000", gateway, _, _, _, _, "00000000", ..] => Some(format!("v4 {interface} {gateway}")),
        _ => None,
    }
}

/// A default route of `/proc/net/ipv6_route`: destination, its length, source, its length, next hop, ..., interface.
fn default_v6(line: &str) -> Option<String> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    match columns[..] {
        [destination, "00", _, _, gateway, .., interface]
            if interface != "lo" && destination.bytes().all(|b| b == b'0') =>
        {
            Some(format!("v6 {interface} {gateway}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::*;

    const HEAD: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
    const LAN: &str = "eth0 0000A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0\n";
    const DEFAULT: &str = "eth0 00000000 0100A8C0 0003 0 0 100 00000000 0 0 0\n";

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine.write("proc/self/net/route", &format!("{HEAD}{LAN}"));
            machine.write("sys/class/net/eth0/device/vendor", "x");
            machine.write("sys/class/net/eth0/carrier", "0\n");
            machine.write("sys/class/net/veth1/carrier", "1\n");
            machine
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn a_carrier_or_a_default_route_is_a_gain_once_and_a_loss_is_none() {
        let machine = Machine::new();
        let mut network = Network::below(machine.0.path());
        network.look();
        assert!(!network.has_gained());
        machine.write("sys/class/net/eth0/carrier", "1\n");
        assert!(network.has_gained());
        assert!(!network.has_gained(), "it is known now");
        machine.write("proc/self/net/route", &format!("{HEAD}{LAN}{DEFAULT}"));
        assert!(network.has_gained());
        machine.write("proc/self/net/route", HEAD);
        machine.write("sys/class/net/eth0/carrier", "0\n");
        assert!(!network.has_gained());
        machine.write("sys/class/net/veth2/carrier", "1\n");
        assert!(!network.has_gained(), "no hardware, no uplink");
    }

    #[test]
    fn ipv6_default_routes_count_but_not_the_one_to_nowhere() {
        let zero = "0".repeat(32);
        let hop = "fe80000000000000000000000000abcd";
        let line =
            |interface: &str| format!("{zero} 00 {zero} 00 {hop} 00000400 00000002 00000000 00000003 {interface}");
        assert_eq!(default_v6(&line("eth0")), Some(format!("v6 eth0 {hop}")));
        assert_eq!(default_v6(&line("lo")), None);
        assert_eq!(default_v6(&line("eth0").replacen("00 ", "40 ", 2)), None);
        assert_eq!(default_v6(""), None);
    }

    #[test]
    fn a_machine_that_tells_nothing_gains_nothing() {
        let empty = tempfile::tempdir().unwrap();
        let mut network = Network::below(empty.path());
        network.look();
        assert!(!network.has_gained());
        // The real files are readable too, whatever they say.
        Network::of_this_machine().look();
    }
}
