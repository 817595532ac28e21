//! What is wrong with a host: several checks at once, their findings ranked, each with its evidence and, where
//! the catalogue has one, the action that mends it.
//!
//! A check that cannot be done is a row with its error beside the findings of the others.

mod certificates;
mod clock;
mod containers;
mod dns;
mod log;
mod network;
mod resources;
mod services;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ask::Asker;
use super::hygiene;
use super::operand::Unit;
use super::reader::{Failure, Reader};

/// Most findings in one answer; the least severe are left out.
const MAX_FINDINGS: usize = 40;

/// What can be checked. The order is that of causes: a full disk stops services, a stopped service breaks names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Space and inodes.
    Disk,
    /// Memory and swap.
    Memory,
    /// The clock against the server's, and whether it is synchronised.
    Clock,
    /// Units that failed, loop, or should run and do not.
    Services,
    /// Containers that ended badly or are unhealthy.
    Containers,
    /// Certificates of the host's own TLS servers.
    Certificates,
    /// Whether names resolve.
    Dns,
    /// Addresses and routes.
    Network,
    /// Load against the number of processors.
    Load,
    /// Errors of the last hour.
    Logs,
}

impl Check {
    /// All checks.
    pub const ALL: [Self; 10] = [
        Self::Disk,
        Self::Memory,
        Self::Clock,
        Self::Services,
        Self::Containers,
        Self::Certificates,
        Self::Dns,
        Self::Network,
        Self::Load,
        Self::Logs,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::Clock => "clock",
            Self::Services => "services",
            Self::Containers => "containers",
            Self::Certificates => "certificates",
            Self::Dns => "dns",
            Self::Network => "network",
            Self::Load => "load",
            Self::Logs => "logs",
        }
    }
}

/// How bad a finding is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work, or is about to stop.
    Critical,
    /// Something will need a person soon.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    pub(in crate::hosts) fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// An action to propose. It does nothing until a person approves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Suggestion {
    /// Name in the action catalogue.
    pub action: String,
    /// Its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which check found it.
    pub check: Check,
    /// What it is about: a unit, a mount point, a container…
    pub subject: String,
    /// What is wrong with it.
    pub what: String,
    /// A few lines of the host that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to propose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<Suggestion>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// Nothing critical and no warning.
    Ok,
    /// At least a warning.
    Findings,
    /// What it looks at is not installed.
    Skipped,
    /// It could not be done.
    Failed,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckRow {
    /// The check.
    pub check: Check,
    /// How it ended.
    pub state: CheckState,
    /// Why it, or a part of it, could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Findings, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was checked.
    pub checks: Vec<CheckRow>,
    /// Whether findings of little severity are missing here.
    pub truncated: bool,
    /// Control and invisible characters that were removed.
    pub removed_controls: usize,
    /// Secrets that were replaced.
    pub redactions: usize,
}

/// Which action mends what: data of the action catalogue.
#[derive(Debug, Clone, Default)]
pub struct Remedies {
    /// Unit, with or without `.service`, to the action that restarts it.
    pub units: BTreeMap<String, String>,
    /// Action that restarts the container in its parameter `container`.
    pub container: Option<String>,
    /// Action that makes room where the logs are.
    pub log_space: Option<String>,
}

impl Remedies {
    fn of_unit(&self, unit: &str) -> Option<Suggestion> {
        let same = |key: &str| key.parse::<Unit>().is_ok_and(|k| k.as_str() == unit);
        let action = self.units.iter().find(|(key, _)| same(key)).map(|(_, action)| action)?;
        Some(Suggestion { action: action.clone(), params: BTreeMap::new() })
    }

    fn of_container(&self, name: &str) -> Option<Suggestion> {
        let params = BTreeMap::from([("container".to_owned(), name.to_owned())]);
        Some(Suggestion { action: self.container.clone()?, params })
    }

    fn of_mount(&self, mount: &str) -> Option<Suggestion> {
        let holds_logs = matches!(mount, "/" | "/var" | "/var/log");
        let action = self.log_space.clone().filter(|_| holds_logs)?;
        Some(Suggestion { action, params: BTreeMap::new() })
    }
}

/// What a check works with.
#[derive(Clone, Copy)]
struct Ground<'a> {
    asker: &'a Asker<'a>,
    remedies: &'a Remedies,
}

/// What a check gives when it could be done, at least in part.
#[derive(Default)]
struct Checked {
    findings: Vec<Finding>,
    /// Parts that could not be done.
    errors: Vec<String>,
}

impl Checked {
    /// A part's answer, or its error on record. A host out of reach ends the check.
    fn part<T>(&mut self, answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(e) if e.is_about_host() => Err(e),
            Err(e) => {
                self.errors.push(e.to_string());
                Ok(None)
            }
        }
    }
}

/// Runs the checks, all when none is named, at the same time. `Err` only when the host is out of reach.
pub async fn diagnose_system(
    reader: &dyn Reader,
    checks: &[Check],
    remedies: &Remedies,
) -> Result<Diagnosis, Failure> {
    diagnose_system_telling(reader, checks, remedies, &|_, _, _| ()).await
}

