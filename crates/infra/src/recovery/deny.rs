//! Denial: a person ends a proposal by signature, and its target is told. From then on the target refuses every grant of it, whoever
//! signs one.

use std::collections::BTreeMap;
use std::sync::Arc;

use grant::{Fido, Kind, Statement};
use serde_json::{Value, json};

use crate::app::App;
use crate::ssh::{Account, ExecOutput, SshError};
use crate::store::{Audit, Proposal, SignedDenial, State, StoreError, now_ms};

use super::approve::lifetime;
use super::execute::is_ours;
use super::propose::fresh_id;
use super::signature::{self, Checked};
use super::{RecoveryError, Signer};

/// Longest reason, in bytes.
const REASON_BYTES: usize = 2000;

/// What a person is about to sign to end a proposal.
#[derive(Debug, Clone)]
pub struct Denial {
    /// The proposal.
    pub proposal: Proposal,
    /// The bytes, parsed.
    pub statement: Statement,
    /// The bytes that are signed.
    pub bytes: Vec<u8>,
}

/// What became of a denial.
#[derive(Debug, Clone)]
pub struct Denied {
    /// The proposal, rejected here in any case.
    pub proposal: Proposal,
    /// Whether the target says that it is denied there.
    pub told: bool,
    /// What came of handing it over, and the next step when the target was not told.
    pub message: String,
}

/// Drafts the denial of a proposal; changes nothing.
///
/// Errors: a proposal that is over, or whose target knows of a denial; no usable reason.
pub async fn denial(app: &App, id: &str, reason: &str) -> Result<Denial, RecoveryError> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES {
        return Err(RecoveryError::refused("bad_params", format!("say why, in 1 to {REASON_BYTES} bytes")));
    }
    let proposal = deniable(app, id).await?;
    let statement = draft(&proposal, reason, now_ms() / 1000, lifetime(app), fresh_id("", 16)?);
    let bytes = statement.to_bytes();
    Statement::parse(&bytes).map_err(|e| RecoveryError::refused("bad_params", e.message))?;
    Ok(Denial { proposal, statement, bytes })
}

/// Takes bytes back that [`denial`] has drafted and somebody else has kept: they must be, to the byte, what it would draft for this
/// proposal, and must stand.
///
/// Errors: as [`denial`]; bytes of another proposal, of another kind or from another time.
pub async fn read_denial(app: &App, id: &str, bytes: &[u8]) -> Result<Denial, RecoveryError> {
    let proposal = deniable(app, id).await?;
    let other =
        || RecoveryError::refused("malformed", format!("this is no denial of {id} that stands: begin anew"));
    let statement = Statement::parse(bytes).map_err(|_| other())?;
    let again =
        draft(&proposal, &statement.rationale, statement.not_before, lifetime(app), statement.nonce.clone());
    let now = now_ms() / 1000;
    let stands = statement.not_before <= now && now < statement.expires_at;
    if !stands || again.to_bytes() != bytes || statement.rationale.len() > REASON_BYTES {
        return Err(other());
    }
    Ok(Denial { proposal, statement, bytes: bytes.to_vec() })
}

/// The proposal, when a denial of it can still mean something.
async fn deniable(app: &App, id: &str) -> Result<Proposal, RecoveryError> {
    let wanted = id.to_owned();
    let (proposal, kept) =
        app.blocking(move |store| Ok((store.proposal(&wanted)?, store.denial(&wanted)?))).await?;
    if let Some(kept) = kept.filter(|k| k.told_ms.is_some()) {
        return Err(RecoveryError::refused(
            "denied",
            format!("{} has denied {id}, and its target knows: there is nothing left to do", kept.signer),
        ));
    }
    match proposal.state {
        // The bytes of one that has expired here may still stand.
        State::Proposed | State::Approved | State::Rejected | State::Expired => Ok(proposal),
        state => {
            let id = id.to_owned();
            Err(StoreError::WrongState { id, state, wanted: "waiting, rejected or expired" }.into())
        }
    }
}

fn draft(proposal: &Proposal, reason: &str, not_before: i64, lifetime: i64, nonce: String) -> Statement {
    let asked = &proposal.asked;
    Statement {
        v: grant::VERSION,
        proposal: proposal.id.clone(),
        tenant: asked.tenant.clone(),
        host: asked.host.clone(),
        machine_id: asked.machine_id.clone(),
        kind: Kind::Deny,
        action: String::new(),
        params: BTreeMap::new(),
        argv: Vec::new(),
        plan: String::new(),
        policy: String::new(),
        rationale: reason.to_owned(),
        proposed_by: asked.proposed_by.clone(),
        not_before,
        expires_at: not_before.saturating_add(lifetime),
        nonce,
        break_glass: None,
    }
}

/// Has the signer sign a denial; the proposal ends here, and the denial is handed to the target. `fido` is as for
/// [`super::add_signature`].
pub async fn sign_denial(
    app: &Arc<App>,
    denial: &Denial,
    signer: &Signer,
    fido: &Fido,
) -> Result<Denied, RecoveryError> {
    let armor = signer
        .sign(grant::NAMESPACE, &denial.bytes)
        .await
        .map_err(|e| RecoveryError::refused("signer", e.to_string()))?;
    deny(app, denial, armor, signer.name(), fido).await
}

