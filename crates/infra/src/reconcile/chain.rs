//! Reading a chain as far as it holds.

use ledger::{Broken, Head, Record, Verifier};
use serde_json::Value;

/// Where the part of a chain that could be read begins and ends.
pub(super) struct Ends {
    /// The record before the first.
    pub(super) start: Head,
    /// The last good record.
    pub(super) head: Head,
    /// Why reading ended before the lines did.
    pub(super) broken: Option<Broken>,
}

impl Ends {
    /// Gives `each` record until the chain breaks.
    pub(super) fn read<L: AsRef<[u8]>>(
        mut verifier: Verifier,
        lines: impl IntoIterator<Item = L>,
        mut each: impl FnMut(Record),
    ) -> Self {
        let mut ends = Self { start: Head::genesis(), head: Head::genesis(), broken: None };
        let mut first = true;
        for line in lines {
            match verifier.push(line.as_ref()) {
                Ok(record) => {
                    if std::mem::take(&mut first) {
                        ends.start = Head { seq: record.seq.saturating_sub(1), hash: record.prev.clone() };
                    }
                    ends.head = record.head();
                    each(record);
                }
                Err(broken) => {
                    ends.broken = Some(broken);
                    break;
                }
            }
        }
        ends
    }
}

/// A field that holds text.
pub(super) fn text(data: &Value, field: &str) -> Option<String> {
    data[field].as_str().map(str::to_owned)
}

/// A head of the target's chain, as an answer carries it.
pub(super) fn head(value: &Value) -> Option<Head> {
    Some(Head { seq: value["seq"].as_u64()?, hash: text(value, "hash")? })
}
