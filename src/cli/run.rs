//! `tidegate run`: its arguments, and the way to it that leaves the other commands alone.
//!
//! A gateway runs for years, the command line is read once: what is built to read all of it (the texts, rules and
//! defaults of two dozen commands) would stay in the gateway's memory, a third of a megabyte of it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser};

use super::DEFAULT_CONFIG;

/// What `tidegate run` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Configuration file; conf.d/*.toml beside it is read too
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// The command line behind `run`. Without help: that is told as part of the whole.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Alone {
    #[command(flatten)]
    run: Arguments,
}

/// What a command line says that begins with `run` (the program's name is not among the words) and has no mistake;
/// `None` for any other, which is left to [`super::Arguments`].
pub fn alone(words: impl IntoIterator<Item = OsString>) -> Option<Arguments> {
    let mut words = words.into_iter();
    words.next().filter(|first| first == "run")?;
    Alone::try_parse_from(words).ok().map(|alone| alone.run)
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    fn shortly(words: &[&str]) -> Option<PathBuf> {
        alone(words.iter().map(OsString::from)).map(|run| run.config)
    }

    #[test]
    fn run_is_understood_alone_as_it_is_among_all_commands() {
        for words in [
            &["run"][..],
            &["run", "--config", "a b.toml"],
            &["run", "--config=./x.toml"],
            &["run", "-c", "x.toml"],
            &["run", "-cx.toml"],
        ] {
            let whole = super::super::Arguments::try_parse_from([&["tidegate"], words].concat());
            let Ok(super::super::Arguments { command: Command::Run(run) }) = whole else { panic!("{words:?}") };
            assert_eq!(shortly(words), Some(run.config), "{words:?}");
        }
    }

    #[test]
    fn mistakes_help_and_other_commands_are_left_to_the_whole_command_line() {
        for words in [
            &[][..],
            &["check"],
            &["--version"],
            &["run", "--help"],
            &["run", "-h"],
            &["run", "--version"],
            &["run", "--confg", "x"],
            &["run", "--config"],
            &["run", "x.toml"],
            &["help", "run"],
        ] {
            assert_eq!(shortly(words), None, "{words:?}");
        }
    }
}
