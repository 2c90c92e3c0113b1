//! (being written)
pub mod check;
