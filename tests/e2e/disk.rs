//! The disk is full, read-only, or limits the size of files: the gateway stays, serves what it has, refuses what it
//! cannot keep, says so, and goes on by itself.
//!
//! On real file systems, a tmpfs and an ext4 on a loop device, which are filled from outside while readings arrive.

mod fill;
mod frozen;
mod limit;
mod readonly;
mod scene;
mod start;
