//! What the server's chain says of one host.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Head, Record, Verifier};
use serde_json::Value;

use super::Subject;
use super::chain::{Ends, head, text};

/// A grant that was handed over.
pub(super) struct Run {
    pub(super) proposal: String,
    /// The record of that.
    pub(super) seq: u64,
    /// Its time, ms since 1970.
    pub(super) time: i64,
    /// Digest of the bytes that were signed.
    pub(super) digest: Option<String>,
    pub(super) end: Option<End>,
}

/// What the server recorded of a run's end.
pub(super) struct End {
    pub(super) seq: u64,
    pub(super) said: Said,
    /// The target's chain behind the result.
    pub(super) head: Option<Head>,
}

/// What the target answered, as the server recorded it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It ran, with this state, outcome and code.
    Ran { state: String, outcome: String, code: String },
    /// It ran; the record was too large to keep more than that.
    Cut,
    /// It ran nothing.
    Refused,
    /// Nothing that could be read.
    Nothing,
}

/// A denial of which the target said that it holds.
pub(super) struct Told {
    pub(super) proposal: String,
    pub(super) seq: u64,
    pub(super) time: i64,
    pub(super) head: Option<Head>,
}

/// The server's side.
pub(super) struct Server {
    pub(super) ends: Ends,
    /// In the order in which they were handed over.
    pub(super) runs: Vec<Run>,
    pub(super) told: Vec<Told>,
    /// What was proposed for this host.
    pub(super) proposed: BTreeSet<String>,
}

#[derive(Default)]
struct Reading {
    runs: Vec<Run>,
    /// Where a proposal's run stands in `runs`.
    places: BTreeMap<String, usize>,
    told: Vec<Told>,
    proposed: BTreeSet<String>,
    /// Proposals for a host of this name of another tenant.
    foreign: BTreeSet<String>,
    /// The bytes that stand now, by proposal.
    digests: BTreeMap<String, String>,
    /// Denials that are being handed to this host.
    denying: BTreeSet<String>,
}

impl Server {
    pub(super) fn read<L: AsRef<[u8]>>(of: Subject<'_>, lines: impl IntoIterator<Item = L>) -> Self {
        let mut reading = Reading::default();
        let ends = Ends::read(Verifier::default(), lines, |record| reading.take(of, &record));
        Self { ends, runs: reading.runs, told: reading.told, proposed: reading.proposed }
    }
}

impl Reading {
    fn take(&mut self, of: Subject<'_>, record: &Record) {
        let data = &record.data;
        let Some(proposal) = text(data, "proposal").or_else(|| cut_proposal(data)) else { return };
        let here = data["host"] == of.host;
        match record.event.as_str() {
            "proposed" if data["asked"]["host"] == of.host => {
                let ours = data["asked"]["tenant"] == of.tenant;
                if ours { &mut self.proposed } else { &mut self.foreign }.insert(proposal);
            }
            "statement" => {
                if let Some(digest) = text(data, "sha256") {
                    self.digests.insert(proposal, digest);
                }
            }
            "executing" if here && !self.foreign.contains(&proposal) => {
                let digest = self.digests.get(&proposal).cloned();
                self.places.insert(proposal.clone(), self.runs.len());
                self.runs.push(Run { proposal, seq: record.seq, time: record.time, digest, end: None });
            }
            "executed" => {
                let run = self.places.get(&proposal).and_then(|place| self.runs.get_mut(*place));
                if let Some(run) = run.filter(|run| run.end.is_none()) {
                    run.end = Some(end(record));
                }
            }
            "denying" if here && !self.foreign.contains(&proposal) => {
                self.denying.insert(proposal);
            }
            "denial" if data["told"] == true && self.denying.contains(&proposal) => {
                let head = head(&data["audit"]);
                self.told.push(Told { proposal, seq: record.seq, time: record.time, head });
            }
            _ => {}
        }
    }
}

fn end(record: &Record) -> End {
    let (data, result) = (&record.data, &record.data["result"]);
    if let Some(excerpt) = excerpt(data) {
        return End { seq: record.seq, said: Said::Cut, head: cut_head(excerpt) };
    }
    let word = |value: &Value, field: &str| text(value, field).unwrap_or_default();
    let outcome = word(result, "outcome");
    let said = match outcome.as_str() {
        "refused" => Said::Refused,
        "unknown" | "" => Said::Nothing,
        _ => Said::Ran { state: word(data, "state"), code: word(result, "code"), outcome },
    };
    End { seq: record.seq, said, head: head(&result["audit"]) }
}

/// What the ledger kept of data that was too large for a record; its fields stand in the order of their names.
fn excerpt(data: &Value) -> Option<&str> {
    data["cut"]["excerpt"].as_str()
}

fn cut_proposal(data: &Value) -> Option<String> {
    let rest = excerpt(data)?.strip_prefix("{\"proposal\":\"")?;
    rest.split_once('"').map(|(id, _)| id.to_owned())
}

/// A quote within a text is escaped, so this cannot stand in one.
fn cut_head(excerpt: &str) -> Option<Head> {
    let rest = excerpt.split_once("\"result\":{\"audit\":{\"hash\":\"")?.1;
    let (hash, rest) = rest.split_once("\",\"seq\":")?;
    let seq = rest.split_once('}')?.0.parse().ok()?;
    Some(Head { seq, hash: hash.to_owned() })
}
