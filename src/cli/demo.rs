//! `tidegate demo`: a whole site on this machine, to see what the gateway does and what it survives.
//!
//! Owns the play: sensors, two brokers, a TLS link that is cut, and the real gateway as a child process that is killed
//! while the link is down. Needs no hardware, no broker, no configuration and no network; leaves nothing behind. Its
//! verdict is computed from what the sensors sent and what a subscriber upstream received, never from what the gateway
//! says of itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::model::Credentials;
use crate::error::Failure;
use crate::forward::tls;

mod broker;
mod gateway;
mod ledger;
mod pace;
mod screen;
mod sensors;

use broker::Front;
use gateway::{Gateway, Place, Settings};
use ledger::{Arrival, Ledger, Totals, Verdict};
use pace::Pace;
use screen::{Detail, Screen, Tone};
use sensors::{Boiler, Presses};

/// Presses at the local broker.
const PRESSES: usize = 6;

/// How long the gateway may take until an event of every sensor has come all the way.
const START_MAX: Duration = Duration::from_secs(20);

/// How long what waits may take to arrive once the link is back.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// How long the gateway may take to stop.
const STOP_MAX: Duration = Duration::from_secs(15);

/// How long it must be quiet before counting begins: events of the warm-up are on their way until then.
const QUIET: Duration = Duration::from_millis(300);

/// Plays the demo: about 30 s, with `fast` under 8 s. With `keep` its directory (configuration, certificate, store, the
/// gateway's log) stays.
///
/// # Errors
///
/// [`Failure::Failed`] when something did not start, when an event was lost or came out of order, and when told to stop.
pub fn run(fast: bool, keep: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            ended = play(if fast { Pace::FAST } else { Pace::NORMAL }, keep) => ended.map_err(Failure::Failed),
            stopped = told_to_stop() => Err(Failure::Failed(stopped)),
        }
    })
}

