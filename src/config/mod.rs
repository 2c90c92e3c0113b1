//! Configuration: load, interpolate, check; every error at once, with file, line and suggestion.
//!
//! [`load`] reads the files into [`model::Config`]; [`files::check`] then looks at the certificates, keys and password
//! files it names. All keys are declared once, in `keys`. Nothing here starts or connects anything.

pub mod files;
pub mod model;
pub mod pattern;
pub mod template;

mod alarm;
mod broker;
mod bulk;
mod cron;
mod cross;
mod decode;
mod framing;
mod general;
mod home_assistant;
mod hook;
mod http;
mod interpolate;
mod keys;
mod limits;
mod load;
mod modbus;
mod mqtt;
mod pacing;
mod pieces;
pub mod preset;
mod reference;
mod render;
mod report;
mod schedule;
mod section;
mod source;
pub(crate) mod suggest;
mod syntax;
mod text;
mod tree;
mod units;
mod upstream;
mod url;
mod value;

#[cfg(test)]
mod tests;

pub use general::{doubt_of_id, host_name};
pub use load::{ALARMS_MAX, FILE_BYTES_MAX, FILES_MAX, Loaded, SOURCES_MAX, load, load_text};
pub use reference::reference;
pub use report::{Level, Report, Told};
pub use tree::{FileReference, Role};

/// Longest name of a gateway, source, alarm or group, bytes: they are parts of topics.
pub const NAME_BYTES_MAX: usize = 64;
