//! The serial task against pseudo terminals: unplugged, plugged back in, silent, babbling, too fast.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::time::timeout;

use super::*;
use crate::config::model::{Common, Decode, FlowControl, Format, Framing, Parity, Source, SourceKind};
use crate::reading::Value;
use crate::source::testing::{self, DEADLINE};

fn source(port: &Path) -> Source {
    let config = SerialSource {
        port: port.to_owned(),
        baud: 115_200,
        data_bits: 8,
        parity: Parity::None,
        stop_bits: 1,
        flow_control: FlowControl::None,
        framing: Framing::Line { max_bytes: 64, keep_first: false },
        silence_after: None,
        ask: None,
        dtr: None,
        rts: None,
    };
    let decode = Decode {
        format: Format::KeyValue { separator: None, assign: None, strip_unit: true },
        max_future_skew: Duration::from_secs(3_600),
        max_age: Duration::from_secs(86_400),
        ..Decode::none()
    };
    Source { name: "boiler".into(), kind: SourceKind::Serial(config), decode, further: Vec::new() }
}

/// A device behind a link as udev makes it; dropping it pulls the plug.
struct Device {
    wire: std::fs::File,
    link: PathBuf,
}

impl Device {
    fn plug_in(link: &Path) -> Self {
        let wire = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&wire).unwrap();
        unlockpt(&wire).unwrap();
        let name = ptsname(&wire, Vec::new()).unwrap().into_string().unwrap();
        symlink(name, link).unwrap();
        Self { wire: wire.into(), link: link.to_owned() }
    }

    fn say(&mut self, text: &str) {
        self.wire.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Gone already where the whole directory is.
        let _ = std::fs::remove_file(&self.link);
    }
}

struct Rig {
    _directory: tempfile::TempDir,
    link: PathBuf,
    source: testing::Rig,
}

impl Rig {
    fn start(room: usize, change: impl FnOnce(&mut SerialSource)) -> (Self, Device) {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("usb-FTDI-port0");
        let device = Device::plug_in(&link);
        let mut source = source(&link);
        let SourceKind::Serial(config) = &mut source.kind else { unreachable!("made above") };
        change(config);
        let source = testing::Rig::start(&source, room);
        (Self { _directory: directory, link, source }, device)
    }

    fn count(&self) -> Arc<crate::counters::SourceCounters> {
        self.source.counters.source(&"boiler".into())
    }

    /// Waits until the port has been opened so many times.
    async fn opened(&self, times: u64) {
        until(|| self.count().connects.get() >= times).await;
    }

    async fn next(&mut self) -> String {
        self.source.next().await
    }

    async fn stop(self) {
        self.source.stop().await;
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let polling = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, polling).await.unwrap();
}

#[tokio::test]
async fn lines_are_read_without_the_partial_first_one_and_the_too_long() {
    let (mut rig, mut device) = Rig::start(16, |_| {});
    rig.opened(1).await;
    device.say("5 h=1\r\nt=21.5C");
    device.say(" h=48%\r\n");
    assert_eq!(rig.next().await, "boiler/t=21.5 boiler/h=48");
    device.say(&format!("{}\nt=22\n", "x".repeat(500)));
    assert_eq!(rig.next().await, "boiler/t=22");
    assert_eq!(rig.count().rejects(), [(Reject::TooLong, 1), (Reject::Partial, 1)].into());
    assert_eq!((rig.count().messages.get(), rig.count().readings.get()), (3, 3));
    rig.stop().await;
}

#[tokio::test]
async fn a_port_that_is_pulled_and_plugged_back_in_goes_on() {
    let (mut rig, mut device) = Rig::start(16, |_| {});
    rig.opened(1).await;
    device.say("\nt=1\n");
    assert_eq!(rig.next().await, "boiler/t=1");
    drop(device);
    let lost = rig.next().await;
    assert!(lost.starts_with("lost boiler: ") && lost.ends_with("plug it back in"), "{lost}");
    assert_eq!(rig.count().up.get(), 0);
    let mut device = Device::plug_in(&rig.link);
    let restored = rig.next().await;
    assert!(restored.contains("is open at 115200 baud"), "{restored}");
    assert_eq!(rig.count().up.get(), 1);
    // The unfinished line of before, and the first of now, are not glued together.
    device.say("9\nt=2\n");
    assert_eq!(rig.next().await, "boiler/t=2");
    rig.stop().await;
}

#[tokio::test]
async fn a_port_that_is_not_there_at_start_is_told_and_found_later() {
    let (mut rig, device) = Rig::start(16, |config| config.port = config.port.with_file_name("later"));
    let lost = rig.next().await;
    assert!(lost.contains("is not plugged in"), "{lost}");
    let later = Device::plug_in(&rig.link.with_file_name("later"));
    assert!(rig.next().await.starts_with("restored boiler"));
    drop((device, later));
    rig.stop().await;
}

