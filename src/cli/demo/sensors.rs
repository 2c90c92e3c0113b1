//! The demo's sensors: presses that publish to the local broker, and a boiler on a serial line.
//!
//! Owns what they say. Values stay clear of the limits and their deadbands, so each reading either must make an event
//! or must not, and the ledger is told which.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::OptionalActions;

use super::ledger::Ledger;

/// One reading in this many crosses the limit, one way or the other.
const CROSSES_ONE_IN: u32 = 4;

/// Messages that may wait for the local broker. The sensors send tens a second.
const OUTBOX_MAX: usize = 100;

/// A quantity that goes up and down across a limit.
#[derive(Debug)]
pub struct Quantity {
    /// The sensor's name in the gateway.
    pub sensor: String,
    low: (f64, f64),
    high: (f64, f64),
    is_high: bool,
}

/// A reading about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// The sensor's number of it.
    pub seq: u64,
    /// The value, with one decimal.
    pub value: f64,
    /// Whether it goes across the limit.
    pub crosses: bool,
}

impl Quantity {
    /// A press's temperature, around the limit of 75.
    pub fn temperature(press: usize) -> Self {
        Self {
            sensor: format!("plant/press-{press}/temperature"),
            low: (58.0, 70.0),
            high: (78.0, 92.0),
            is_high: false,
        }
    }

    /// The boiler's pressure, around the limit of 6.
    pub fn pressure() -> Self {
        Self { sensor: "boiler/pressure".to_owned(), low: (3.0, 5.0), high: (6.3, 7.5), is_high: false }
    }

    /// The next reading. Until an event of the sensor has arrived each one crosses, to find out whether the way is open.
    pub fn next(&mut self, ledger: &Ledger) -> Next {
        let crosses = !ledger.has_heard(&self.sensor) || fastrand::u32(..CROSSES_ONE_IN) == 0;
        self.is_high ^= crosses;
        let (from, to) = if self.is_high { self.high } else { self.low };
        let value = from + fastrand::f64() * (to - from);
        Next { seq: ledger.next_seq(&self.sensor), value: (value * 10.0).round() / 10.0, crosses }
    }
}

/// The presses: devices that share a connection to the local broker.
pub struct Presses {
    client: AsyncClient,
    quantities: Vec<Quantity>,
    turn: usize,
}

