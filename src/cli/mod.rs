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
pub mod queue;
pub mod reload;
pub mod replay;
pub mod run;
pub mod status;
pub mod tap;
pub mod test;
pub mod top;
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
Examples:
  tidegate run
  tidegate run --config ./tidegate.toml

SIGHUP reloads the configuration, as `tidegate reload` does; a bad one is refused and the old one stays in force.
SIGTERM stops: sources first, then what can be drained upstream within gateway.shutdown_grace.

Exit codes: 0 stopped when told to, 1 failed, 2 usage, 78 the configuration is wrong.")]
    Run(run::Arguments),
    /// Check a configuration without running it; every mistake in one go
    #[command(after_help = "\
Examples:
  tidegate check
  tidegate check --config ./tidegate.toml --environment
  tidegate check --json | jq '.problems[].message'

Exit codes: 0 good, 1 the environment is not as configured, 2 usage, 78 the configuration is wrong.")]
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
        /// For scripts: every mistake and what was tried; the report for people goes to standard error
        #[arg(long)]
        json: bool,
    },
    /// Ask the running gateway how it is
    #[command(after_help = status::EXAMPLES)]
    Status {
        /// The running gateway's control socket (gateway.control_socket)
        #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
        socket: PathBuf,
        /// For scripts
        #[arg(long)]
        json: bool,
        /// Again every two seconds, until Ctrl-C; with --json one object a line
        #[arg(long, short)]
        watch: bool,
    },
    /// Watch the running gateway in a terminal: alarms, sensors, sources, events, queue
    #[command(after_help = top::EXAMPLES)]
    Top(top::Arguments),
    /// Print the running gateway's metrics (OpenMetrics text)
    #[command(after_help = "\
Examples:
  tidegate metrics
  tidegate metrics | grep tidegate_lost_events

Exit codes: 0 printed, 1 no gateway answers, 2 usage.")]
    Metrics {
        /// The running gateway's control socket (gateway.control_socket)
        #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
        socket: PathBuf,
    },
    /// Show or change how much the running gateway logs
    #[command(after_help = log_level::EXAMPLES)]
    LogLevel(log_level::Arguments),
    /// Show the running gateway's alarms; acknowledge, shelve or suppress them
    #[command(after_help = alarms::EXAMPLES)]
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

Exit codes: 0 healthy or never used, 1 damage found, unreadable or no store there, 2 usage, 78 the configuration is wrong.")]
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
    #[command(after_help = dead::EXAMPLES)]
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
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// What waits to be sent upstream: show it, export it, give it up
    #[command(after_help = queue::EXAMPLES)]
    Queue(queue::Arguments),
    /// Have the running gateway take its changed configuration, and say what came of it
    #[command(after_help = reload::EXAMPLES)]
    Reload(reload::Arguments),
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
    #[command(after_help = "\
Examples:
  tidegate demo
  tidegate demo --fast --keep

Exit codes: 0 nothing was lost, 1 it failed, 2 usage.")]
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
    #[command(after_help = alarms::EXAMPLES)]
    List {
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Acknowledge: seen; ends a latched alarm whose condition is gone
    #[command(after_help = alarms::EXAMPLES)]
    Ack(alarms::Which),
    /// Take out of force for a while
    #[command(after_help = alarms::EXAMPLES)]
    Shelve {
        #[command(flatten)]
        which: alarms::Which,
        /// For how long: 30m, 2h, 1d
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        time: std::time::Duration,
    },
    /// Put back into force before the time is over
    #[command(after_help = alarms::EXAMPLES)]
    Unshelve(alarms::Which),
    /// Take out of force until somebody puts it back
    #[command(after_help = alarms::EXAMPLES)]
    Suppress(alarms::Which),
    /// Put back into force what is suppressed
    #[command(after_help = alarms::EXAMPLES)]
    Unsuppress(alarms::Which),
}

