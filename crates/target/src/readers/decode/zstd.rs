//! Zstandard, frame after frame. Its optional checksums are not verified: what is damaged mostly does not decode.

use std::io::{self, Read};

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Bytes, WINDOW, corrupt};

pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

pub(super) struct Zstd {
    decoder: FrameDecoder,
    in_frame: bool,
}

impl Default for Zstd {
    fn default() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW as u64);
        Self { decoder, in_frame: false }
    }
}

impl Zstd {
    pub(super) fn read(&mut self, bytes: &mut Bytes, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.next_frame(bytes)? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            if self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut *bytes, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|_| corrupt("the zstd data is damaged or ends too early"))?;
            }
            let made = self.decoder.read(into)?;
            if made > 0 {
                return Ok(made);
            }
            if self.decoder.is_finished() && self.decoder.can_collect() == 0 {
                self.in_frame = false;
            }
            bytes.check()?;
        }
    }

    /// Whether another frame follows what is to be skipped.
    fn next_frame(&mut self, bytes: &mut Bytes) -> io::Result<bool> {
        loop {
            let ahead = bytes.peek(MAGIC.len())?;
            if ahead.is_empty() {
                return Ok(false);
            }
            if ahead.first_chunk::<4>().is_some_and(|m| u32::from_le_bytes(*m) & 0xffff_fff0 == 0x184d_2a50) {
                bytes.take::<4>()?;
                for _ in 0..u32::from_le_bytes(bytes.take()?) {
                    bytes.take::<1>()?;
                }
                continue;
            }
            if !ahead.starts_with(&MAGIC) {
                return Err(corrupt("something follows the zstd data"));
            }
            return match self.decoder.reset(&mut *bytes) {
                Ok(()) => Ok(true),
                Err(FrameDecoderError::WindowSizeTooBig { requested, .. }) => {
                    let most = WINDOW >> 20;
                    Err(corrupt(&format!(
                        "the zstd data needs {} MiB of memory, more than {most}",
                        requested >> 20
                    )))
                }
                Err(_) => Err(corrupt("the zstd data is damaged")),
            };
        }
    }
}
