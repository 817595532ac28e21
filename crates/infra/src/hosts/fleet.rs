//! Many hosts at once: each is diagnosed, a bounded number at a time, and what is wrong on several of them is said once.
//!
//! A host that does not answer, or not in time, is a row with its reason beside the findings of the others.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::diagnose::{
    Check, CheckState, Diagnosis, Finding, Remedies, Severity, Suggestion, diagnose_system,
};
use super::reader::{Failure, Reader};

/// Most findings in one answer; the least severe are left out.
const MAX_FINDINGS: usize = 40;
/// Most names of hosts beside one finding; their number is always there.
const MAX_NAMES: usize = 50;
/// Names of hosts in one line of text.
const NAMES_IN_TEXT: usize = 8;

/// How much one call may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Hosts asked at once.
    pub concurrency: usize,
    /// One host, from its turn to its last answer.
    pub host: Duration,
    /// All hosts together.
    pub total: Duration,
}

/// Something that is wrong on at least one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FleetFinding {
    /// How bad it is.
    pub severity: Severity,
    /// Which check found it.
    pub check: Check,
    /// A unit, a mount point, a container…
    pub subject: String,
    /// What is wrong with it, in the words of the first host.
    pub what: String,
    /// Whether other hosts have other numbers in it.
    pub numbers_differ: bool,
    /// On how many hosts.
    pub count: usize,
    /// Which, at most 50.
    pub hosts: Vec<String>,
    /// Lines of the first host that show it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to propose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<Suggestion>,
}

/// A check that could not be done on some hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Undone {
    /// The check.
    pub check: Check,
    /// Why, in the words of the first host.
    pub error: String,
    /// On how many hosts.
    pub count: usize,
    /// Which, at most 50.
    pub hosts: Vec<String>,
}

/// A host that was not diagnosed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Absent {
    /// Its name.
    pub host: String,
    /// A stable word.
    pub code: String,
    /// The cause and the next step.
    pub error: String,
}

/// What many hosts have in common, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FleetDiagnosis {
    /// Hosts that were meant.
    pub asked: usize,
    /// Hosts on which all was checked and nothing critical and no warning was found.
    pub healthy: usize,
    /// What is wrong.
    pub findings: Vec<FleetFinding>,
    /// Whether findings of little severity are missing here.
    pub truncated: bool,
    /// Hosts that were not diagnosed, one row each.
    pub absent: Vec<Absent>,
    /// Checks that could not be done.
    pub undone: Vec<Undone>,
    /// Control and invisible characters that were removed.
    pub removed_controls: usize,
    /// Secrets that were replaced.
    pub redactions: usize,
}

/// Diagnoses hosts, each by its name and reader; `told` hears of each that is done, how many are, and of how many. Dropping the
/// future stops what runs.
pub async fn diagnose_fleet<R: Reader>(
    hosts: Vec<(String, R)>,
    checks: &[Check],
    remedies: &Remedies,
    bounds: Bounds,
    told: &(dyn Fn(&str, usize, usize) + Sync),
) -> FleetDiagnosis {
    let mut waiting: Vec<String> = hosts.iter().map(|(name, _)| name.clone()).collect();
    let total = hosts.len();
    let seconds = bounds.host.as_secs();
    let one = |(name, reader): (String, R)| async move {
        let work = diagnose_system(&reader, checks, remedies);
        let row = if let Ok(answer) = timeout(bounds.host, work).await {
            answer.map_err(|e: Failure| absent_for(&name, e.code(), &e.to_string()))
        } else {
            let error = format!(
                "no answer to all checks within {seconds} s: ask this host alone, or raise limits.fleet_host_seconds"
            );
            Err(absent_for(&name, "timed_out", &error))
        };
        (name, row)
    };
    let mut running = futures::stream::iter(hosts).map(one).buffer_unordered(bounds.concurrency.max(1));
    let end = Instant::now() + bounds.total;
    let mut rows = BTreeMap::new();
    while let Ok(Some((name, row))) = timeout_at(end, running.next()).await {
        rows.insert(name.clone(), row);
        told(&name, rows.len(), total);
    }
    drop(running);
    waiting.retain(|name| !rows.contains_key(name));
    for name in waiting {
        let error = format!(
            "not diagnosed within the {} s of the whole call: narrow the selector or raise limits.fleet_seconds",
            bounds.total.as_secs()
        );
        let row = Err(absent_for(&name, "out_of_time", &error));
        rows.insert(name, row);
    }
    joined(rows)
}

fn absent_for(host: &str, code: &str, error: &str) -> Absent {
    Absent { host: host.to_owned(), code: code.to_owned(), error: error.to_owned() }
}

/// What tells findings apart: all but the numbers in them, which differ from host to host.
type Key = (Severity, Check, String, String);

