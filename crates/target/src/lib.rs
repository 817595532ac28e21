//! The three programs that run on a target: `mcp-wrapper`, `pra-exec`, `pra-run`.
//!
//! A small library, so that it can be read in an afternoon and tested with other places than `/`: everything that has a
//! fixed place stands in [`Paths`]. std and a few system calls; no async, no shell; unsafe only in `sandbox/sys.rs`.

mod answer;
pub mod channel;
pub mod config;
mod confine;
pub mod describe;
mod files;
mod paths;
mod perform;
pub mod pra_exec;
pub mod pra_run;
mod probe;
mod programs;
mod readers;
pub mod request;
mod run;
pub mod sandbox;
mod syslog;
pub mod wrapper;

pub use paths::{Log, Paths};

/// Exit status of a refusal.
pub const EXIT_REFUSED: u8 = 126;
/// Exit status when the time limit ended the command.
pub const EXIT_TIME: u8 = 124;
/// Exit status when the output cap ended the command.
pub const EXIT_OUTPUT: u8 = 125;

/// The wall clock in unix milliseconds; the one place that reads it.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
