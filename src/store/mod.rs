//! The durable queue: events, alarm state, delivered mark and dead letters in a ring of sled generations.

pub mod handle;
