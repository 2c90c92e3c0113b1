//! (being written)
pub mod check;
#[cfg(feature = "demo")]
pub mod demo;
