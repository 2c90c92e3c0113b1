//! Another process of the same program: its memory is its own, and it can be killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Marks the command line of such a process.
const MARK: &str = "--child";

/// The running process; killed with its value if it was not let go before.
pub struct Child(std::process::Child);

impl Child {
    /// Starts it.
    pub fn start<const N: usize>(arguments: [&str; N]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(MARK).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// What it has measured; it then waits.
    pub fn figures(&mut self) -> Vec<f64> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.split_whitespace().map(|figure| figure.parse().unwrap()).collect()
    }

    /// Lets it stop as it should.
    pub fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }

    /// Ends it at once.
    pub fn kill(self) {}
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What this process is to do, if it is such a one.
pub fn wanted<const N: usize>() -> Option<[String; N]> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next()? == MARK).then(|| arguments.collect::<Vec<_>>().try_into().unwrap())
}

/// Tells whoever started this process.
pub fn tell(figures: &[f64]) {
    println!("{}", figures.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
}

/// Waits until whoever started this process lets it go.
pub fn wait() {
    let _ = std::io::stdin().read_line(&mut String::new());
}
