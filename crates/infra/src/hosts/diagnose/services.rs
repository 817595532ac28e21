//! Units that failed, units that start again and again, and services that should run and do not.

use std::collections::BTreeSet;

use futures::future::{join_all, join3};

use super::{Check, Checked, Finding, Ground, Severity};
use crate::hosts::hygiene::one_line;
use crate::hosts::log_groups::known;
use crate::hosts::logs::{self, LogQuery};
use crate::hosts::operand::Unit;
use crate::hosts::reader::Failure;
use crate::hosts::services::{ServiceStatus, UnitRow, enabled, failed_units, show, units};

/// More suspects are not looked at one by one.
const MAX_SUSPECTS: usize = 100;
/// Findings whose log is asked for.
const MAX_LOGS: usize = 5;
/// Log lines in the evidence.
const LOG_LINES: usize = 3;

pub(super) async fn check(ground: Ground<'_>) -> Result<Checked, Failure> {
    let mut done = Checked::default();
    let asker = ground.asker;
    let (failed, listed, enabled) = join3(failed_units(asker), units(asker), enabled(asker)).await;
    if let (Err(e), Err(_), Err(_)) = (&failed, &listed, &enabled) {
        return Err(e.clone());
    }
    let failed = done.part(failed)?.unwrap_or_default();
    let listed = done.part(listed)?.unwrap_or_default();
    let enabled = done.part(enabled)?.unwrap_or_default();
    let suspects = suspects(&failed, &listed, &enabled);
    if suspects.is_empty() {
        return Ok(done);
    }
    match show(asker, &suspects).await {
        Ok(statuses) => done.findings = statuses.iter().filter_map(|s| judge(s, ground)).collect(),
        Err(e) => {
            // The list alone still says which units failed.
            done.findings = failed.iter().map(|row| bare(row, ground)).collect();
            done.part(Err::<(), _>(e))?;
        }
    }
    done.findings.sort_by_key(|f| (f.severity, f.suggestion.is_none()));
    with_logs(&mut done.findings, ground).await;
    Ok(done)
}

/// Units worth a closer look: what failed or loops, and what is enabled and not active.
fn suspects(failed: &[UnitRow], listed: &[UnitRow], enabled: &[String]) -> Vec<Unit> {
    let active: BTreeSet<&str> = listed
        .iter()
        .filter(|r| matches!(r.active.as_str(), "active" | "reloading"))
        .map(|r| r.unit.as_str())
        .collect();
    let ill = listed.iter().filter(|r| r.active == "failed" || r.sub == "auto-restart");
    let down = enabled.iter().map(String::as_str).filter(|unit| !active.contains(unit));
    let names: BTreeSet<&str> = failed.iter().chain(ill).map(|r| r.unit.as_str()).chain(down).collect();
    // A name that is none cannot be asked for.
    names.into_iter().filter_map(|name| name.parse().ok()).take(MAX_SUSPECTS).collect()
}

fn judge(status: &ServiceStatus, ground: Ground<'_>) -> Option<Finding> {
    let suggestion = ground.remedies.of_unit(&status.unit);
    let ended = status.how_it_ended();
    let (severity, what) = match status.active_state.as_str() {
        "failed" if ended.is_empty() => (Severity::Critical, "failed".to_owned()),
        "failed" => (Severity::Critical, format!("failed: {ended}")),
        "activating" if status.sub_state == "auto-restart" => {
            let because = if ended.is_empty() { String::new() } else { format!(": {ended}") };
            (Severity::Critical, format!("crash loop, restarted {} times{because}", status.restarts))
        }
        "inactive" if should_run(status) => match (&status.inactive_since, &suggestion) {
            (Some(since), _) => (Severity::Critical, format!("enabled but stopped since {since}")),
            (None, Some(_)) => (Severity::Critical, "enabled but not running".to_owned()),
            (None, None) => (Severity::Warning, "enabled but was not started since boot".to_owned()),
        },
        _ => return None,
    };
    let evidence = vec![status.summary()];
    Some(Finding {
        severity,
        check: Check::Services,
        subject: status.unit.clone(),
        what,
        evidence,
        suggestion,
    })
}

/// Enabled, and nothing explains that it does not run: it does one thing and ends, waits for a socket or a timer,
/// or its conditions do not hold here.
fn should_run(status: &ServiceStatus) -> bool {
    status.unit_file_state == "enabled"
        && status.load_state == "loaded"
        && status.kind != "oneshot"
        && !status.condition_failed
        && status.triggered_by.is_empty()
}

fn bare(row: &UnitRow, ground: Ground<'_>) -> Finding {
    Finding {
        severity: Severity::Critical,
        check: Check::Services,
        subject: one_line(&row.unit, 255),
        what: "failed".to_owned(),
        evidence: vec![one_line(&row.description, 120)],
        suggestion: ground.remedies.of_unit(&row.unit),
    }
}

/// Adds the last log lines to the first findings. A log that cannot be read takes nothing from them.
async fn with_logs(findings: &mut [Finding], ground: Ground<'_>) {
    let asked = findings.iter().take(MAX_LOGS).map(|finding| async move {
        let unit = finding.subject.parse().ok()?;
        let query = LogQuery { unit: Some(unit), lines: Some(10), ..LogQuery::default() };
        logs::ask(ground.asker, &query).await.ok()
    });
    let answers = join_all(asked).await;
    for (finding, log) in findings.iter_mut().zip(answers) {
        let Some(log) = log else { continue };
        let skip = log.lines.len().saturating_sub(LOG_LINES);
        // The newest line that tells a cause says more than the exit status.
        let told = log.lines.iter().enumerate().rev().find_map(|(n, l)| Some((n, known(&l.message)?.1)));
        if let Some((number, cause)) = told {
            finding.what.push_str(&format!("; its log says that {cause}"));
            finding.evidence.extend(log.lines.get(number).filter(|_| number < skip).map(|l| l.short(200)));
        }
        finding.evidence.extend(log.lines.iter().skip(skip).map(|l| l.short(200)));
    }
}
