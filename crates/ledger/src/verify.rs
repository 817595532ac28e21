//! Checking a chain: every change is told with its place.

use std::fmt;

use crate::chain::Head;
use crate::record::Record;

/// Where and how a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The line, counted from 0, at which the chain no longer holds.
    pub index: u64,
    /// The number that the record there should have.
    pub seq: u64,
    /// What is wrong with it.
    pub cause: Cause,
}

/// What is wrong at one place of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The line is not of a record's form.
    NotARecord,
    /// The line is longer than a record may be.
    TooLong,
    /// The line was changed after it was written.
    Hash,
    /// A record is missing before, doubled or in the wrong place.
    Seq {
        /// The number that stands there.
        found: u64,
    },
    /// The record follows another one than the one that stands before it.
    Prev,
    /// The last line has no newline: a write was cut short.
    Torn,
    /// The chain ends before a record that is known to have been in it.
    Shorter {
        /// The number of the known record.
        expected: u64,
    },
    /// Another record stands where a known one was: the chain was written anew from here or before.
    OtherHistory,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} (record {}): ", self.index + 1, self.seq)?;
        match &self.cause {
            Cause::NotARecord => f.write_str("not a record"),
            Cause::TooLong => f.write_str("longer than a record may be"),
            Cause::Hash => f.write_str("changed after it was written"),
            Cause::Seq { found } => {
                write!(f, "record {found} stands here: one was removed, added or moved")
            }
            Cause::Prev => f.write_str("does not follow the record before it"),
            Cause::Torn => f.write_str("the last line is not complete"),
            Cause::Shorter { expected } => write!(f, "the chain ends here, but record {expected} was in it"),
            Cause::OtherHistory => f.write_str("not the record that is known to have been here"),
        }
    }
}

impl std::error::Error for Broken {}

/// What a whole chain says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where the chain begins: [`Head::genesis`], or of a file that goes on where a rotated one ended, that one's end.
    pub start: Head,
    /// The chain's end.
    pub head: Head,
    /// The index, counted from 0, of each record whose time is before that of the record before it: the clock went back.
    pub time_back: Vec<u64>,
}

/// Checks lines one by one, for a chain that does not fit into memory.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// `None` until the first record of a chain that may go on from an older file.
    start: Option<Head>,
    head: Head,
    index: u64,
    time: i64,
    time_back: Vec<u64>,
    known: Option<Head>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            start: Some(Head::genesis()),
            head: Head::genesis(),
            index: 0,
            time: i64::MIN,
            time_back: Vec::new(),
            known: None,
        }
    }
}

impl Verifier {
    /// A verifier that also asks that the record which `known` names is in the chain. It may have grown since.
    pub fn against(known: &Head) -> Self {
        Self { known: Some(known.clone()).filter(|known| known.seq > 0), ..Self::default() }
    }

    /// A verifier of a file that may go on where a rotated one ended: its first record is taken at its word for what came
    /// before, and [`Report::start`] says what that was. Give the older file's lines first to have that checked as well.
    pub fn continuing() -> Self {
        Self { start: None, ..Self::default() }
    }

    /// Checks the next line, without its newline.
    ///
    /// # Errors
    /// What breaks the chain here. The verifier must not be used after that.
    pub fn push(&mut self, line: &[u8]) -> Result<Record, Broken> {
        let record = Record::read(line).map_err(|cause| self.broken(cause))?;
        if self.start.is_none() && record.seq > 0 {
            self.head = Head { seq: record.seq - 1, hash: record.prev.clone() };
            self.start = Some(self.head.clone());
        }
        self.check(&record).map_err(|cause| self.broken(cause))?;
        if record.time < self.time {
            self.time_back.push(self.index);
        }
        self.time = record.time;
        self.head = record.head();
        self.index += 1;
        Ok(record)
    }

    fn check(&self, record: &Record) -> Result<(), Cause> {
        if record.seq != self.head.seq.saturating_add(1) {
            return Err(Cause::Seq { found: record.seq });
        }
        if record.prev != self.head.hash {
            return Err(Cause::Prev);
        }
        match &self.known {
            Some(known) if known.seq == record.seq && known.hash != record.hash => Err(Cause::OtherHistory),
            _ => Ok(()),
        }
    }

    /// The chain's end so far.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// All lines were given.
    ///
    /// # Errors
    /// `Shorter` when the known record did not come.
    pub fn finish(self) -> Result<Report, Broken> {
        match &self.known {
            Some(known) if known.seq > self.head.seq => {
                Err(self.broken(Cause::Shorter { expected: known.seq }))
            }
            _ => {
                let start = self.start.unwrap_or_else(Head::genesis);
                Ok(Report { start, head: self.head, time_back: self.time_back })
            }
        }
    }

    pub(crate) fn broken(&self, cause: Cause) -> Broken {
        Broken { index: self.index, seq: self.head.seq.saturating_add(1), cause }
    }
}

/// Checks a whole chain and returns its end.
///
/// # Errors
/// The first place where it is broken.
pub fn verify_lines(lines: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<Head, Broken> {
    verify_report(lines).map(|report| report.head)
}

/// Checks a whole chain and says what else there is to say about it.
///
/// # Errors
/// The first place where it is broken.
pub fn verify_report(lines: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<Report, Broken> {
    run(Verifier::default(), lines)
}

/// Checks a whole chain, and that it still holds the record that `known` names. It may have grown since.
///
/// # Errors
/// The first place where it is broken, `Shorter` or `OtherHistory`.
pub fn verify_against(lines: impl Iterator<Item = impl AsRef<[u8]>>, known: &Head) -> Result<Report, Broken> {
    run(Verifier::against(known), lines)
}

fn run(mut verifier: Verifier, lines: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<Report, Broken> {
    for line in lines {
        verifier.push(line.as_ref())?;
    }
    verifier.finish()
}
