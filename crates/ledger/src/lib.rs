//! The hash chain that server and target write their audit records to.
//!
//! A record is one line: `{"seq":1,"time":…,"prev":"…","event":"…","data":{…},"hash":"…"}`. `hash` is the SHA-256 of the
//! line's bytes before `,"hash":"`, and `prev` is the hash of the record before, so a change anywhere breaks the chain
//! from there on. What a chain cannot show by itself is that its end was cut off, or that all of it was written anew:
//! for that keep a [`Head`] elsewhere and ask [`verify_against`].
//!
//! The core is pure: bytes in, bytes out, the clock is a parameter. [`mod@file`] is the one writer of files.

mod chain;
pub mod file;
mod record;
mod verify;

pub use chain::{Head, MAX_DATA, MAX_EVENT, MAX_LINE, seal};
pub use record::Record;
pub use verify::{Broken, Cause, Report, Verifier, verify_against, verify_lines, verify_report};