#[tokio::test]
async fn a_silent_port_is_told_and_so_is_its_first_word() {
    let (mut rig, mut device) = Rig::start(16, |config| config.silence_after = Some(Duration::from_millis(50)));
    let lost = rig.next().await;
    assert!(lost.contains("has been silent for 50ms"), "{lost}");
    device.say("\nt=1\n");
    assert!(rig.next().await.contains("is heard again"));
    assert_eq!(rig.next().await, "boiler/t=1");
    rig.stop().await;
}

#[tokio::test]
async fn what_a_busy_engine_cannot_take_is_held_up_to_a_bound_and_counted_beyond() {
    let (mut rig, mut device) = Rig::start(1, |_| {});
    rig.opened(1).await;
    device.say("\n");
    let lines = READINGS_HELD_MAX + 500;
    let wire = std::thread::spawn(move || {
        for number in 0..lines {
            device.say(&format!("t={number}\n"));
        }
        device
    });
    until(|| rig.count().readings.get() == lines as u64).await;
    let device = wire.join().unwrap();
    let overrun = rig.count().rejects()[&Reject::Overrun];
    // One fits into the channel.
    assert_eq!(overrun, 500 - 1);
    for number in 0..=READINGS_HELD_MAX {
        let Some(FromSource::Readings { readings, .. }) = timeout(DEADLINE, rig.source.from.recv()).await.unwrap()
        else {
            panic!("expected a reading");
        };
        assert_eq!(readings[0].value, Value::Number(number as f64), "the oldest are kept, in order");
    }
    drop(device);
    rig.stop().await;
}

#[tokio::test]
async fn garbage_is_told_with_the_rate_that_would_fit_and_so_is_what_makes_sense_again() {
    let (mut rig, mut device) = Rig::start(16, |_| {});
    rig.opened(1).await;
    // As a device at half the rate looks: bits change at every other place only.
    device.wire.write_all(&[0x66, 0x9e, 0x80, 0x06, 0xe6, 0xf8, 0x98, 0x1e].repeat(16)).unwrap();
    let lost = rig.next().await;
    assert!(lost.contains("sends garbage at 115200 baud") && lost.contains("set `baud = 57600`"), "{lost}");
    assert_eq!(rig.count().up.get(), 0);
    device.say("\nt=1\n");
    assert_eq!(rig.next().await, "boiler/t=1");
    assert!(rig.next().await.contains("is understood again"));
    assert_eq!(rig.count().up.get(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn a_device_is_asked_again_and_again() {
    let (mut rig, mut device) =
        Rig::start(16, |config| config.ask = Some((b"S\r\n".to_vec(), Duration::from_millis(20))));
    for answer in ["\nt=1\n", "t=2\n"] {
        let (heard, back) = tokio::task::spawn_blocking(move || {
            let mut request = [0; 3];
            device.wire.read_exact(&mut request).unwrap();
            (request, device)
        })
        .await
        .unwrap();
        assert_eq!(&heard, b"S\r\n");
        device = back;
        device.say(answer);
        assert_eq!(rig.next().await, format!("boiler/{}", answer.trim()));
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_message_that_only_a_pause_ends_is_taken_without_another_byte() {
    let (mut rig, mut device) = Rig::start(16, |config| {
        let common = Common { max_bytes: 64, keep_first: true, checksum: None };
        config.framing = Framing::Gap { gap: Duration::from_millis(20), common };
    });
    rig.opened(1).await;
    device.say("t=1");
    assert_eq!(rig.next().await, "boiler/t=1");
    rig.stop().await;
}

#[tokio::test]
async fn every_flow_control_and_character_format_opens() {
    for (data_bits, parity, stop_bits, flow_control) in [
        (7, Parity::Even, 1, FlowControl::Software),
        (8, Parity::Odd, 2, FlowControl::None),
        (8, Parity::None, 1, FlowControl::Hardware),
    ] {
        let (mut rig, mut device) = Rig::start(16, |config| {
            (config.data_bits, config.parity, config.stop_bits) = (data_bits, parity, stop_bits);
            config.flow_control = flow_control;
        });
        rig.opened(1).await;
        device.say("\nt=1\n");
        assert_eq!(rig.next().await, "boiler/t=1");
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_user() {
    let (mut rig, _device) = Rig::start(16, |_| {});
    rig.opened(1).await;
    let SourceKind::Serial(config) = source(&rig.link).kind else { unreachable!("made above") };
    let found = probe(&config).await.unwrap_err();
    assert!(found.contains("is in use"), "{found}");
    rig.source.from.close();
    rig.stop().await;
}
