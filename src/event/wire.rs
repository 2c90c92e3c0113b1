//! CloudEvents encodings.
