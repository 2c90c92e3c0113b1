//! `tidegate completions`: what a shell needs to complete our command line.
//!
//! Owns the choice of shells. The packages install the same text, written by `cross/manual.rs`.

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::{Generator, shells};

use crate::cli::{Arguments, client};
use crate::error::Failure;

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  source <(tidegate completions bash)
  tidegate completions zsh > ~/.zfunc/_tidegate
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish

The Debian package has them installed already.

Exit codes: 0 printed, 2 usage.";

/// A shell that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Fish
    Fish,
    /// Z shell
    Zsh,
}

impl Shell {
    /// The completions of all commands.
    pub fn text(self) -> Vec<u8> {
        let mut command = Arguments::command();
        command.set_bin_name("tidegate");
        command.build();
        let mut text = Vec::new();
        match self {
            Self::Bash => shells::Bash.generate(&command, &mut text),
            Self::Fish => shells::Fish.generate(&command, &mut text),
            Self::Zsh => shells::Zsh.generate(&command, &mut text),
        }
        text
    }
}

/// Prints them.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(shell: Shell) -> Result<(), Failure> {
    client::print(|out| out.write_all(&shell.text()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn every_command_is_completed_in_every_shell() {
        for shell in Shell::value_variants() {
            let text = String::from_utf8(shell.text()).unwrap();
            for command in Arguments::command().get_subcommands() {
                assert!(text.contains(command.get_name()), "{shell:?}: {}", command.get_name());
            }
            assert!(text.contains("without-files"), "{shell:?}: options too");
        }
    }
}
