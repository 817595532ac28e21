//! The server's audit chain.

use ledger::Head;
use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::Value;

use super::{Store, StoreError, now_ms};

/// Proof that an audit record was written and synced. Only the store makes one; whatever reaches a target asks
/// for it, so that nothing runs unrecorded.
#[derive(Debug)]
pub struct Receipt {
    head: Head,
}

impl Receipt {
    /// Number of the record in the chain, from 1.
    pub fn seq(&self) -> u64 {
        self.head.seq
    }

    /// Hash of the record.
    pub fn hash(&self) -> &str {
        &self.head.hash
    }
}

/// One thing that happened, before it has a place in the chain.
#[derive(Debug, Clone)]
pub struct Audit<'a> {
    /// What happened, in one word.
    pub event: &'a str,
    /// The particulars.
    pub data: Value,
}

/// What a check of the whole chain found.
#[derive(Debug, Clone, serde::Serialize)]
pub struct AuditReport {
    /// Whether every record follows from the one before it.
    pub ok: bool,
    /// The number of records read.
    pub records: u64,
    /// Hash of the last good record.
    pub head: String,
    /// Of a file that goes on where a rotated one ended, the number of the last record there: that one was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues_after: Option<u64>,
    /// What is broken, and at which record.
    pub problem: Option<String>,
}

impl Store {
    /// Appends a record and syncs it to disk.
    pub fn audit(&self, entry: &Audit<'_>) -> Result<Receipt, StoreError> {
        self.change(|tx| append(tx, entry))
    }

    /// The last `count` records, oldest first, as they are stored.
    pub fn audit_tail(&self, count: usize) -> Result<Vec<String>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT line FROM audit ORDER BY seq DESC LIMIT ?1")?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut lines =
            statement.query_map([count], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        lines.reverse();
        Ok(lines)
    }

    /// Reads the whole chain and checks each record against the one before.
    pub fn audit_verify(&self) -> Result<AuditReport, StoreError> {
        Ok(verify_chain(self.audit_tail(usize::MAX)?))
    }
}

/// Checks a chain of records from its first, one line each.
fn verify_chain<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> AuditReport {
    report(ledger::Verifier::default(), lines)
}

/// Checks the records of a chain in files, one line each, that may go on from an older file which was not given.
pub fn verify_files<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> AuditReport {
    report(ledger::Verifier::continuing(), lines)
}

fn report<L: AsRef<[u8]>>(mut verifier: ledger::Verifier, lines: impl IntoIterator<Item = L>) -> AuditReport {
    let mut records = 0;
    let mut counted = lines.into_iter().inspect(|_| records += 1);
    let result = counted.try_for_each(|line| verifier.push(line.as_ref()).map(drop));
    match result.and_then(|()| verifier.finish()) {
        Ok(whole) => AuditReport {
            ok: true,
            records,
            head: whole.head.hash,
            continues_after: Some(whole.start.seq).filter(|seq| *seq > 0),
            problem: None,
        },
        Err(broken) => AuditReport {
            ok: false,
            records,
            head: String::new(),
            continues_after: None,
            problem: Some(broken.to_string()),
        },
    }
}

/// The head that a chain of this last line has; a line that was tampered with has none.
fn head_of(line: &[u8]) -> Result<Head, StoreError> {
    let record = ledger::Record::read(line)
        .map_err(|cause| StoreError::BrokenChain(format!("last record: {cause:?}")))?;
    Ok(record.head())
}

/// Appends within a transaction of the caller, so that a change and its record stand or fall together.
pub(super) fn append(tx: &Transaction<'_>, entry: &Audit<'_>) -> Result<Receipt, StoreError> {
    let last: Option<String> =
        tx.query_row("SELECT line FROM audit ORDER BY seq DESC LIMIT 1", [], |row| row.get(0)).optional()?;
    let head = match last {
        None => Head::genesis(),
        Some(line) => head_of(line.as_bytes())?,
    };
    let (line, head) = ledger::seal(&head, now_ms(), entry.event, &entry.data);
    let seq = i64::try_from(head.seq).unwrap_or(i64::MAX);
    tx.execute("INSERT INTO audit (seq, line) VALUES (?1, ?2)", params![seq, line])?;
    Ok(Receipt { head })
}
