//! The lines of a file, and what a first look over all of them says.

use std::io;

use super::super::decode::Source;

/// The longest line that is searched here, in bytes.
pub(super) const LONGEST: usize = 256 << 10;

/// What a whole file is made of; of one that is no text, what its start is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Neither NUL nor anything but UTF-8.
    pub(super) text: bool,
    pub(super) ascii: bool,
    pub(super) longest: usize,
}

/// Reads it once.
pub(super) fn survey(source: &mut Source) -> io::Result<Survey> {
    let mut seen = Survey { text: true, ascii: true, longest: 0 };
    let mut chunk = vec![0; 64 << 10];
    // What is left of a character at the end of the last chunk, and of a line.
    let (mut carried, mut line) = (0, 0);
    loop {
        let size = source.read(&mut chunk[carried..])?;
        let bytes = &chunk[..carried + size];
        if size == 0 {
            seen.text &= carried == 0;
            seen.longest = seen.longest.max(line);
            return Ok(seen);
        }
        seen.ascii &= bytes.is_ascii();
        if memchr::memchr(0, bytes).is_some() {
            // The rest may be a hole of a terabyte.
            seen.text = false;
            return Ok(seen);
        }
        let whole = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => {
                seen.text = false;
                return Ok(seen);
            }
        };
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &bytes[..whole]) {
            seen.longest = seen.longest.max(line + end - start);
            (line, start) = (0, end + 1);
        }
        line += whole - start;
        let rest = whole..bytes.len();
        carried = rest.len();
        chunk.copy_within(rest, 0);
    }
}

/// One line after the other.
pub(super) struct Lines {
    source: Source,
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    ended: bool,
}

impl Lines {
    pub(super) fn new(source: Source) -> Self {
        Self { source, buffer: Vec::new(), start: 0, scanned: 0, ended: false }
    }

    /// The next one without its newline, and whether it has one; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or a line is too long.
    pub(super) fn next(&mut self) -> io::Result<Option<(&[u8], bool)>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
                let (start, end) = (self.start, self.scanned + at);
                (self.start, self.scanned) = (end + 1, end + 1);
                return Ok(Some((&self.buffer[start..end], true)));
            }
            self.scanned = self.buffer.len();
            if self.ended {
                let start = self.start;
                self.start = self.buffer.len();
                return Ok((start < self.buffer.len()).then(|| (&self.buffer[start..], false)));
            }
            if self.buffer.len() - self.start > LONGEST {
                return Err(io::Error::other("a line is too long"));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            self.scanned = self.buffer.len();
            let have = self.buffer.len();
            self.buffer.resize(have + (64 << 10), 0);
            let size = self.source.read(&mut self.buffer[have..]);
            self.buffer.truncate(have + *size.as_ref().unwrap_or(&0));
            self.ended = size? == 0;
        }
    }
}