/// Waits for Ctrl-C, a request to end, or the end of the terminal; dropping the play then cleans up.
async fn told_to_stop() -> String {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = signals else {
        // Without these signals the play just runs to its end.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    "stopped before the end; the gateway of the demo is stopped too".to_owned()
}

async fn play(pace: Pace, keep: bool) -> Result<(), String> {
    let mut stage = Stage::build(pace, keep).await?;
    let played = stage.acts().await;
    let (lines, warnings, errors) = gateway::log_summary(&stage.log);
    if let Err(error) = played {
        let end = gateway::log_end(&stage.log);
        let help = if keep { "" } else { " (all of it stays with `tidegate demo --keep`)" };
        return Err(format!("{error}\n\nThe end of the gateway's log{help}:\n{end}"));
    }
    let totals = stage.ledger.totals();
    stage.table(&totals);
    stage.screen.line("");
    stage.screen.line(&format!("  The gateway logged {lines} lines, {warnings} warnings, {errors} errors."));
    if keep {
        stage.screen.line(&format!("  Everything is in {}", stage.place.path.display()));
    }
    if totals.lost > 0 || totals.out_of_order > 0 {
        let (lost, late) = (totals.lost, totals.out_of_order);
        return Err(format!("{lost} events lost, {late} out of order: this must not be, please report it"));
    }
    stage.screen.line("");
    stage.screen.line("  Next: README.md explains the idea, config/examples/ has configurations to start from,");
    stage.screen.line("  `tidegate check --config FILE` says what is wrong with yours before anything runs.");
    Ok(())
}

/// All that is on stage.
struct Stage {
    pace: Pace,
    screen: Screen,
    ledger: Ledger,
    presses: Presses,
    boiler: Boiler,
    boiler_speaks: bool,
    link: Front,
    /// Never cut: the subscriber is on the far side.
    _far_side: Front,
    messages: Receiver<(String, Vec<u8>)>,
    press_tick: Interval,
    boiler_tick: Interval,
    status_tick: Interval,
    link_up: bool,
    last_arrival: Instant,
    // The gateway before the place: a dead one writes nothing more into it.
    gateway: Option<Gateway>,
    configuration: PathBuf,
    log: PathBuf,
    place: Place,
}

impl Stage {
    async fn build(pace: Pace, keep: bool) -> Result<Self, String> {
        let screen = Screen::new(pace.show_every);
        let place = Place::make(keep)?;
        let boiler = Boiler::new()?;
        let (local_port, upstream_port) = (broker::free_port()?, broker::free_port()?);
        broker::start("local broker", local_port).await?;
        broker::start("upstream broker", upstream_port).await?;
        let ca_file = place.path.join("ca.pem");
        let server_tls = broker::certificates(&ca_file)?;
        let link = Front::listen(server_tls.clone(), upstream_port).await?;
        let far_side = Front::listen(server_tls, upstream_port).await?;
        let credentials = Credentials { ca_file: Some(ca_file.clone()), ..Credentials::default() };
        let client_tls = tls::client_config(&credentials, crate::clock::BUILT, &tls::expiry::Certificates::default())
            .map_err(|error| error.to_string())?;
        let messages = sensors::subscribe(far_side.port, client_tls);
        let presses = Presses::new(PRESSES, local_port);
        let ledger = Ledger::new(presses.sensors().chain([boiler.sensor()]));

        let configuration = place.path.join("tidegate.toml");
        let text = gateway::configuration(&Settings {
            place: &place.path,
            local_port,
            upstream_port: link.port,
            ca_file: &ca_file,
            serial: &boiler.device,
        });
        std::fs::write(&configuration, text).map_err(|error| format!("{}: {error}", configuration.display()))?;

        let bold = |text: &str| screen.paint(Tone::Strong, text);
        screen.line(&bold("tidegate demo: a whole site on this machine. Nothing is installed, nothing stays."));
        screen.line(&format!("  {PRESSES} presses       publish to an MQTT broker on 127.0.0.1:{local_port}"));
        screen.line(&format!("  1 boiler        speaks on a serial line, {}", boiler.device.display()));
        screen.line(&format!("  upstream        an MQTT broker over TLS on 127.0.0.1:{}", link.port));
        screen.line(&format!("  configuration   {}", configuration.display()));
        screen.line("");

        let log = place.path.join("gateway.log");
        let mut stage = Self {
            press_tick: ticks(pace.press_every),
            boiler_tick: ticks(pace.boiler_every),
            status_tick: ticks(pace.show_every),
            pace,
            screen,
            ledger,
            presses,
            boiler,
            boiler_speaks: true,
            link,
            _far_side: far_side,
            messages,
            link_up: true,
            last_arrival: Instant::now(),
            gateway: None,
            configuration,
            log,
            place,
        };
        stage.start_gateway()?;
        Ok(stage)
    }

    /// The play itself.
    async fn acts(&mut self) -> Result<(), String> {
        let began = Instant::now();
        let all_heard = |stage: &Self| stage.ledger.has_heard_all();
        self.until(START_MAX, all_heard, "an event of every sensor has come all the way upstream").await?;
        self.boiler_speaks = false;
        let found = began.elapsed();
        // The presses fall silent too: no tick is waited for here.
        while self.last_arrival.elapsed() < QUIET {
            let left = QUIET.saturating_sub(self.last_arrival.elapsed());
            if let Ok(message) = tokio::time::timeout(left, self.messages.recv()).await {
                self.received(message)?;
            }
        }
        self.ledger.begin();
        self.boiler_speaks = true;
        self.say("demo", Tone::Good, &format!("every sensor reached upstream within {found:.1?}; counting from here"));
        self.go_on(self.pace.live).await?;

        self.link.cut();
        self.link_up = false;
        self.say("demo", Tone::Warn, "the upstream link is CUT; the sensors go on");
        self.go_on(self.pace.down).await?;
        self.boiler_speaks = false;
        self.go_on(self.pace.hush).await?;
        let gateway = self.gateway.take().ok_or("the gateway is gone")?;
        let pid = gateway.pid();
        gateway.kill()?;
        let waiting = self.ledger.waiting();
        let text = format!("kill -9 {pid}: the gateway is DEAD, with {waiting} events that upstream has not seen");
        self.say("demo", Tone::Bad, &text);
        self.go_on(self.pace.dead).await?;
        self.start_gateway()?;
        self.until(START_MAX, |stage| stage.boiler.is_open(), "the gateway has opened the serial line again").await?;
        self.boiler_speaks = true;
        self.go_on(self.pace.down_again).await?;

        let waiting = self.ledger.waiting();
        self.link.restore();
        self.link_up = true;
        self.say("demo", Tone::Good, &format!("the link is back; {waiting} events wait"));
        let restored = Instant::now();
        let delivered = self.ledger.totals().delivered;
        self.until(DRAIN_MAX, |stage| stage.ledger.waiting() <= 2, "what waited has arrived").await?;
        let drained = self.ledger.totals().delivered - delivered;
        let text = format!("{drained} events arrived within {:.1?} of the link's return", restored.elapsed());
        self.say("demo", Tone::Good, &text);
        self.go_on(self.pace.live_again).await?;

        // The sensors stop; what is on its way may still come, and losses are for the table to say.
        let end = Instant::now() + DRAIN_MAX;
        while self.ledger.waiting() > 0 || self.last_arrival.elapsed() < QUIET {
            let wait = tokio::time::timeout(QUIET, self.messages.recv()).await;
            match wait {
                Ok(message) => self.received(message)?,
                Err(_) if Instant::now() > end => break,
                Err(_) => {}
            }
        }
        let gateway = self.gateway.take().ok_or("the gateway is gone")?;
        gateway.stop(STOP_MAX).await?;
        self.say("demo", Tone::Plain, "the gateway was asked to stop, and did");
        Ok(())
    }

    fn start_gateway(&mut self) -> Result<(), String> {
        let gateway = Gateway::start(&self.configuration, &self.log)?;
        let pid = gateway.pid();
        self.say(
            "demo",
            Tone::Plain,
            &format!("tidegate run --config {} (process {pid})", self.configuration.display()),
        );
        self.gateway = Some(gateway);
        Ok(())
    }

    /// Lets everybody go on for `time`.
    async fn go_on(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(end).await?;
        }
        Ok(())
    }

    /// Lets everybody go on until `holds`, which `what` says in words.
    async fn until(&mut self, most: Duration, holds: impl Fn(&Self) -> bool, what: &str) -> Result<(), String> {
        let end = Instant::now() + most;
        while !holds(self) {
            if Instant::now() >= end {
                return Err(format!("waited {most:?} in vain: {what}"));
            }
            self.turn(end).await?;
        }
        Ok(())
    }

    /// The next thing that happens, before `end`.
    async fn turn(&mut self, end: Instant) -> Result<(), String> {
        if let Some(status) = self.gateway.as_mut().and_then(Gateway::ended) {
            return Err(format!("the gateway ended by itself with {status}"));
        }
        tokio::select! {
            biased;
            message = self.messages.recv() => self.received(message)?,
            _ = self.press_tick.tick() => {
                let text = self.presses.send(&mut self.ledger)?;
                self.screen.detail(Detail::Reading, "reading", || text);
            }
            _ = self.boiler_tick.tick(), if self.boiler_speaks => {
                if let Some(text) = self.boiler.send(&mut self.ledger)? {
                    self.screen.detail(Detail::Reading, "reading", || text);
                }
            }
            _ = self.status_tick.tick() => self.status(),
            () = tokio::time::sleep_until(end.into()) => {}
        }
        Ok(())
    }

    fn received(&mut self, message: Option<(String, Vec<u8>)>) -> Result<(), String> {
        let (topic, payload) = message.ok_or("the subscriber is gone")?;
        let now = Instant::now();
        self.last_arrival = now;
        if topic.ends_with("/status") {
            let status: serde_json::Value = serde_json::from_slice(&payload).unwrap_or_default();
            self.say("upstream", Tone::Plain, &format!("{topic}: {}", status["state"].as_str().unwrap_or("?")));
            return Ok(());
        }
        let arrival = Arrival::read(&payload)?;
        let verdict = self.ledger.arrived(&arrival, now);
        let text = |more: &str| format!("{}: {} {}{more}", arrival.short_kind(), arrival.subject, arrival.value);
        match verdict {
            Verdict::Expected => self.screen.detail(Detail::Event, "upstream", || {
                let delay = arrival.seq.and_then(|seq| self.ledger.delay(&arrival.subject, seq, now));
                let waited = if arrival.backlog { ", had waited" } else { "" };
                text(&format!(", {:.1?} after the sensor{waited}", delay.unwrap_or_default()))
            }),
            Verdict::Unexpected => self.say("upstream", Tone::Bad, &text(", which no reading should have made")),
            Verdict::Other if arrival.seq.is_none() => {
                self.say("upstream", Tone::Plain, &format!("{}: {}", arrival.short_kind(), arrival.subject));
            }
            Verdict::Other | Verdict::Repeated => {}
        }
        Ok(())
    }

    fn status(&self) {
        let totals = self.ledger.totals();
        if totals.readings == 0 {
            return;
        }
        let (link, tone) = if self.link_up { ("link up  ", Tone::Plain) } else { ("LINK DOWN", Tone::Warn) };
        let dead = if self.gateway.is_none() { "  GATEWAY DEAD" } else { "" };
        let text = format!(
            "{link}  {:5} readings  {:4} events  {:4} arrived  {:4} waiting{dead}",
            totals.readings, totals.raised, totals.delivered, totals.lost
        );
        self.say("status", tone, &text);
    }

    fn say(&self, who: &str, tone: Tone, text: &str) {
        self.screen.say(who, tone, text);
    }

    fn table(&self, totals: &Totals) {
        let screen = &self.screen;
        let good = |is_good: bool| if is_good { Tone::Good } else { Tone::Bad };
        let number = |number: u64| number.to_string();
        screen.line("");
        screen.row("readings sent", &number(totals.readings), Tone::Plain, "");
        screen.row("events they had to raise", &number(totals.raised), Tone::Plain, "computed by the sensors");
        screen.row("events stored by the gateway", &number(totals.stored), Tone::Plain, "warm-up and its own included");
        screen.row("delivered", &number(totals.delivered), good(totals.delivered == totals.raised), "");
        screen.row("  of which waited for the link", &number(totals.backlog), Tone::Plain, "across the kill -9");
        screen.row("lost", &number(totals.lost), good(totals.lost == 0), "");
        screen.row("out of order", &number(totals.out_of_order), good(totals.out_of_order == 0), "within a sensor");
        screen.row("duplicated", &number(totals.repeated), Tone::Plain, "same id: at least once is the promise");
        if totals.unexpected > 0 {
            screen.row("unexpected", &number(totals.unexpected), Tone::Bad, "no reading should have made them");
        }
        if let Some(delay) = totals.median_delay {
            screen.row(
                "sensor to subscriber, median",
                &format!("{delay:.1?}"),
                Tone::Plain,
                "link up; on disk before it leaves",
            );
        }
    }
}

/// Ticks that are not caught up with after a pause.
fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
