//! xz, stream after stream; checksums are verified (not SHA-256 ones, which are refused).

use std::io;

use xz4rust::{XzDecoder, XzError, XzNextBlockResult};

use super::{Bytes, WINDOW, corrupt, cut_short};

pub(super) const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

pub(super) struct Xz {
    decoder: Box<XzDecoder<'static>>,
    /// Behind the end of a stream.
    between: bool,
}

impl Default for Xz {
    fn default() -> Self {
        Self { decoder: XzDecoder::in_heap_with_alloc_dict_size(64 << 10, WINDOW), between: false }
    }
}

impl Xz {
    pub(super) fn read(&mut self, bytes: &mut Bytes, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.between && !self.next_stream(bytes)? {
                return Ok(0);
            }
            let ahead = bytes.peek(1)?;
            if ahead.is_empty() {
                return Err(cut_short());
            }
            let (eaten, made) = match self.decoder.decode(ahead, into) {
                Ok(XzNextBlockResult::NeedMoreData(eaten, made)) => (eaten, made),
                Ok(XzNextBlockResult::EndOfStream(eaten, made)) => {
                    self.between = true;
                    (eaten, made)
                }
                Err(XzError::DictionaryTooLarge(size)) => {
                    let most = WINDOW >> 20;
                    return Err(corrupt(&format!(
                        "the xz data needs {} MiB of memory, more than {most}",
                        size >> 20
                    )));
                }
                Err(_) => return Err(corrupt("the xz data is damaged")),
            };
            bytes.skip(eaten);
            if made > 0 {
                return Ok(made);
            }
            if eaten == 0 && !self.between {
                return Err(corrupt("the xz data is damaged"));
            }
        }
    }

    /// Whether another stream follows the padding.
    fn next_stream(&mut self, bytes: &mut Bytes) -> io::Result<bool> {
        loop {
            let ahead = bytes.peek(MAGIC.len())?;
            if ahead.starts_with(&MAGIC) {
                self.decoder.reset();
                self.between = false;
                return Ok(true);
            }
            match ahead.first() {
                None => return Ok(false),
                Some(0) => bytes.skip(1),
                Some(_) => return Err(corrupt("something follows the xz data")),
            }
        }
    }
}
