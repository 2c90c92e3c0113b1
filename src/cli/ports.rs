//! `tidegate ports`: which serial ports there are, what is behind them, and who has them.
//!
//! Owns how they look in a terminal; finding them is [`crate::ops::ports`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::client;
use crate::error::Failure;
use crate::ops::ports::{self, Port};

/// What the help ends with.
pub const EXAMPLES: &str = "\
Examples:
  tidegate ports
  sudo tidegate ports --json       as root, to see who holds a port

In [[source]], name a port by its path under /dev/serial/by-id: /dev/ttyUSB0 may be another device after the next start.

Exit codes: 0 done (also where there is no port), 2 usage.";

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Look at the system below this directory: an image, or a test's
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// For scripts
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn execute(self) -> Result<(), Failure> {
        let found = ports::list(&self.root);
        let text = match self.json {
            true => client::to_json(&found)? + "\n",
            false => words(&found),
        };
        client::print(|out| out.write_all(text.as_bytes()))
    }
}

fn words(found: &[Port]) -> String {
    if found.is_empty() {
        return "no serial port is present; is the adapter plugged in? (`dmesg | tail` shows it)\n".to_owned();
    }
    let mut text = String::new();
    for port in found {
        let _ = write!(text, "{}", port.device.display());
        if let Some(driver) = &port.driver {
            let _ = write!(text, ", driver {driver}");
        }
        text.push('\n');
        if let Some(usb) = &port.usb {
            let _ = write!(text, "    USB {}:{}", usb.vendor_id, usb.product_id);
            for part in [&usb.manufacturer, &usb.product].into_iter().flatten() {
                let _ = write!(text, " {part}");
            }
            if let Some(serial) = &usb.serial {
                let _ = write!(text, ", serial number {serial}");
            }
            text.push('\n');
        }
        for link in &port.by_id {
            let _ = writeln!(text, "    port = \"{}\"", link.display());
        }
        if port.by_id.is_empty() {
            let _ = writeln!(text, "    port = \"{}\"", port.device.display());
        }
        let _ = writeln!(text, "    {}", state(port));
    }
    text
}

fn state(port: &Port) -> String {
    match (&port.held_by[..], port.may_open, &port.group) {
        ([_, ..], _, _) => format!("held by {}", port.held_by.join(", ")),
        ([], true, _) => "free, as far as this user can see".to_owned(),
        ([], false, Some(group)) => format!("this user may not open it; members of the group `{group}` may"),
        ([], false, None) if Path::new(&port.device).exists() => "this user may not open it".to_owned(),
        ([], false, None) => "there is no such device file".to_owned(),
    }
}
