//! Writes the manual pages and shell completions that packages carry: `tidegate-manual DIRECTORY`.
//!
//! Built and run on the machine that makes a release, never shipped. The texts are those of `--help`, so they cannot
//! say anything else than the program. Same source, same bytes: no date is written.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use tidegate::cli::Arguments;
use tidegate::cli::completions::Shell;

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: tidegate-manual DIRECTORY");
        return ExitCode::from(2);
    };
    match write_all(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", Path::new(&dir).display());
            ExitCode::FAILURE
        }
    }
}

/// `man1/tidegate.1`, `man1/tidegate-<command>.1` and `completions/`.
fn write_all(dir: &Path) -> io::Result<()> {
    let man = dir.join("man1");
    let completions = dir.join("completions");
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Arguments::command().disable_help_subcommand(true), &man)?;
    for (shell, name) in [(Shell::Bash, "tidegate"), (Shell::Fish, "tidegate.fish"), (Shell::Zsh, "_tidegate")] {
        std::fs::write(completions.join(name), shell.text())?;
    }
    Ok(())
}