impl Presses {
    /// `count` presses at the broker on `port`.
    pub fn new(count: usize, port: u16) -> Self {
        let mut options = MqttOptions::new("demo-presses", Ipv4Addr::LOCALHOST.to_string(), port);
        options.set_keep_alive(Duration::from_secs(30));
        let (client, mut connection) = AsyncClient::new(options, OUTBOX_MAX);
        tokio::spawn(async move {
            // The broker lives as long as the demo: an error is a connection made too early, tried again.
            loop {
                if connection.poll().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        Self { client, quantities: (1..=count).map(Quantity::temperature).collect(), turn: 0 }
    }

    /// The sensors' names.
    pub fn sensors(&self) -> impl Iterator<Item = String> {
        self.quantities.iter().map(|quantity| quantity.sensor.clone())
    }

    /// The next press publishes; returns what, as a person reads it.
    ///
    /// # Errors
    ///
    /// In words, when the broker takes nothing any more.
    pub fn send(&mut self, ledger: &mut Ledger) -> Result<String, String> {
        self.turn = (self.turn + 1) % self.quantities.len();
        let quantity = &mut self.quantities[self.turn];
        let next = quantity.next(ledger);
        let ts = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let payload = format!(r#"{{"seq":{},"ts":{ts},"temperature":{:.1}}}"#, next.seq, next.value);
        let device = quantity.sensor.split('/').nth(1).unwrap_or_default();
        self.client
            .try_publish(format!("plant/{device}"), QoS::AtLeastOnce, false, payload)
            .map_err(|error| format!("the local broker takes no more: {error}"))?;
        ledger.sent(&quantity.sensor, next.crosses, Instant::now());
        Ok(format!("{}  {:.1} °C", quantity.sensor, next.value))
    }
}

/// The boiler's controller, at our end of a pseudo terminal. The gateway opens the other end as a serial port.
pub struct Boiler {
    ours: File,
    /// The device that the gateway opens.
    pub device: PathBuf,
    quantity: Quantity,
}

impl Boiler {
    /// Makes the line.
    ///
    /// # Errors
    ///
    /// In words, when the system has no pseudo terminals.
    pub fn new() -> Result<Self, String> {
        Self::open().map_err(|error| format!("no pseudo terminal for the serial sensor: {error}"))
    }

    fn open() -> std::io::Result<Self> {
        let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        rustix::pty::grantpt(&ours)?;
        rustix::pty::unlockpt(&ours)?;
        let name = rustix::pty::ptsname(&ours, Vec::new())?;
        let device = PathBuf::from(name.into_string().map_err(std::io::Error::other)?);
        // A serial line echoes nothing, also before its reader has set it up. The settings stay with our end.
        let theirs = rustix::fs::open(&device, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut settings = rustix::termios::tcgetattr(&theirs)?;
        settings.make_raw();
        rustix::termios::tcsetattr(&theirs, OptionalActions::Now, &settings)?;
        let flags = rustix::fs::fcntl_getfl(&ours)?;
        rustix::fs::fcntl_setfl(&ours, flags | OFlags::NONBLOCK)?;
        Ok(Self { ours: File::from(ours), device, quantity: Quantity::pressure() })
    }

    /// The sensor's name.
    pub fn sensor(&self) -> String {
        self.quantity.sensor.clone()
    }

    /// Whether somebody has the port open. What is said while nobody has is gone: a serial line has no memory.
    pub fn is_open(&self) -> bool {
        let mut poll = [PollFd::from_borrowed_fd(self.ours.as_fd(), PollFlags::OUT)];
        let at_once = Timespec::default();
        rustix::event::poll(&mut poll, Some(&at_once)).is_ok() && !poll[0].revents().contains(PollFlags::HUP)
    }

    /// Says a line, if there is room for it; returns it as a person reads it.
    ///
    /// # Errors
    ///
    /// In words, when the line is broken.
    pub fn send(&mut self, ledger: &mut Ledger) -> Result<Option<String>, String> {
        let was_high = self.quantity.is_high;
        let next = self.quantity.next(ledger);
        let line = format!("seq={} pressure={:.1}\r\n", next.seq, next.value);
        match self.ours.write(line.as_bytes()) {
            Ok(written) if written == line.len() => {
                ledger.sent(&self.quantity.sensor, next.crosses, Instant::now());
                Ok(Some(format!("{}  {:.1} bar", self.quantity.sensor, next.value)))
            }
            Ok(_) => Err("the serial line took half a line".to_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.quantity.is_high = was_high;
                Ok(None)
            }
            Err(error) => Err(format!("the serial line is broken: {error}")),
        }
    }
}

/// Subscribes upstream and hands on each message's topic and payload.
pub fn subscribe(port: u16, tls: rustls::ClientConfig) -> tokio::sync::mpsc::Receiver<(String, Vec<u8>)> {
    let mut options = MqttOptions::new("demo-subscriber", Ipv4Addr::LOCALHOST.to_string(), port);
    options.set_transport(rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(tls.into())));
    options.set_keep_alive(Duration::from_secs(30));
    options.set_max_packet_size(256 * 1024, 256 * 1024);
    let (client, mut connection) = AsyncClient::new(options, OUTBOX_MAX);
    // Full means that this process is busy: the broker waits then.
    let (messages, receiver) = tokio::sync::mpsc::channel(OUTBOX_MAX);
    tokio::spawn(async move {
        loop {
            match connection.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    // Only a client without its connection refuses, and this one polls it.
                    let _ = client.try_subscribe("tidegate/#", QoS::AtLeastOnce);
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    if messages.send((publish.topic, publish.payload.to_vec())).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    receiver
}
