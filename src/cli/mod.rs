//! The command line: one file a subcommand; here, their arguments.
//!
//! Owns the words on the command line and their help. Never does the work.

pub mod alarms;
pub mod backtest;
pub mod check;
pub mod client;
pub mod completions;
pub mod dead;
#[cfg(feature = "demo")]
pub mod demo;
pub mod discover;
pub mod doctor;
pub mod events;
pub mod log_level;
pub mod metrics;
pub mod ports;
pub mod presets;
pub mod replay;
pub mod status;
pub mod tap;
pub mod test;
pub mod upstream;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config;
use crate::error::Failure;

/// Where the packages put the configuration.
const DEFAULT_CONFIG: &str = "/etc/tidegate/tidegate.toml";

/// Where a gateway listens to its operator when nothing else is configured.
const DEFAULT_SOCKET: &str = config::model::CONTROL_SOCKET;

/// Edge IoT event gateway: reads sensors, raises threshold events, stores them durably and forwards them over TLS.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (what the systemd unit does)
    #[command(after_help = "\
SIGHUP reloads the configuration; a bad one is refused and the old one stays in force.
SIGTERM stops: sources first, then what can be drained upstream within gateway.shutdown_grace.

Exit codes: 0 stopped when told to, 1 failed, 2 usage, 78 the configuration is wrong.")]
    Run {
        /// Configuration file; conf.d/*.toml beside it is read too
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Check a configuration without running it; every mistake in one go
    #[command(after_help = "\
Examples:
  tidegate check
  tidegate check --config ./tidegate.toml --environment

Exit codes: 0 good, 1 the environment is not as configured, 78 the configuration is wrong.")]
    Check {
        /// Configuration file; conf.d/*.toml beside it is read too
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        /// Also open the ports, reach the brokers, shake hands and try the store's folder
        #[arg(long)]
        environment: bool,
        /// Leave out the certificates, keys and password files: for a configuration made on another machine
        #[arg(long, conflicts_with = "environment")]
        without_files: bool,
    },
    /// Ask the running gateway how it is
    Status {
        /// The running gateway's control socket (gateway.control_socket)
        #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
        socket: PathBuf,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Print the running gateway's metrics (OpenMetrics text)
    Metrics {
        /// The running gateway's control socket (gateway.control_socket)
        #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
        socket: PathBuf,
    },
    /// Show or change how much the running gateway logs
    #[command(after_help = log_level::EXAMPLES)]
    LogLevel(log_level::Arguments),
    /// Show the running gateway's alarms; acknowledge or shelve them
    #[command(after_help = "\
Examples:
  tidegate alarms list
  tidegate alarms ack too-warm zigbee/cold-store/temperature
  tidegate alarms shelve too-warm 'zigbee/+/temperature' --for 2h")]
    Alarms {
        /// The running gateway's control socket (gateway.control_socket)
        #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET, global = true)]
        socket: PathBuf,
        #[command(subcommand)]
        what: AlarmsCommand,
    },
    /// Look into a store, of a stopped or a running gateway: what it holds, what is broken, what to do; changes nothing
    #[command(after_help = "\
Examples:
  sudo tidegate doctor
  tidegate doctor --store ./copy-of-store --json
  sudo tidegate doctor --export events.jsonl      what is not delivered yet, as CloudEvents, one a line
  sudo tidegate doctor --all --export -           also what is delivered and what is in quarantine/

Exit codes: 0 healthy, 1 damage found or unreadable, 2 usage, 78 the configuration is wrong.")]
    Doctor {
        /// Configuration file that names the store
        #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG, conflicts_with = "store")]
        config: PathBuf,
        /// The store's directory, or a copy of it; no configuration is needed then
        #[arg(long, value_name = "PATH")]
        store: Option<PathBuf>,
        /// Write the readable events that are not delivered to a new file, or to standard output (-)
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
        /// Export delivered events too, as far as they are still there
        #[arg(long, requires = "export")]
        all: bool,
        /// The gateway's name in exported events, where no configuration gives it
        #[arg(long, value_name = "NAME", requires = "export")]
        gateway: Option<String>,
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Look back: events that wait, and delivered ones where they are kept (store.retain_delivered)
    #[command(after_help = events::EXAMPLES)]
    Events(events::Arguments),
    /// Events that the upstream refuses: show them, send them again, drop them
    #[command(after_help = "\
Examples:
  tidegate dead list
  tidegate dead show 1042
  tidegate dead retry 1042
  tidegate dead retry --all
  tidegate dead drop --all --yes

An event is set aside when it cannot be sent, or when the broker ended three connections in a row rather than take it.
It is announced upstream as lost (reason `dead-letter`); a retry that succeeds brings it after all, with its first id.

Exit codes: 0 done, 1 no gateway answers or there is no such letter, 2 usage.")]
    Dead {
        /// The running gateway's control socket (gateway.control_socket)
        #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET, global = true)]
        socket: PathBuf,
        #[command(subcommand)]
        what: dead::DeadCommand,
    },
    /// What is known about kinds of devices: list the presets, or print one
    #[command(after_help = presets::EXAMPLES)]
    Presets {
        /// The preset to print
        name: Option<String>,
        /// First levels of its topics instead of the usual ones
        #[arg(long, value_name = "TOPIC", requires = "name")]
        base: Option<String>,
    },
    /// Have the running gateway send delivered events again, marked as replayed and behind what is new
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::Arguments),
    /// Look on while the gateway works: bytes, readings, and what each alarm makes of them
    #[command(after_help = tap::EXAMPLES)]
    Tap(tap::Arguments),
    /// Decode a sample from standard input as a source would, and judge it by the alarms; needs no gateway
    #[command(after_help = test::EXAMPLES)]
    Test(test::Arguments),
    /// The serial ports of this machine: what is behind them, who has them, what to write as `port`
    #[command(after_help = ports::EXAMPLES)]
    Ports(ports::Arguments),
    /// Listen to a port or a broker for a while and propose a configuration
    #[command(after_help = discover::EXAMPLES)]
    Discover(discover::Arguments),
    /// Replay recorded readings through other alarms: what would they have raised, beside those in force?
    #[command(after_help = backtest::EXAMPLES)]
    Backtest(backtest::Arguments),
    /// Have the running gateway connect upstream now instead of at its next attempt
    #[command(after_help = upstream::EXAMPLES)]
    Upstream(upstream::Arguments),
    /// Print what a shell needs to complete these commands
    #[command(after_help = completions::EXAMPLES)]
    Completions {
        /// Your shell
        shell: completions::Shell,
    },
    /// Watch the whole job on this machine: no hardware, no broker, no configuration needed
    #[cfg(feature = "demo")]
    Demo {
        /// Finish in under 8 seconds instead of about 30
        #[arg(long)]
        fast: bool,
        /// Keep the demo's folder with its configuration, logs and store
        #[arg(long)]
        keep: bool,
    },
}

#[derive(Debug, Subcommand)]
enum AlarmsCommand {
    /// Every alarm that is not plainly normal
    List {
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Acknowledge: seen; ends a latched alarm whose condition is gone
    Ack {
        /// The alarm's name
        alarm: String,
        /// The sensor's name, or a pattern with + and #
        sensor: String,
    },
    /// Take out of force for a while
    Shelve {
        /// The alarm's name
        alarm: String,
        /// The sensor's name, or a pattern with + and #
        sensor: String,
        /// For how long: 30m, 2h, 1d
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        time: std::time::Duration,
    },
    /// Put back into force
    Unshelve {
        /// The alarm's name
        alarm: String,
        /// The sensor's name, or a pattern with + and #
        sensor: String,
    },
}

impl AlarmsCommand {
    fn execute(self, socket: &std::path::Path) -> Result<(), Failure> {
        match self {
            Self::List { json } => alarms::list(socket, json),
            Self::Ack { alarm, sensor } => alarms::tell(socket, "acknowledge", alarm, sensor, None),
            Self::Shelve { alarm, sensor, time } => alarms::tell(socket, "shelve", alarm, sensor, Some(time)),
            Self::Unshelve { alarm, sensor } => alarms::tell(socket, "unshelve", alarm, sensor, None),
        }
    }
}

impl Arguments {
    /// Does what the command line says.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            Command::Run { config } => crate::app::run(&config),
            Command::Check { config, environment, without_files } => check::run(&config, !without_files, environment),
            Command::Status { socket, json } => status::status(&socket, json),
            Command::Metrics { socket } => metrics::metrics(&socket),
            Command::LogLevel(arguments) => arguments.execute(),
            Command::Alarms { socket, what } => what.execute(&socket),
            Command::Dead { socket, what } => what.execute(&socket),
            Command::Doctor { config, store, export, all, gateway, json } => {
                doctor::run(doctor::Wanted { config, store, export, all, gateway, json })
            }
            Command::Events(arguments) => arguments.execute(),
            Command::Presets { name, base } => presets::presets(name.as_deref(), base.as_deref()),
            Command::Replay(arguments) => arguments.execute(),
            Command::Upstream(arguments) => arguments.execute(),
            Command::Tap(arguments) => arguments.execute(),
            Command::Ports(arguments) => arguments.execute(),
            Command::Discover(arguments) => arguments.execute(),
            Command::Test(arguments) => arguments.execute(),
            Command::Backtest(arguments) => arguments.execute(),
            Command::Completions { shell } => completions::run(shell),
            #[cfg(feature = "demo")]
            Command::Demo { fast, keep } => demo::run(fast, keep),
        }
    }
}
