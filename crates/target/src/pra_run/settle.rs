//! Statements by which nothing runs: a person denies a proposal, or reviews what another did alone.

use grant::{Approval, Code, Kind, Refusal, Statement};
use ledger::file::FileLedger;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::claim::{Becomes, Claims};
use super::{persons, refuse};
use crate::answer::Answer;
use crate::now_ms;

/// What is to be reviewed, as the record of used grants keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The proposal that was run.
    pub(super) proposal: String,
    /// Who signed it.
    pub(super) persons: Vec<String>,
}

/// Takes a denial or a review. One person is enough: the signature is checked, and that it is for this host and time.
pub(super) fn settle(
    log: &FileLedger,
    claims: &Claims,
    statement: &Statement,
    approvals: &[Approval],
    seen: i64,
) -> Result<Answer, Refusal> {
    let data = json!({
        "proposal": statement.proposal, "action": statement.action, "reason": statement.rationale,
        "persons": persons(approvals), "nonce": statement.nonce,
    });
    if statement.kind == Kind::Review {
        review(log, claims, statement, approvals, seen, &data)
    } else {
        // from here on no grant of the proposal runs, whatever becomes of the record
        claims.claim(statement, approvals, seen, Becomes::Denied)?;
        let head = record(log, "deny", &data)?;
        Ok(answer(statement, "denied", head))
    }
}

fn review(
    log: &FileLedger,
    claims: &Claims,
    statement: &Statement,
    approvals: &[Approval],
    seen: i64,
    data: &Value,
) -> Result<Answer, Refusal> {
    let action = &statement.action;
    let none = |cause: String| refuse(Code::NoReview, cause);
    let text =
        claims.pending(action)?.ok_or_else(|| none(format!("nothing of {action} is to be reviewed here")))?;
    let pending: Pending = serde_json::from_str(&text)
        .map_err(|e| refuse(Code::LedgerMissing, format!("what is to be reviewed of {action}: {e}")))?;
    if pending.proposal != statement.proposal {
        return Err(none(format!("{} is to be reviewed, not {}", pending.proposal, statement.proposal)));
    }
    let own = |a: &&Approval| pending.persons.iter().any(|person| person.eq_ignore_ascii_case(&a.person));
    if let Some(approval) = approvals.iter().find(own) {
        return Err(none(format!("{} has run this and may not review it", approval.person)));
    }
    claims.claim(statement, approvals, seen, Becomes::Reviewed)?;
    // the record comes first: without it the review stays to be done
    let head = record(log, "review", data)?;
    claims.reviewed(action)?;
    Ok(answer(statement, "reviewed", head))
}

fn record(log: &FileLedger, event: &str, data: &Value) -> Result<Value, Refusal> {
    let head =
        log.append(event, data, now_ms()).map_err(|e| refuse(Code::AuditUnavailable, e.to_string()))?;
    Ok(json!(head))
}

fn answer(statement: &Statement, code: &str, head: Value) -> Answer {
    Answer {
        proposal: Some(statement.proposal.clone()),
        outcome: "succeeded",
        code: code.to_owned(),
        message: String::new(),
        steps: Vec::new(),
        audit: Some(head),
    }
}
