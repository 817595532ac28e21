//! Approval: the exact bytes that a person signs, what they mean, and the signature.

use grant::{Fido, Kind, Statement};

use crate::app::App;
use crate::store::{NewProposal, Proposal, ProposalKind, Signature, State, now_ms};

use super::propose::fresh_id;
use super::signature::{self, Checked};
use super::{RecoveryError, Signer};

/// Commands, each with the phase in which it runs.
pub type Steps = Vec<(String, Vec<String>)>;

/// What a person is about to sign: read back from the very bytes, never from the proposal.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The proposal.
    pub proposal: Proposal,
    /// The bytes that are signed.
    pub bytes: Vec<u8>,
    /// The bytes, parsed.
    pub statement: Statement,
    /// `low` to `critical`, by this server's catalogue.
    pub risk: String,
    /// The commands that will run, each with its phase, as this server's catalogue defines the action.
    pub steps: Steps,
}

/// Fixes the statement of a proposal, or takes the one that still counts, and says what it means.
pub async fn preview(app: &App, id: &str) -> Result<Preview, RecoveryError> {
    let proposal = {
        let id = id.to_owned();
        app.blocking(move |store| store.proposal(&id)).await?
    };
    let draft = draft(&proposal.id, &proposal.asked, now_ms() / 1000, lifetime(app))?;
    let (id, bytes) = (proposal.id.clone(), draft.to_bytes());
    let expires_ms = draft.expires_at.saturating_mul(1000);
    let fixed = app.blocking(move |store| store.fix_statement(&id, &bytes, expires_ms)).await?;
    let bytes = fixed.statement.clone().unwrap_or_default();
    understood(app, fixed, bytes)
}

impl Preview {
    /// Whether the bytes stand: only then may they be signed. Otherwise they are a draft, for reading.
    pub fn is_fixed(&self) -> bool {
        self.proposal.statement.as_deref() == Some(self.bytes.as_slice())
            && self.proposal.statement_expires_ms.is_some_and(|end| end > now_ms())
    }
}

/// What a proposal would have a person sign, or has: changes nothing.
pub async fn look(app: &App, id: &str) -> Result<Preview, RecoveryError> {
    let proposal = {
        let id = id.to_owned();
        app.blocking(move |store| store.proposal(&id)).await?
    };
    // One that is over is shown as it was signed.
    let counts =
        proposal.statement_expires_ms.is_some_and(|end| end > now_ms()) || proposal.state != State::Proposed;
    let bytes = match proposal.statement.clone().filter(|_| counts) {
        Some(bytes) => bytes,
        None => draft(&proposal.id, &proposal.asked, now_ms() / 1000, lifetime(app))?.to_bytes(),
    };
    understood(app, proposal, bytes)
}

pub(super) fn lifetime(app: &App) -> i64 {
    i64::try_from(app.config().grant.lifetime.as_secs()).unwrap_or(300)
}

fn understood(app: &App, proposal: Proposal, bytes: Vec<u8>) -> Result<Preview, RecoveryError> {
    let statement = Statement::parse(&bytes)
        .map_err(|e| RecoveryError::refused("malformed", format!("the stored statement is unusable: {e}")))?;
    let (risk, steps) = meaning(app, &statement)?;
    Ok(Preview { proposal, bytes, statement, risk, steps })
}

/// The statement of a proposal, valid from `not_before` (seconds since 1970) for `lifetime` seconds.
pub(super) fn draft(
    id: &str,
    asked: &NewProposal,
    not_before: i64,
    lifetime: i64,
) -> Result<Statement, RecoveryError> {
    Ok(Statement {
        v: grant::VERSION,
        proposal: id.to_owned(),
        tenant: asked.tenant.clone(),
        host: asked.host.clone(),
        machine_id: asked.machine_id.clone(),
        kind: match asked.kind {
            ProposalKind::Action => Kind::Action,
            ProposalKind::Command => Kind::Command,
        },
        action: asked.action.clone(),
        params: asked.params.clone(),
        argv: asked.argv.clone(),
        plan: asked.plan.clone(),
        policy: asked.policy.clone(),
        rationale: asked.rationale.clone(),
        proposed_by: asked.proposed_by.clone(),
        not_before,
        expires_at: not_before.saturating_add(lifetime),
        nonce: fresh_id("", 16)?,
        break_glass: None,
    })
}

