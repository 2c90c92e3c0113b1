//! Power cuts and the order of system calls: whether what the gateway has acknowledged is really on the disk.
//!
//! Two looks at one promise, and one at another. [`cuts`] lets the real binary work on a disk of our own ([`disk`],
//! [`volume`]) that forgets what was not synced, and takes the power away in the middle of things. [`order`] watches
//! the real binary's system calls ([`trace`]) and shows that each acknowledgement comes after the sync it depends on.
//! [`quota`] has the same disk count what is taken of it, at every moment of an outage that fills the store.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each test program uses its own part of this")]
mod support;

mod content;
mod cuts;
mod disk;
mod mount;
mod order;
mod plan;
mod quota;
mod rig;
mod trace;
mod volume;