/// Takes a signature over a denial: the proposal ends here, and the denial is handed to the target. `name` and `fido` are as for
/// [`super::add_signature`]. A target that could not be told is no error: [`Denied`] says so.
///
/// Errors: a signature that the target would refuse; nothing has changed then.
pub async fn deny(
    app: &Arc<App>,
    denial: &Denial,
    armor: String,
    name: &str,
    fido: &Fido,
) -> Result<Denied, RecoveryError> {
    let Checked { fingerprint, person } = signature::check(app, &denial.bytes, &armor, fido)?;
    let kept = SignedDenial {
        fingerprint,
        signer: person.unwrap_or_else(|| name.to_owned()),
        statement: denial.bytes.clone(),
        armor,
        signed_ms: now_ms(),
        told_ms: None,
        answer: None,
    };
    let (id, reason) = (denial.proposal.id.clone(), denial.statement.rationale.clone());
    app.blocking(move |store| store.deny(&id, &reason, &kept)).await?;
    deliver(app, &denial.proposal.id).await
}

/// Hands the kept denial of a proposal to its target. One whose target knows is only shown.
///
/// Errors: nobody has signed a denial.
pub async fn deliver(app: &Arc<App>, id: &str) -> Result<Denied, RecoveryError> {
    let wanted = id.to_owned();
    let (proposal, kept) =
        app.blocking(move |store| Ok((store.proposal(&wanted)?, store.denial(&wanted)?))).await?;
    let Some(kept) = kept else {
        return Err(RecoveryError::refused(
            "no_denial",
            format!(
                "nobody has signed a denial of {id}: `mcp-linux-infra reject {id} --reason WHY --key FILE` signs and delivers one"
            ),
        ));
    };
    if kept.told_ms.is_some() {
        let message = format!("{} knows that {id} is denied", proposal.asked.host);
        return Ok(Denied { proposal, told: true, message });
    }
    // A task of its own: a caller that goes away does not leave the target half told.
    let app = Arc::clone(app);
    let handed_over = tokio::spawn(async move { hand_over(&app, proposal, &kept).await });
    handed_over.await.map_err(|e| RecoveryError::refused("internal", e.to_string()))?
}

async fn hand_over(app: &App, proposal: Proposal, kept: &SignedDenial) -> Result<Denied, RecoveryError> {
    let id = proposal.id.clone();
    let answer = match app.host(&proposal.asked.host) {
        Err(cause) => Answer::None(cause),
        Ok(host) => {
            let data = json!({ "proposal": id, "host": host.name, "key": kept.fingerprint });
            let receipt = app.audit(&Audit { event: "denying", data }).await?;
            let envelope = session::envelope::join(&kept.statement, &[kept.armor.as_bytes()]);
            read(&id, app.pool().exec(host, Account::Runner, "grant", Some(&envelope), &receipt).await)
        }
    };
    let (told, head) = match &answer {
        Answer::Denied(head) => (true, head.clone()),
        _ => (false, None),
    };
    let message = in_words(&proposal, kept, &answer);
    let noted = message.clone();
    app.blocking(move |store| store.denial_handed_over(&id, told, &noted, head.as_ref())).await?;
    Ok(Denied { proposal, told, message })
}

/// What a target says of a denial.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// No grant of the proposal runs there any more; the head of its chain, when it took this very denial.
    Denied(Option<Value>),
    /// One was used before.
    TooLate,
    /// It did not take this one.
    Refused(String),
    /// Nothing that can be read.
    None(String),
}

fn read(id: &str, answer: Result<ExecOutput, SshError>) -> Answer {
    let output = match answer {
        Ok(output) => output,
        Err(e) => return Answer::None(e.to_string()),
    };
    let parsed: Option<Value> = serde_json::from_slice(&output.stdout).ok().filter(|v| is_ours(v, id));
    let Some(result) = parsed.map(crate::hosts::hygiene::clean_json) else {
        let said = crate::hosts::hygiene::clean(&output.stderr).text;
        return Answer::None(format!("it gave no result (exit {:?}): {}", output.exit, said.trim()));
    };
    let text = |field: &str| result[field].as_str().unwrap_or_default().to_owned();
    match text("code").as_str() {
        // Taken now, or an earlier one was.
        "denied" => Answer::Denied(head_of(&result["audit"])),
        "proposal_seen" => Answer::TooLate,
        code => Answer::Refused(format!("{code}: {}", text("message"))),
    }
}

/// The head of the target's chain, and nothing else that may stand there.
fn head_of(audit: &Value) -> Option<Value> {
    let (seq, hash) = (audit["seq"].as_u64()?, audit["hash"].as_str()?);
    let digest = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    digest.then(|| json!({ "seq": seq, "hash": hash }))
}

/// Says whether the target knows; if not, how long that matters and what to do.
fn in_words(proposal: &Proposal, kept: &SignedDenial, answer: &Answer) -> String {
    let (id, host) = (&proposal.id, &proposal.asked.host);
    let until_ms = Statement::parse(&kept.statement).map_or(0, |s| s.expires_at).saturating_mul(1000);
    let until = crate::app::utc(until_ms);
    let (cause, next) = match answer {
        Answer::Denied(_) => {
            return format!("{host} knows that {id} is denied: no grant of it runs there any more");
        }
        Answer::TooLate => {
            return format!(
                "{host} HAS USED A GRANT OF {id} BEFORE: the denial came too late; /var/log/pra-run.log there says what ran"
            );
        }
        Answer::Refused(cause) => (
            format!("it refused: {cause}"),
            format!("reject {id} --reason WHY --key FILE` once that is mended"),
        ),
        Answer::None(cause) => (cause.clone(), format!("reject {id} --deliver`")),
    };
    if until_ms <= now_ms() {
        return format!(
            "{host} does not know of the denial: {cause}. It ended at {until}, and with it every grant that was signed before"
        );
    }
    format!(
        "{host} DOES NOT KNOW OF THE DENIAL: {cause}. A grant that was signed could still be handed over there until {until}: tell it \
         again with `mcp-linux-infra {next}"
    )
}

#[cfg(test)]
#[path = "deny_tests.rs"]
mod tests;
