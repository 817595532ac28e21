//! gzip (RFC 1952), member after member; checksums and lengths are verified.

use std::io;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::{Bytes, corrupt, cut_short};

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Header,
    Body,
    End,
}

pub(super) struct Gzip {
    at: At,
    state: Box<InflateState>,
    crc: u32,
    size: u32,
}

impl Default for Gzip {
    fn default() -> Self {
        Self { at: At::Header, state: InflateState::new_boxed(DataFormat::Raw), crc: 0, size: 0 }
    }
}

impl Gzip {
    pub(super) fn read(&mut self, bytes: &mut Bytes, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.at {
                At::End => return Ok(0),
                At::Header => {
                    header(bytes)?;
                    self.state.reset(DataFormat::Raw);
                    (self.crc, self.size, self.at) = (0, 0, At::Body);
                }
                At::Body => {
                    let ahead = bytes.peek(1)?;
                    let at_end = ahead.is_empty();
                    let done = inflate(&mut self.state, ahead, into, MZFlush::None);
                    bytes.skip(done.bytes_consumed);
                    let made = &into[..done.bytes_written];
                    self.crc = crc32(self.crc, made);
                    self.size = self.size.wrapping_add(u32::try_from(made.len()).unwrap_or(u32::MAX));
                    match done.status {
                        Ok(MZStatus::StreamEnd) => self.trailer(bytes)?,
                        Ok(_) | Err(MZError::Buf) if done.bytes_consumed + made.len() == 0 => {
                            return Err(if at_end {
                                cut_short()
                            } else {
                                corrupt("the gzip data is damaged")
                            });
                        }
                        Ok(_) | Err(MZError::Buf) => {}
                        Err(_) => return Err(corrupt("the gzip data is damaged")),
                    }
                    if done.bytes_written > 0 {
                        return Ok(done.bytes_written);
                    }
                }
            }
        }
    }

    fn trailer(&mut self, bytes: &mut Bytes) -> io::Result<()> {
        let (crc, size) = (u32::from_le_bytes(bytes.take()?), u32::from_le_bytes(bytes.take()?));
        if (crc, size) != (self.crc, self.size) {
            return Err(corrupt("the gzip data has a wrong checksum"));
        }
        // What follows and is no member is no part of the data: gzip itself ignores it.
        let more = bytes.peek(3)?.starts_with(&[0x1f, 0x8b, 8]);
        self.at = if more { At::Header } else { At::End };
        Ok(())
    }
}

fn header(bytes: &mut Bytes) -> io::Result<()> {
    const CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let [_, _, _, flags, ..] = bytes.take::<10>()?;
    if flags & EXTRA != 0 {
        for _ in 0..u16::from_le_bytes(bytes.take()?) {
            bytes.take::<1>()?;
        }
    }
    for field in [NAME, COMMENT] {
        while flags & field != 0 && bytes.take()? != [0] {}
    }
    if flags & CRC != 0 {
        bytes.take::<2>()?;
    }
    Ok(())
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let (mut at, mut byte) = (0, 0_u32);
    while at < 256 {
        let mut value = byte;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
        byte += 1;
    }
    table
};

fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!crc, |crc, byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8))
}
