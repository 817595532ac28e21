//! Reading: from a line to a record that is whole in itself.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chain::{Head, MAX_LINE, hex, prefix, suffix};
use crate::verify::Cause;

/// The length of `,"hash":"<64 digits>"}`.
const SUFFIX: usize = 75;

/// One line of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The record's number; the first is 1.
    pub seq: u64,
    /// Unix milliseconds. The order of records is that of their numbers, not of their times.
    pub time: i64,
    /// The hash of the record before.
    pub prev: String,
    /// What happened.
    pub event: String,
    /// Its particulars.
    pub data: Value,
    /// This record's hash.
    pub hash: String,
}

impl Record {
    /// Reads a line, without its newline, and checks its own hash; what stands before it is not asked.
    ///
    /// # Errors
    /// `TooLong`, `Hash` or `NotARecord`.
    pub fn read(line: &[u8]) -> Result<Self, Cause> {
        if line.len() > MAX_LINE {
            return Err(Cause::TooLong);
        }
        let (body, end) = line
            .len()
            .checked_sub(SUFFIX)
            .and_then(|at| line.split_at_checked(at))
            .ok_or(Cause::NotARecord)?;
        if !end.starts_with(b",\"hash\":\"") || !end.ends_with(b"\"}") {
            return Err(Cause::NotARecord);
        }
        let hash = hex(digest(&SHA256, body).as_ref());
        if end != suffix(&hash).as_bytes() {
            return Err(Cause::Hash);
        }
        let record: Self = serde_json::from_slice(line).map_err(|_| Cause::NotARecord)?;
        // one spelling only, so that two readers cannot see two records in one line
        let start = prefix(record.seq, record.time, &record.prev);
        if line.starts_with(start.as_bytes()) { Ok(record) } else { Err(Cause::NotARecord) }
    }

    /// The end of the chain when this is the last record.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }
}
