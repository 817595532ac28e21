//! Denying a proposal with the passkey that approves: the person is shown the denial's bytes, signs those, and the target is told.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::recovery::{self, Denied};
use crate::store::{Proposal, Role, SignedDenial, State as Stands, now_ms, sha256_hex};

use super::Web;
use super::decide::{Rejected, by_passkey, passkeys};
use super::enter::{Assertion, encode};
use super::guard::{Doer, Problem, read};
use super::view::{DenialView, moment, seen};

/// What the page says of a denial.
pub(super) fn view(proposal: &Proposal, denial: Option<SignedDenial>) -> DenialView {
    let now = now_ms();
    let told = denial.as_ref().is_some_and(|d| d.told_ms.is_some());
    let stands = proposal.statement_expires_ms.filter(|end| *end > now);
    let over = matches!(proposal.state, Stands::Rejected | Stands::Expired);
    DenialView {
        possible: !told
            && (matches!(proposal.state, Stands::Proposed | Stands::Approved) || (over && stands.is_some())),
        open_until: stands.filter(|_| over && !told).map(moment),
        answer: denial.as_ref().and_then(|d| d.answer.as_deref()).map(seen).unwrap_or_default(),
        signed: denial.map(|d| (seen(&d.signer), moment(d.signed_ms), seen(&d.fingerprint))),
        told,
    }
}

/// Drafts the denial for the person to read; keeps and changes nothing.
pub(super) async fn begin(
    State(web): State<Arc<Web>>,
    doer: Doer,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let person = doer.at_least(Role::Approver)?;
    let Rejected { reason } = read(body).await?;
    let denial = recovery::denial(&web.app, &id, &reason).await?;
    let ids = passkeys(&web, &person).await?;
    Ok(Json(json!({
        "statement": String::from_utf8_lossy(&denial.bytes),
        "shown": seen(String::from_utf8_lossy(&denial.bytes).trim_end()),
        "sha256": sha256_hex(&denial.bytes),
        "challenge": encode(&grant::webauthn::challenge(&denial.bytes)),
        "ids": ids,
        "rp_id": web.party.id,
    })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    /// The bytes that the person was shown.
    statement: String,
    id: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
}

/// Takes the passkey's assertion over the denial; the proposal ends, and the target is told.
pub(super) async fn finish(
    State(web): State<Arc<Web>>,
    doer: Doer,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let person = doer.at_least(Role::Approver)?;
    let Signed { statement, id: credential, client_data, authenticator_data, signature } = read(body).await?;
    let given = Assertion { id: credential, client_data, authenticator_data, signature };
    let denial = recovery::read_denial(&web.app, &id, statement.as_bytes()).await?;
    let (armor, fido) = by_passkey(&web, &person, &denial.bytes, &given).await?;
    let denied = recovery::deny(&web.app, &denial, armor, &person.name, &fido).await?;
    Ok(answer(&denied))
}

/// Hands a denial that was signed before to the target again.
pub(super) async fn deliver(
    State(web): State<Arc<Web>>,
    doer: Doer,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    doer.at_least(Role::Approver)?;
    Ok(answer(&recovery::deliver(&web.app, &id).await?))
}

fn answer(denied: &Denied) -> Json<Value> {
    Json(json!({ "state": denied.proposal.state, "told": denied.told, "message": denied.message }))
}