/// As [`diagnose_system`]; `told` hears of each check that is done, how many are, and of how many.
pub async fn diagnose_system_telling(
    reader: &dyn Reader,
    checks: &[Check],
    remedies: &Remedies,
    told: &(dyn Fn(Check, usize, usize) + Sync),
) -> Result<Diagnosis, Failure> {
    let asker = Asker::new(reader);
    let ground = Ground { asker: &asker, remedies };
    let mut checks = if checks.is_empty() { Check::ALL.to_vec() } else { checks.to_vec() };
    checks.sort_unstable();
    checks.dedup();
    let (done, total) = (AtomicUsize::new(0), checks.len());
    let answers = join_all(checks.iter().map(|check| {
        run(*check, ground).inspect(|_| told(*check, done.fetch_add(1, Ordering::Relaxed) + 1, total))
    }))
    .await;
    let out_of_reach = |a: &&Result<Checked, Failure>| a.as_ref().is_err_and(Failure::is_about_host);
    if let Some(Err(e)) = answers.iter().find(out_of_reach) {
        return Err(e.clone());
    }
    let (mut findings, mut rows) = (Vec::new(), Vec::new());
    for (check, answer) in checks.into_iter().zip(answers) {
        rows.push(row(check, &answer));
        findings.extend(answer.map(|c| c.findings).unwrap_or_default());
    }
    // Stable: within a severity the order of causes stays.
    findings.sort_by_key(|f| f.severity);
    let truncated = findings.len() > MAX_FINDINGS;
    findings.truncate(MAX_FINDINGS);
    let counts = asker.counts();
    Ok(Diagnosis {
        findings,
        checks: rows,
        truncated,
        removed_controls: counts.removed_controls,
        redactions: counts.redactions,
    })
}

fn run(check: Check, ground: Ground<'_>) -> BoxFuture<'_, Result<Checked, Failure>> {
    match check {
        Check::Disk => resources::disk(ground).boxed(),
        Check::Memory => resources::memory(ground).boxed(),
        Check::Clock => clock::check(ground).boxed(),
        Check::Load => resources::load(ground).boxed(),
        Check::Services => services::check(ground).boxed(),
        Check::Containers => containers::check(ground).boxed(),
        Check::Certificates => certificates::check(ground).boxed(),
        Check::Dns => dns::check(ground).boxed(),
        Check::Network => network::check(ground).boxed(),
        Check::Logs => log::check(ground).boxed(),
    }
}

fn row(check: Check, answer: &Result<Checked, Failure>) -> CheckRow {
    let (state, error) = match answer {
        Err(e @ Failure::Missing { .. }) => (CheckState::Skipped, Some(e.to_string())),
        Err(e) => (CheckState::Failed, Some(e.to_string())),
        Ok(done) => {
            let found = done.findings.iter().any(|f| f.severity < Severity::Info);
            let errors = Some(done.errors.join("; ")).filter(|e| !e.is_empty());
            (if found { CheckState::Findings } else { CheckState::Ok }, errors)
        }
    };
    CheckRow { check, state, error }
}

/// Findings that are kept for a person who decides, lines of each, and characters of a line, a subject and what is wrong.
const KEPT_FINDINGS: usize = 8;
const KEPT_LINES: usize = 3;
const KEPT_LINE: usize = 160;
const KEPT_SUBJECT: usize = 100;
const KEPT_WHAT: usize = 240;

impl Diagnosis {
    /// The worst of it, bounded: what is kept for a person who decides later.
    pub fn kept(&self) -> Value {
        let named = |wanted: fn(CheckState) -> bool| -> Vec<&str> {
            self.checks.iter().filter(|c| wanted(c.state)).map(|c| c.check.as_str()).collect()
        };
        let findings = self.findings.iter().take(KEPT_FINDINGS).map(|f| {
            let lines = f.evidence.iter().take(KEPT_LINES).map(|line| hygiene::one_line(line, KEPT_LINE));
            json!({
                "severity": f.severity,
                "check": f.check,
                "subject": hygiene::one_line(&f.subject, KEPT_SUBJECT),
                "what": hygiene::one_line(&f.what, KEPT_WHAT),
                "evidence": lines.collect::<Vec<_>>(),
            })
        });
        json!({
            "findings": findings.collect::<Vec<_>>(),
            "more": self.truncated || self.findings.len() > KEPT_FINDINGS,
            "checked": named(|s| matches!(s, CheckState::Ok | CheckState::Findings)),
            "undone": named(|s| s == CheckState::Failed),
        })
    }

    /// A line for each finding with its evidence below, and one for the checks.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for (number, finding) in self.findings.iter().enumerate() {
            text.push_str(&format!(
                "{}. {} [{}] {}: {}\n",
                number + 1,
                finding.severity.as_str(),
                finding.check.as_str(),
                finding.subject,
                finding.what
            ));
            if let Some(suggestion) = &finding.suggestion {
                let params: String = suggestion.params.iter().map(|(k, v)| format!(" {k}={v}")).collect();
                text.push_str(&format!("   suggested action: {}{params}\n", suggestion.action));
            }
            finding.evidence.iter().for_each(|line| text.push_str(&format!("   {line}\n")));
        }
        if self.findings.is_empty() {
            text.push_str("nothing wrong was found\n");
        }
        let of = |state| {
            let named: Vec<&str> =
                self.checks.iter().filter(|c| c.state == state).map(|c| c.check.as_str()).collect();
            named.join(", ")
        };
        for (word, state) in
            [("ok", CheckState::Ok), ("skipped", CheckState::Skipped), ("NOT checked", CheckState::Failed)]
        {
            if !of(state).is_empty() {
                text.push_str(&format!("{word}: {}\n", of(state)));
            }
        }
        for row in &self.checks {
            if let (Some(error), true) = (&row.error, row.state != CheckState::Skipped) {
                text.push_str(&format!("{}: {error}\n", row.check.as_str()));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests;
