//! `tidegate metrics`: the running gateway's metrics.

use std::path::Path;

use crate::cli::client;
use crate::error::Failure;

/// Prints them as they are.
///
/// # Errors
/// No gateway answers, or standard output cannot be written.
pub fn metrics(socket: &Path) -> Result<(), Failure> {
    let text = client::get_text(socket, "/metrics")?;
    client::print(|out| out.write_all(&text))
}
