//! Configuration: load, interpolate, check; every error at once, with file, line and suggestion.
pub mod model;