/// Risk and commands of a statement, from this program's own catalogue: nothing that the database says.
fn meaning(app: &App, statement: &Statement) -> Result<(String, Steps), RecoveryError> {
    // no statement of this server has it, so somebody put it into the store for a person to sign unseen
    if statement.break_glass.is_some() {
        return Err(RecoveryError::refused(
            "break_glass",
            "the glass is broken by hand, not through the server",
        ));
    }
    match statement.kind {
        Kind::Command => {
            let judged = app.catalogue().judge(&crate::app::line_of(&statement.argv));
            Ok((judged.risk.to_string(), vec![("run".to_owned(), statement.argv.clone())]))
        }
        Kind::Procedure | Kind::Deny | Kind::Review => {
            Err(RecoveryError::refused("unknown_action", "only actions and commands can be approved here"))
        }
        Kind::Action => {
            let action =
                app.actions().get(&statement.action).filter(|a| a.plan() == statement.plan).ok_or_else(
                    || {
                        RecoveryError::refused(
                            "plan_changed",
                            "this server does not have the definition that the statement names",
                        )
                    },
                )?;
            let bound = action
                .bind(&statement.params)
                .map_err(|e| RecoveryError::refused("bad_params", e.to_string()))?;
            let steps = bound.lines().map(|(phase, argv)| (phase.to_string(), argv)).collect();
            Ok((action.risk.to_string(), steps))
        }
    }
}

/// Has the signer sign the previewed bytes and stores the signature. `fido` is as for [`add_signature`].
pub async fn sign(
    app: &App,
    preview: &Preview,
    signer: &Signer,
    fido: &Fido,
) -> Result<Proposal, RecoveryError> {
    let armor = signer
        .sign(grant::NAMESPACE, &preview.bytes)
        .await
        .map_err(|e| RecoveryError::refused("signer", e.to_string()))?;
    add_signature(app, preview, armor, signer.name(), fido).await
}

/// Stores a signature over the previewed bytes, once it is checked. `name` is who is believed to have made it, where this server has
/// no copy of the approvers' file; `fido` is what FIDO2 keys and passkeys must have been made for.
///
/// Errors: bytes that do not stand or no longer do; a signature over others, for another purpose or by a key that the approvers' file
/// does not have; who proposed, and who has signed already with another key.
pub async fn add_signature(
    app: &App,
    preview: &Preview,
    armor: String,
    name: &str,
    fido: &Fido,
) -> Result<Proposal, RecoveryError> {
    if !preview.is_fixed() {
        return Err(RecoveryError::refused(
            "expired",
            format!(
                "the bytes of {} do not stand any more: nothing was added; review it anew",
                preview.proposal.id
            ),
        ));
    }
    let Checked { fingerprint, person } = signature::check(app, &preview.bytes, &armor, fido)?;
    if let Some(person) = &person {
        may_approve(preview, person, &fingerprint)?;
    }
    let signature = Signature {
        signer: person.unwrap_or_else(|| name.to_owned()),
        fingerprint,
        armor,
        signed_ms: now_ms(),
    };
    let (id, bytes) = (preview.proposal.id.clone(), preview.bytes.clone());
    Ok(app.blocking(move |store| store.sign(&id, &bytes, &signature)).await?)
}

/// Persons are counted, not keys, and none of them proposed it.
fn may_approve(preview: &Preview, person: &str, fingerprint: &str) -> Result<(), RecoveryError> {
    if person.eq_ignore_ascii_case(&preview.statement.proposed_by) {
        return Err(RecoveryError::refused(
            "self_approval",
            format!("{person} proposed this and may not approve it: another person must sign"),
        ));
    }
    let signed = &preview.proposal.signatures;
    if signed.iter().any(|s| s.signer.eq_ignore_ascii_case(person) && s.fingerprint != fingerprint) {
        return Err(RecoveryError::refused(
            "signed_already",
            format!("{person} has signed already, with another key: another person must sign"),
        ));
    }
    Ok(())
}
