//! What a target's chain says: untrusted text, kept as it is for comparing.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Head, Record, Verifier};
use serde_json::Value;

use super::chain::{Ends, text};
use super::words::shown;
use super::{AnotherHost, Subject};

/// Something that was run.
pub(super) struct Start {
    pub(super) seq: u64,
    /// None in a record that cannot be read.
    pub(super) proposal: Option<String>,
    pub(super) digest: Option<String>,
    /// Who signed.
    pub(super) persons: Vec<String>,
    /// Whether one person alone broke the glass.
    pub(super) glass: bool,
    pub(super) result: Option<Outcome>,
    /// Tenant and host that it names, when these are others.
    pub(super) elsewhere: Option<(String, String)>,
}

/// How a run ended.
#[derive(Clone)]
pub(super) struct Outcome {
    pub(super) seq: u64,
    pub(super) word: String,
    pub(super) code: String,
}

/// The target's side.
pub(super) struct Target {
    pub(super) ends: Ends,
    /// Time of the first record, ms since 1970.
    pub(super) begins: i64,
    hashes: BTreeMap<u64, String>,
    pub(super) starts: Vec<Start>,
    /// Results of runs that have begun before the first record.
    pub(super) results: BTreeMap<String, Outcome>,
    /// The record of each denial.
    pub(super) denials: BTreeMap<String, u64>,
    pub(super) refusals: u64,
}

/// Where a head stands that the server knows of.
pub(super) enum Place {
    /// Before what was given.
    Before,
    /// Where it should.
    Here,
    /// Another record stands there.
    Other,
    /// Behind the end.
    Behind,
}

#[derive(Default)]
struct Reading {
    begins: Option<i64>,
    hashes: BTreeMap<u64, String>,
    starts: Vec<Start>,
    results: BTreeMap<String, Outcome>,
    denials: BTreeMap<String, u64>,
    glass: BTreeSet<String>,
    refusals: u64,
}

impl Target {
    pub(super) fn read<L: AsRef<[u8]>>(
        of: Subject<'_>,
        lines: impl IntoIterator<Item = L>,
    ) -> Result<Self, AnotherHost> {
        let mut reading = Reading::default();
        let ends = Ends::read(Verifier::continuing(), lines, |record| reading.take(of, &record));
        let elsewhere = |s: &Start| s.elsewhere.clone();
        if let Some((tenant, host)) = reading.starts.last().and_then(elsewhere)
            && reading.starts.iter().all(|s| s.elsewhere.is_some())
        {
            return Err(AnotherHost { tenant: shown(&tenant), host: shown(&host) });
        }
        Ok(Self {
            ends,
            begins: reading.begins.unwrap_or(i64::MIN),
            hashes: reading.hashes,
            starts: reading.starts,
            results: reading.results,
            denials: reading.denials,
            refusals: reading.refusals,
        })
    }

    /// Whether older files of this chain were not given.
    pub(super) fn goes_on(&self) -> bool {
        self.ends.start.seq > 0
    }

    pub(super) fn place(&self, head: &Head) -> Place {
        let start = &self.ends.start;
        if head.seq < start.seq || head == start {
            return Place::Before;
        }
        match self.hashes.get(&head.seq) {
            Some(hash) if *hash == head.hash => Place::Here,
            None if head.seq > self.ends.head.seq => Place::Behind,
            _ => Place::Other,
        }
    }
}

impl Reading {
    fn take(&mut self, of: Subject<'_>, record: &Record) {
        let (data, seq) = (&record.data, record.seq);
        self.begins.get_or_insert(record.time);
        self.hashes.insert(seq, record.hash.clone());
        let proposal = text(data, "proposal");
        match (record.event.as_str(), proposal) {
            ("start", proposal) => {
                let glass = proposal.as_ref().is_some_and(|id| self.glass.remove(id));
                self.starts.push(start(of, record, proposal, glass));
            }
            ("result", Some(proposal)) => {
                let word = |field: &str| text(data, field).unwrap_or_default();
                let outcome = Outcome { seq, word: word("outcome"), code: word("code") };
                let same = |s: &&mut Start| s.proposal.as_ref() == Some(&proposal);
                match self.starts.iter_mut().rev().find(same) {
                    Some(start) if start.result.is_none() => start.result = Some(outcome),
                    Some(_) => {}
                    None => {
                        self.results.insert(proposal, outcome);
                    }
                }
            }
            ("deny", Some(proposal)) => {
                self.denials.entry(proposal).or_insert(seq);
            }
            ("break_glass", Some(proposal)) => {
                self.glass.insert(proposal);
            }
            ("refused", _) => self.refusals += 1,
            _ => {}
        }
    }
}

fn start(of: Subject<'_>, record: &Record, proposal: Option<String>, glass: bool) -> Start {
    let data = &record.data;
    let names = (text(data, "tenant").unwrap_or_default(), text(data, "host").unwrap_or_default());
    // What was too large for a record names nothing.
    let readable = proposal.is_some();
    let approvals = data["approvals"].as_array().map(Vec::as_slice).unwrap_or_default();
    let person = |a: &Value| text(a, "person");
    Start {
        seq: record.seq,
        proposal,
        digest: text(data, "statement_sha256"),
        persons: approvals.iter().filter_map(person).collect(),
        glass,
        result: None,
        elsewhere: Some(names).filter(|(tenant, host)| readable && (tenant != of.tenant || host != of.host)),
    }
}
