//! Forwarding.
pub mod backoff;
pub mod status;
pub mod window;
