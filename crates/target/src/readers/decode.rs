//! What a file holds: its bytes, or what was compressed into them. Memory is bounded whatever the file says of itself.

mod gzip;
mod turn;
mod xz;
mod zstd;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::turn::Turn;

/// The most memory that a decoder may take for what it has decoded: xz -6, zstd -19.
const WINDOW: usize = 8 << 20;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Plain,
    Gzip,
    Zstd,
    Xz,
}

impl Format {
    /// By the first bytes.
    pub(super) fn of(start: &[u8]) -> Self {
        if start.starts_with(&[0x1f, 0x8b, 8]) {
            Self::Gzip
        } else if start.starts_with(&zstd::MAGIC) {
            Self::Zstd
        } else if start.starts_with(&xz::MAGIC) {
            Self::Xz
        } else {
            Self::Plain
        }
    }
}

enum Decoder {
    Plain,
    Gzip(Box<gzip::Gzip>),
    Zstd(Box<zstd::Zstd>),
    Xz(Box<xz::Xz>),
}

/// A stream of what a file holds.
pub(super) struct Source {
    bytes: Bytes,
    decoder: Decoder,
    /// Held by decoders with a large window.
    turn: Option<Turn>,
}

impl Source {
    pub(super) fn new(file: Arc<File>, format: Format, stop: Arc<AtomicBool>) -> Self {
        let decoder = match format {
            Format::Plain => Decoder::Plain,
            Format::Gzip => Decoder::Gzip(Box::default()),
            Format::Zstd => Decoder::Zstd(Box::default()),
            Format::Xz => Decoder::Xz(Box::default()),
        };
        Self { bytes: Bytes { file, stop, offset: 0, buffer: Vec::new(), start: 0 }, decoder, turn: None }
    }

    /// Of a plain file: goes on from there.
    pub(super) fn seek(&mut self, offset: u64) {
        self.bytes.offset = offset;
    }

    /// Fills some of `into`; 0 at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is not what its first bytes promise; `Interrupted` when nobody reads on.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.bytes.check()?;
        if self.turn.is_none() && matches!(self.decoder, Decoder::Zstd(_) | Decoder::Xz(_)) {
            self.turn = Some(Turn::take(&self.bytes.stop)?);
        }
        match &mut self.decoder {
            Decoder::Plain => self.bytes.read_through(into),
            Decoder::Gzip(gzip) => gzip.read(&mut self.bytes, into),
            Decoder::Zstd(zstd) => zstd.read(&mut self.bytes, into),
            Decoder::Xz(xz) => xz.read(&mut self.bytes, into),
        }
    }
}

fn corrupt(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

fn cut_short() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the compressed data ends too early")
}

/// The bytes of a file, some of them read ahead.
struct Bytes {
    file: Arc<File>,
    stop: Arc<AtomicBool>,
    offset: u64,
    buffer: Vec<u8>,
    start: usize,
}

const AHEAD: usize = 16 << 10;

impl Bytes {
    fn check(&self) -> io::Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    /// From the file, past the buffer.
    fn read_through(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = self.file.read_at(into, self.offset)?;
        self.offset += size as u64;
        Ok(size)
    }

    /// What is read ahead: at least `least` bytes, unless the file ends before.
    fn peek(&mut self, least: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.start < least {
            self.check()?;
            self.buffer.drain(..self.start);
            self.start = 0;
            while self.buffer.len() < least {
                let have = self.buffer.len();
                self.buffer.resize(have + AHEAD, 0);
                let size = self.file.read_at(&mut self.buffer[have..], self.offset);
                self.buffer.truncate(have + *size.as_ref().unwrap_or(&0));
                match size? {
                    0 => break,
                    size => self.offset += size as u64,
                }
            }
        }
        Ok(&self.buffer[self.start..])
    }

    fn skip(&mut self, count: usize) {
        self.start = (self.start + count).min(self.buffer.len());
    }

    /// Exactly so many bytes.
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.peek(N)?.first_chunk().copied().ok_or_else(cut_short)?;
        self.skip(N);
        Ok(bytes)
    }
}

impl io::Read for Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ahead = self.peek(1)?;
        let size = ahead.len().min(into.len());
        into[..size].copy_from_slice(&ahead[..size]);
        self.skip(size);
        Ok(size)
    }
}