impl AlarmsCommand {
    fn execute(self, socket: &std::path::Path) -> Result<(), Failure> {
        match self {
            Self::List { json } => alarms::list(socket, json),
            Self::Ack(which) => alarms::tell(socket, "acknowledge", which, None),
            Self::Shelve { which, time } => alarms::tell(socket, "shelve", which, Some(time)),
            Self::Unshelve(which) => alarms::tell(socket, "unshelve", which, None),
            Self::Suppress(which) => alarms::tell(socket, "suppress", which, None),
            Self::Unsuppress(which) => alarms::tell(socket, "unsuppress", which, None),
        }
    }
}

impl Arguments {
    /// Does what the command line says.
    pub fn execute(self) -> Result<(), Failure> {
        match self.command {
            Command::Run(arguments) => crate::app::run(&arguments.config),
            Command::Check { config, environment, without_files, json } => {
                check::run(&config, check::Wanted { files: !without_files, environment, json })
            }
            Command::Status { socket, json, watch: false } => status::status(&socket, json),
            Command::Status { socket, json, watch: true } => status::watch(&socket, json),
            Command::Top(arguments) => arguments.execute(),
            Command::Metrics { socket } => metrics::metrics(&socket),
            Command::LogLevel(arguments) => arguments.execute(),
            Command::Alarms { socket, what } => what.execute(&socket),
            Command::Dead { socket, what } => what.execute(&socket),
            Command::Doctor { config, store, export, all, gateway, json } => {
                doctor::run(doctor::Wanted { config, store, export, all, gateway, json })
            }
            Command::Events(arguments) => arguments.execute(),
            Command::Presets { name, base, json } => presets::presets(name.as_deref(), base.as_deref(), json),
            Command::Queue(arguments) => arguments.execute(),
            Command::Reload(arguments) => arguments.execute(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// Every subcommand that does something, by its whole name.
    fn leaves(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
        let name = format!("{name} {}", command.get_name());
        if command.get_subcommands().next().is_none() {
            found.push((name.trim().to_owned(), command.clone()));
        }
        command.get_subcommands().for_each(|inner| leaves(inner, &name, found));
    }

    /// Commands without `--json`, and why.
    const NO_JSON: [(&str, &str); 6] = [
        ("tidegate run", "what it says is its log: gateway.log_format = \"json\""),
        ("tidegate metrics", "OpenMetrics is for programs already"),
        ("tidegate events export", "one CloudEvent in JSON a line already"),
        ("tidegate queue export", "one CloudEvent in JSON a line already"),
        ("tidegate completions", "a text for a shell"),
        ("tidegate demo", "a show for people"),
    ];

    #[test]
    fn every_command_says_what_it_does_with_examples_and_exit_codes_and_can_be_read_by_scripts() {
        let mut found = Vec::new();
        leaves(&Arguments::command(), "", &mut found);
        assert!(found.len() > 20, "{}", found.len());
        for (name, command) in &found {
            assert!(command.get_about().is_some(), "{name} has no about");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for words in ["Examples:\n", "Exit codes: 0 ", "2 usage"] {
                assert!(help.contains(words), "{name}: {words:?} is missing in {help:?}");
            }
            assert!(help.contains(name.as_str()), "{name} is in none of its examples: {help}");
            let undescribed = command.get_arguments().find(|one| one.get_help().is_none());
            assert!(undescribed.is_none(), "{name}: {undescribed:?} has no help");
            let has_json = command.get_arguments().any(|one| one.get_long() == Some("json"));
            let is_excused = NO_JSON.iter().any(|(excused, _)| excused == name);
            assert_ne!(has_json, is_excused, "{name} has --json, or a reason why not");
        }
        let mut names = found.iter().map(|(name, _)| name.as_str());
        assert!(names.clone().any(|name| name == "tidegate reload"));
        for (excused, why) in NO_JSON {
            let is_there = names.clone().any(|name| name == excused) || excused == "tidegate demo";
            assert!(is_there, "{excused} ({why}) is no command any more");
        }
        assert!(names.any(|name| name == "tidegate top"));
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
