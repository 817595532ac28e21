//! Handing a grant to its target, once.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::app::App;
use crate::config::Host;
use crate::ssh::{Account, ExecOutput, SshError};
use crate::store::{Proposal, State, StoreError, Task};

use super::RecoveryError;
use super::wait::{page, waits, where_to_sign};

/// What became of a proposal.
#[derive(Debug, Clone)]
pub struct Executed {
    /// The proposal after the fact.
    pub proposal: Proposal,
    /// Whether this very call ran it; `false` when it had run before and nothing was done.
    pub now: bool,
}

/// Runs an approved proposal on its host. A proposal that ran already is only shown: it never runs twice. `task` is the task
/// that waited for it, if one did; what that task has run counts as run by this call.
pub async fn execute(
    app: &Arc<App>,
    host: &Host,
    action: &str,
    id: &str,
    task: Option<&Task>,
) -> Result<Executed, RecoveryError> {
    let proposal = {
        let id = id.to_owned();
        app.blocking(move |store| store.proposal(&id)).await?
    };
    same_subject(&proposal, host, action)?;
    match proposal.state {
        State::Approved => {}
        State::Proposed => return Err(approval_required(app, &proposal, "it waits for")),
        State::Running | State::Succeeded | State::Failed | State::Verified => {
            return Ok(Executed { proposal, now: task.is_some_and(|t| t.ran) });
        }
        State::Rejected | State::Expired => {
            return Err(RecoveryError::refused(
                "wrong_state",
                format!(
                    "proposal {id} is {}: nothing was run; make a new proposal if it is still needed",
                    proposal.state
                ),
            ));
        }
    }
    if waits(&proposal) {
        return Err(approval_required(app, &proposal, "its approval has expired, it needs again"));
    }
    // A task of its own from before the start: a caller that goes away leaves no proposal that was taken and never handed over,
    // and none without its outcome.
    let (app, host, task) = (Arc::clone(app), host.clone(), task.map(|t| t.id.clone()));
    let handed_over = tokio::spawn(async move { hand_over(&app, &host, proposal, task).await });
    handed_over.await.map_err(|e| RecoveryError::refused("internal", e.to_string()))?
}

/// Takes the proposal and hands its grant to the target; when another call has taken it, does nothing.
async fn hand_over(
    app: &App,
    host: &Host,
    approved: Proposal,
    task: Option<String>,
) -> Result<Executed, RecoveryError> {
    let id = approved.id;
    let started = {
        let id = id.clone();
        app.blocking(move |store| match &task {
            Some(task) => store.start_for(&id, task),
            None => store.start(&id),
        })
    };
    let (proposal, receipt) = match started.await {
        // Another call took it between the look and here.
        Err(StoreError::WrongState {
            state: State::Running | State::Succeeded | State::Failed | State::Verified,
            ..
        }) => {
            let proposal = app.blocking(move |store| store.proposal(&id)).await?;
            return Ok(Executed { proposal, now: false });
        }
        other => other?,
    };
    let armors: Vec<&[u8]> = proposal.signatures.iter().map(|s| s.armor.as_bytes()).collect();
    let envelope = session::envelope::join(proposal.statement.as_deref().unwrap_or_default(), &armors);
    let answer = app.pool().exec(host, Account::Runner, "grant", Some(&envelope), &receipt).await;
    let (state, reason, result) = outcome(&proposal, answer);
    let proposal = app.blocking(move |store| store.finish(&id, state, reason.as_deref(), &result)).await?;
    Ok(Executed { proposal, now: true })
}

fn same_subject(proposal: &Proposal, host: &Host, action: &str) -> Result<(), RecoveryError> {
    let asked = &proposal.asked;
    let subject = if asked.action.is_empty() { "command" } else { asked.action.as_str() };
    if asked.host != host.name.as_str() || asked.tenant != host.tenant {
        return Err(RecoveryError::refused(
            "host_mismatch",
            format!("proposal {} is for {}, not for {}: nothing was run", proposal.id, asked.host, host.name),
        ));
    }
    if subject != action {
        return Err(RecoveryError::refused(
            "action_mismatch",
            format!("proposal {} is for {subject}, not for {action}: nothing was run", proposal.id),
        ));
    }
    Ok(())
}

fn approval_required(app: &App, proposal: &Proposal, what: &str) -> RecoveryError {
    let id = &proposal.id;
    let missing =
        proposal.asked.approvals.saturating_sub(u32::try_from(proposal.signatures.len()).unwrap_or(0)).max(1);
    RecoveryError::ApprovalRequired {
        next: format!(
            "{id}: {what} {missing} signature(s). A person reviews and signs it {}; wait_for_approval(id={id}) waits for that; then \
             call execute_pra_action again",
            where_to_sign(app, id)
        ),
        proposal: Box::new(proposal.clone()),
        page: page(app, id),
    }
}

/// Reads the target's answer. Whatever it is, the proposal is over: only a new one can run.
fn outcome(proposal: &Proposal, answer: Result<ExecOutput, SshError>) -> (State, Option<String>, Value) {
    let output = match answer {
        Ok(output) => output,
        Err(e) => {
            let reason = format!("{e}. Look at /var/log/pra-run.log on the host before proposing it again");
            return (
                State::Failed,
                Some(reason.clone()),
                json!({ "outcome": "unknown", "code": e.code(), "message": reason }),
            );
        }
    };
    let stderr = crate::hosts::hygiene::clean(&output.stderr).text;
    let parsed: Option<Value> =
        serde_json::from_slice(&output.stdout).ok().filter(|v| is_ours(v, &proposal.id));
    let Some(result) = parsed.map(crate::hosts::hygiene::clean_json) else {
        let reason = format!("the target gave no result (exit {:?}): {}", output.exit, stderr.trim());
        return (
            State::Failed,
            Some(reason.clone()),
            json!({ "outcome": "unknown", "code": "no_result", "message": reason }),
        );
    };
    let worked =
        matches!(result["outcome"].as_str(), Some("succeeded" | "already_ok")) && output.exit == Some(0);
    if worked {
        let verified =
            result["steps"].as_array().is_some_and(|steps| steps.iter().any(|s| s["phase"] == "verify"));
        return (if verified { State::Verified } else { State::Succeeded }, None, result);
    }
    let code = result["code"].as_str().unwrap_or("failed");
    let message = result["message"].as_str().unwrap_or_default();
    let reason = format!("{code}: {message}").trim_end_matches([':', ' ']).to_owned();
    (State::Failed, Some(reason), result)
}

/// Whether a result is about this proposal. What the target refuses before it reads the statement names none.
pub(super) fn is_ours(result: &Value, id: &str) -> bool {
    result["proposal"] == id || (result["proposal"].is_null() && result["outcome"] == "refused")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_counts_only_for_its_own_proposal() {
        assert!(is_ours(&json!({ "proposal": "pr_1", "outcome": "succeeded" }), "pr_1"));
        assert!(is_ours(
            &json!({ "proposal": null, "outcome": "refused", "code": "unknown_signer" }),
            "pr_1"
        ));
        for other in [
            json!({ "proposal": "pr_2", "outcome": "succeeded" }),
            json!({ "proposal": null, "outcome": "succeeded" }),
            json!({}),
            json!([]),
        ] {
            assert!(!is_ours(&other, "pr_1"), "{other}");
        }
    }
}
