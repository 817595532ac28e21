//! Breaking the glass: one person runs what the target asks more for, where its policy lets them. Nobody can do it unseen: it
//! is recorded and raises an alarm before anything runs, and it cannot be done again before another person has reviewed it.

use grant::{Approval, Code, Kind, Refusal, Statement, Threshold};
use ledger::file::FileLedger;
use policy::action::Actions;
use serde_json::json;

use super::claim::Claims;
use super::settle::Pending;
use super::{NAME, persons, refuse};
use crate::config::{COMMAND, Config};
use crate::{Paths, now_ms, syslog};

/// What rules call that which a statement runs.
pub(super) fn subject(statement: &Statement) -> &str {
    if statement.kind == Kind::Command { COMMAND } else { &statement.action }
}

/// How many must sign this statement, and how.
pub(super) fn threshold(
    config: &Config,
    actions: &Actions,
    statement: &Statement,
) -> Result<Threshold, Refusal> {
    if !statement.kind.runs() {
        return Ok(Threshold { min: 1, verify_required: false, outside_browser: 0 });
    }
    let asked = config.threshold(actions.get(&statement.action).filter(|_| statement.kind != Kind::Command));
    if statement.break_glass.is_none() {
        return Ok(asked);
    }
    let subject = subject(statement);
    match config.glass(subject).next() {
        Some(_) => Ok(Threshold { min: 1, outside_browser: asked.outside_browser.min(1), ..asked }),
        None => {
            Err(refuse(Code::BreakGlass, format!("this target lets nobody break the glass for {subject}")))
        }
    }
}

/// Whether it may run now: who breaks the glass, what was not reviewed yet, windows and freezes.
pub(super) fn check(
    config: &Config,
    claims: &Claims,
    statement: &Statement,
    approvals: &[Approval],
    now: i64,
) -> Result<(), Refusal> {
    let subject = subject(statement);
    let mut calendar = true;
    if statement.break_glass.is_some() {
        let mut open = config.glass(subject).filter(|entry| entry.lets(approvals)).peekable();
        if open.peek().is_none() {
            let message = format!(
                "this target does not let this person, or not by passkey, break the glass for {subject}"
            );
            return Err(refuse(Code::BreakGlass, message));
        }
        calendar = !open.any(|entry| entry.in_freeze);
        if claims.pending(subject)?.is_some() {
            let message = format!(
                "what was done last time for {subject} with the glass broken is to be reviewed first"
            );
            return Err(refuse(Code::ReviewPending, message));
        }
    }
    if !calendar {
        return Ok(());
    }
    let grant_calendar = &config.calendar;
    grant::check_calendar(&grant_calendar.windows, &grant_calendar.freezes, subject, &config.tags, now)
}

/// Records it, raises the alarm and demands the review; only then may it run.
pub(super) fn raise(
    paths: &Paths,
    log: &FileLedger,
    claims: &Claims,
    statement: &Statement,
    approvals: &[Approval],
) -> Result<(), Refusal> {
    let Some(reason) = &statement.break_glass else { return Ok(()) };
    let subject = subject(statement);
    let unavailable = |cause: String| refuse(Code::AuditUnavailable, cause);
    let data = json!({
        "proposal": statement.proposal, "action": subject, "reason": reason, "persons": persons(approvals),
    });
    log.append("break_glass", &data, now_ms()).map_err(|e| unavailable(e.to_string()))?;
    let names: Vec<String> = approvals.iter().map(|a| a.person.clone()).collect();
    let fields = [
        ("alarm", "break_glass"),
        ("proposal", &*statement.proposal),
        ("action", subject),
        ("person", &names.join(",")),
        ("reason", reason),
    ];
    syslog::alert(paths, NAME, &fields)
        .map_err(|e| unavailable(format!("the alarm could not be raised: {e}")))?;
    let pending = Pending { proposal: statement.proposal.clone(), persons: names };
    let text = serde_json::to_string(&pending).map_err(|e| unavailable(e.to_string()))?;
    claims.demand_review(subject, &text)
}