fn joined(rows: BTreeMap<String, Result<Diagnosis, Absent>>) -> FleetDiagnosis {
    let mut all = FleetDiagnosis {
        asked: rows.len(),
        healthy: 0,
        findings: Vec::new(),
        truncated: false,
        absent: Vec::new(),
        undone: Vec::new(),
        removed_controls: 0,
        redactions: 0,
    };
    let mut findings: BTreeMap<Key, FleetFinding> = BTreeMap::new();
    let mut undone: BTreeMap<(Check, String), Undone> = BTreeMap::new();
    for (host, row) in rows {
        let diagnosis = match row {
            Ok(diagnosis) => diagnosis,
            Err(absent) => {
                all.absent.push(absent);
                continue;
            }
        };
        all.removed_controls += diagnosis.removed_controls;
        all.redactions += diagnosis.redactions;
        all.truncated |= diagnosis.truncated;
        let mut well = true;
        for row in diagnosis.checks {
            well &= row.state != CheckState::Findings && row.state != CheckState::Failed;
            let Some(error) = row.error.filter(|_| row.state != CheckState::Skipped) else { continue };
            well = false;
            let entry = undone.entry((row.check, shape(&error)));
            let of = entry.or_insert(Undone { check: row.check, error, count: 0, hosts: Vec::new() });
            add(&mut of.count, &mut of.hosts, &host);
        }
        all.healthy += usize::from(well);
        for finding in diagnosis.findings {
            join(&mut findings, finding, &host);
        }
    }
    all.findings = findings.into_values().collect();
    // Stable: what is equally bad on equally many hosts stays in the order of causes.
    all.findings.sort_by_key(|f| (f.severity, std::cmp::Reverse(f.count), f.check));
    all.truncated |= all.findings.len() > MAX_FINDINGS;
    all.findings.truncate(MAX_FINDINGS);
    all.undone = undone.into_values().collect();
    all
}

fn join(findings: &mut BTreeMap<Key, FleetFinding>, finding: Finding, host: &str) {
    let key = (finding.severity, finding.check, finding.subject.clone(), shape(&finding.what));
    let of = findings.entry(key).or_insert_with(|| FleetFinding {
        severity: finding.severity,
        check: finding.check,
        subject: finding.subject,
        what: finding.what.clone(),
        numbers_differ: false,
        count: 0,
        hosts: Vec::new(),
        evidence: finding.evidence,
        suggestion: finding.suggestion,
    });
    of.numbers_differ |= of.what != finding.what;
    add(&mut of.count, &mut of.hosts, host);
}

fn add(count: &mut usize, hosts: &mut Vec<String>, host: &str) {
    if hosts.last().is_some_and(|last| last == host) {
        return;
    }
    *count += 1;
    if hosts.len() < MAX_NAMES {
        hosts.push(host.to_owned());
    }
}

/// A text without its numbers.
fn shape(text: &str) -> String {
    let mut shape = String::with_capacity(text.len());
    let mut in_number = false;
    for c in text.chars() {
        let digit = c.is_ascii_digit() || (in_number && matches!(c, '.' | ','));
        if !digit {
            shape.push(c);
        } else if !in_number {
            shape.push('#');
        }
        in_number = digit;
    }
    shape
}

impl FleetDiagnosis {
    /// A line for the whole, one for each finding with its hosts, and one for each reason why hosts are missing.
    pub fn summary(&self) -> String {
        let mut text = format!("{} host(s) asked, {} healthy", self.asked, self.healthy);
        if !self.absent.is_empty() {
            text.push_str(&format!(", {} NOT diagnosed", self.absent.len()));
        }
        for (number, f) in self.findings.iter().enumerate() {
            text.push_str(&format!(
                "\n{}. {} [{}] {}: {}{} -> {}",
                number + 1,
                f.severity.as_str(),
                f.check.as_str(),
                f.subject,
                f.what,
                if f.numbers_differ { " (numbers differ)" } else { "" },
                names(&f.hosts, f.count)
            ));
            if let Some(suggestion) = &f.suggestion {
                text.push_str(&format!("\n   suggested action: {}", suggestion.action));
                suggestion.params.iter().for_each(|(k, v)| text.push_str(&format!(" {k}={v}")));
            }
        }
        for undone in &self.undone {
            let on = names(&undone.hosts, undone.count);
            text.push_str(&format!("\nNOT checked [{}]: {} -> {on}", undone.check.as_str(), undone.error));
        }
        let mut reasons: BTreeMap<&str, Vec<&Absent>> = BTreeMap::new();
        self.absent.iter().for_each(|a| reasons.entry(&a.code).or_default().push(a));
        for (code, absent) in reasons {
            let hosts: Vec<String> = absent.iter().map(|a| a.host.clone()).collect();
            let first = absent.first().map_or("", |a| a.error.as_str());
            text.push_str(&format!("\nNOT diagnosed ({code}): {} ({first})", names(&hosts, hosts.len())));
        }
        if self.truncated {
            text.push_str("\nfindings of little severity were left out");
        }
        text
    }
}

fn names(hosts: &[String], count: usize) -> String {
    let some = hosts[..hosts.len().min(NAMES_IN_TEXT)].join(", ");
    if count > NAMES_IN_TEXT { format!("{count} hosts: {some}, …") } else { some }
}

#[cfg(test)]
mod tests;
