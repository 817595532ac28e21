//! SSH's data types (RFC 4251): big-endian lengths before byte strings.

use crate::Refusal;

/// Takes fields off the front of a slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` names the structure in errors.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.cut())?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Refusal> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.cut())?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Refusal> {
        let (first, rest) = self.rest.split_first_chunk::<4>().ok_or_else(|| self.cut())?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*first))
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], Refusal> {
        let length = usize::try_from(self.u32()?).map_err(|_| self.cut())?;
        self.bytes(length)
    }

    /// A string that must be UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str, Refusal> {
        let bytes = self.string()?;
        std::str::from_utf8(bytes)
            .map_err(|_| Refusal::malformed(format!("{}: a name is not UTF-8", self.what)))
    }

    /// A positive integer of at most 32 bytes in its one valid spelling, as 32 bytes.
    pub(crate) fn scalar(&mut self) -> Result<[u8; 32], Refusal> {
        let bytes = self.string()?;
        let digits = match bytes {
            [0, high, ..] if high & 0x80 != 0 => &bytes[1..],
            [high, ..] if (1..0x80).contains(high) => bytes,
            _ => return Err(Refusal::malformed(format!("{}: a number in non-canonical form", self.what))),
        };
        let start = 32usize.checked_sub(digits.len()).ok_or_else(|| self.cut())?;
        let mut scalar = [0; 32];
        scalar[start..].copy_from_slice(digits);
        Ok(scalar)
    }

    /// All was read.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Refusal::new(
                crate::Code::TrailingData,
                format!("{}: {} bytes too many", self.what, self.rest.len()),
            ))
        }
    }

    fn cut(&self) -> Refusal {
        Refusal::malformed(format!("{}: a length does not fit", self.what))
    }
}

/// Appends a byte string with its length. SSH lengths are 32 bits; callers' data is far below that.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}
