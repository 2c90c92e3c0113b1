//! Serial devices come and go.

use crate::stage::Stage;
use crate::support::consumer::{CLEARED, EXCEEDED, SOURCE_LOST, SOURCE_RESTORED};
use crate::support::gateway::{high_alarm, serial_source};
use crate::support::pty::SerialDevice;
use crate::support::{PATIENT, SOON, wait_until};

/// A stage with a serial source `boiler` and its device, plugged in.
fn boiler() -> (Stage, SerialDevice) {
    let dir = tempfile::tempdir().unwrap();
    let device = SerialDevice::plug_in(&dir.path().join("usb-boiler-if00-port0"));
    let options = crate::support::mosquitto::Options::persistent();
    let stage = Stage::build(dir, options, |config| {
        config.sources.push(serial_source("boiler", device.link()));
        config.alarms.push(high_alarm("boiling", "boiler/#", 75.0, "critical"));
    });
    (stage, device)
}

#[test]
fn a_device_that_is_pulled_out_and_put_back_under_another_name_is_found_again() {
    let (mut stage, mut device) = boiler();
    stage.start();
    wait_until("the port to be opened", SOON, || stage.gateway.has_open(device.name()));
    device.repeat_until("t=80", "the alarm", || stage.consumer.count(EXCEEDED) == 1);
    let first_name = device.name().to_owned();

    device.unplug();
    stage.consumer.wait_for(SOURCE_LOST, 1, SOON);
    device.replug();
    assert_ne!(device.name(), first_name);
    stage.consumer.wait_for(SOURCE_RESTORED, 1, PATIENT);
    wait_until("the port to be opened again", SOON, || stage.gateway.has_open(device.name()));

    // Still too warm: the alarm was active all the time. Then it clears, once.
    device.send("t=81\r\nt=82\r\nt=83\r\n");
    device.repeat_until("t=20", "the return", || stage.consumer.count(CLEARED) == 1);
    let story: Vec<_> = stage.consumer.events().into_iter().skip(1).map(|event| (event.kind, event.subject)).collect();
    let line = |kind: &str, subject: &str| (kind.to_owned(), subject.to_owned());
    assert_eq!(
        story,
        [
            line(EXCEEDED, "boiler/t"),
            line(SOURCE_LOST, "source/boiler"),
            line(SOURCE_RESTORED, "source/boiler"),
            line(CLEARED, "boiler/t"),
        ]
    );
    stage.consumer.assert_lossless();
}

#[test]
fn a_device_that_is_absent_at_the_start_is_taken_when_it_comes() {
    let (mut stage, mut device) = boiler();
    device.unplug();
    stage.start();
    stage.gateway.wait_logged(&["usb-boiler-if00-port0"]);
    device.replug();
    wait_until("the port to be opened", PATIENT, || stage.gateway.has_open(device.name()));
    device.repeat_until("t=80", "the alarm", || stage.consumer.count(EXCEEDED) == 1);
    stage.consumer.assert_lossless();
}

#[test]
fn a_serial_device_that_is_away_holds_nothing_else_up() {
    let (mut stage, mut device) = boiler();
    stage.start();
    wait_until("the port to be opened", SOON, || stage.gateway.has_open(device.name()));
    device.unplug();
    stage.cross(4, 1, 20);
    stage.consumer.wait_for_crossings(80, SOON);
    stage.consumer.assert_lossless();
}

#[test]
fn a_wrong_baud_rate_is_told_as_such_and_ends_no_alarm() {
    let (mut stage, device) = boiler();
    stage.start();
    wait_until("the port to be opened", SOON, || stage.gateway.has_open(device.name()));
    device.repeat_until("t=80", "the alarm", || stage.consumer.count(EXCEEDED) == 1);
    // What a device at half the rate looks like. What is read together with a line that is understood does not count.
    wait_until("the garbage to be told", SOON, || {
        device.send([0x66, 0x9e, 0x80, 0x06, 0xe6, 0xf8, 0x98, 0x1e].repeat(20));
        stage.consumer.count(SOURCE_LOST) == 1
    });
    stage.gateway.wait_logged(&["sends garbage at 115200 baud", "set `baud = 57600`"]);
    device.repeat_until("t=81", "what makes sense again", || stage.consumer.count(SOURCE_RESTORED) == 1);
    device.repeat_until("t=20", "the return", || stage.consumer.count(CLEARED) == 1);
    assert_eq!(stage.consumer.count(EXCEEDED), 1);
    stage.consumer.assert_lossless();
}
