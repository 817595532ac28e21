//! Where a reader writes, and why it stops.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a reader ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nobody reads on: the deadline, the cap, or the peer.
    Gone,
    /// The program must serve the line.
    Decline,
}

/// Bytes that are gathered before they are written.
const GATHER: usize = 16 << 10;

/// A reader's two streams.
pub(crate) struct Io {
    pub(crate) name: &'static str,
    /// No program could serve the line.
    pub(crate) alone: bool,
    /// Set when nobody reads on.
    pub(crate) stop: Arc<AtomicBool>,
    out: File,
    err: File,
    gathered: Vec<u8>,
    written: bool,
}

impl Io {
    pub(crate) fn new(out: File, err: File, stop: Arc<AtomicBool>) -> Self {
        Self { name: "", alone: false, stop, out, err, gathered: Vec::with_capacity(GATHER), written: false }
    }

    /// Writes to stdout.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.written |= !bytes.is_empty();
        if self.gathered.len() + bytes.len() > GATHER {
            self.flush()?;
        }
        if bytes.len() > GATHER {
            return self.out.write_all(bytes).map_err(|_| Stop::Gone);
        }
        self.gathered.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Stop> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stop::Gone);
        }
        let result = self.out.write_all(&self.gathered).map_err(|_| Stop::Gone);
        self.gathered.clear();
        result
    }

    /// One line to stderr, `NAME: MESSAGE`, behind what has been written to stdout.
    pub(crate) fn complain(&mut self, message: &str) -> Result<(), Stop> {
        self.flush()?;
        self.written = true;
        self.err.write_all(format!("{}: {message}\n", self.name).as_bytes()).map_err(|_| Stop::Gone)
    }

    /// Hands the line to the program, if there is one and nothing has been written.
    pub(crate) fn decline(&self) -> Result<(), Stop> {
        if self.alone || self.written { Ok(()) } else { Err(Stop::Decline) }
    }
}

/// The kernel's words for an error.
pub(crate) fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
