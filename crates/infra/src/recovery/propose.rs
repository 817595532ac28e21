//! Proposals: what somebody wants done, checked as far as the server can.

use std::collections::BTreeMap;

use crate::app::App;
use crate::config::Host;
use crate::store::{NewProposal, Proposal, ProposalKind, now_ms};

use super::approve::draft;
use super::{RecoveryError, describe};

/// Longest rationale, in bytes; the whole statement is bounded by 16 KiB.
const RATIONALE_BYTES: usize = 2000;

/// What is asked for.
#[derive(Debug, Clone)]
pub enum Ask {
    /// A named action with its parameters.
    Action {
        /// Name in the catalogue.
        name: String,
        /// Its parameters.
        params: BTreeMap<String, String>,
    },
    /// One command line that the policy calls manual.
    Command(String),
}

/// A stored proposal.
#[derive(Debug, Clone)]
pub struct Proposed {
    /// The proposal.
    pub proposal: Proposal,
    /// Whether it was open already: the same had been asked for by the same, and the first rationale stands.
    pub continued: bool,
}

/// Checks and stores a proposal. It does nothing on the host but ask for its facts. What is open already is continued.
pub async fn propose(
    app: &App,
    host: &Host,
    ask: &Ask,
    rationale: &str,
    proposed_by: &str,
) -> Result<Proposed, RecoveryError> {
    if rationale.trim().is_empty() || rationale.len() > RATIONALE_BYTES {
        return Err(RecoveryError::refused(
            "bad_params",
            format!("rationale: say why in 1 to {RATIONALE_BYTES} bytes; the person who decides reads it"),
        ));
    }
    let mut asked = match ask {
        Ask::Action { name, params } => of_action(app, name, params)?,
        Ask::Command(line) => of_command(app, line)?,
    };
    let facts = describe(app, host).await?;
    if facts.host != host.name.as_str() || facts.tenant != host.tenant {
        return Err(RecoveryError::refused(
            "host_mismatch",
            format!(
                "the machine at {} calls itself {} of tenant {}, the inventory says {} of tenant {}: mend the inventory or \
                 /etc/mcp-linux-infra/target.toml on the host",
                host.address, facts.host, facts.tenant, host.name, host.tenant
            ),
        ));
    }
    match asked.kind {
        ProposalKind::Action => {
            let theirs = facts.plans.get(&asked.action);
            if theirs != Some(&asked.plan) {
                return Err(RecoveryError::refused(
                    "plan_changed",
                    match theirs {
                        None => format!(
                            "{} does not have the action {}: deploy it there",
                            host.name, asked.action
                        ),
                        Some(_) => format!(
                            "the definition of {} on {} differs from this server's, so nobody here can see what would run: deploy the \
                             same version to both",
                            asked.action, host.name
                        ),
                    },
                ));
            }
            asked.approvals = asked.approvals.max(facts.approvals.get(&asked.action).copied().unwrap_or(1));
        }
        ProposalKind::Command => {
            if facts.policy != app.catalogue().digest() {
                return Err(RecoveryError::refused(
                    "policy_changed",
                    format!(
                        "the policy of {} differs from this server's: deploy the same plugins to both",
                        host.name
                    ),
                ));
            }
            asked.approvals = asked.approvals.max(facts.approvals.get("command").copied().unwrap_or(1));
        }
    }
    rationale.clone_into(&mut asked.rationale);
    proposed_by.clone_into(&mut asked.proposed_by);
    asked.host = facts.host;
    asked.tenant = facts.tenant;
    asked.machine_id = facts.machine_id;
    asked.policy = facts.policy;
    let ttl = i64::try_from(app.config().grant.proposal_ttl.as_millis()).unwrap_or(i64::MAX);
    asked.expires_ms = now_ms().saturating_add(ttl);
    let id = fresh_id("pr_", 8)?;
    // What the target would refuse as malformed is refused before a person has read it.
    let rehearsal = draft(&id, &asked, 0, 1)?;
    grant::Statement::parse(&rehearsal.to_bytes())
        .map_err(|e| RecoveryError::refused("bad_params", e.message))?;
    let fresh = id.clone();
    let proposal = app.blocking(move |store| store.propose_once(&id, &asked)).await?;
    Ok(Proposed { continued: proposal.id != fresh, proposal })
}

fn empty(kind: ProposalKind, risk: String) -> NewProposal {
    NewProposal {
        tenant: String::new(),
        host: String::new(),
        kind,
        action: String::new(),
        params: BTreeMap::new(),
        argv: Vec::new(),
        risk,
        rationale: String::new(),
        proposed_by: String::new(),
        machine_id: String::new(),
        plan: String::new(),
        policy: String::new(),
        approvals: 1,
        expires_ms: 0,
    }
}

fn of_action(app: &App, name: &str, params: &BTreeMap<String, String>) -> Result<NewProposal, RecoveryError> {
    let action = app.actions().get(name).ok_or_else(|| {
        let known: Vec<_> = app.actions().iter().map(|a| a.name.as_str()).collect();
        RecoveryError::refused(
            "unknown_action",
            format!("there is no action {name:?}; there are: {}", known.join(", ")),
        )
    })?;
    action.bind(params).map_err(|e| RecoveryError::refused("bad_params", format!("{name}: {e}")))?;
    Ok(NewProposal {
        action: name.to_owned(),
        params: params.clone(),
        plan: action.plan().to_owned(),
        approvals: action.approvals,
        ..empty(ProposalKind::Action, action.risk.to_string())
    })
}

fn of_command(app: &App, line: &str) -> Result<NewProposal, RecoveryError> {
    let judged = app.catalogue().judge(line);
    match judged.verdict {
        policy::Level::Manual => Ok(NewProposal {
            argv: judged.argv.clone(),
            ..empty(ProposalKind::Command, judged.risk.to_string())
        }),
        policy::Level::Auto => Err(RecoveryError::refused(
            "not_needed",
            "this command is permitted without approval: run it with execute_ssh_command",
        )),
        policy::Level::Blocked => {
            Err(RecoveryError::refused("blocked", format!("never permitted: {}", judged.reason)))
        }
    }
}

/// A fresh random name: a prefix and `bytes` random bytes in hex.
pub(crate) fn fresh_id(prefix: &str, bytes: usize) -> Result<String, RecoveryError> {
    use ring::rand::SecureRandom;
    use std::fmt::Write;
    let mut random = vec![0_u8; bytes];
    ring::rand::SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| RecoveryError::refused("internal", "the system gives no random bytes"))?;
    Ok(random.iter().fold(prefix.to_owned(), |mut id, b| {
        // Writing to a String cannot fail.
        let _ = write!(id, "{b:02x}");
        id
    }))
}
