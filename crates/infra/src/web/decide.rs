//! One proposal: what it would run, and what a person may do about it.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::recovery::{self, Preview};
use crate::store::{Purpose, Role, State as Stands, Store, sha256_hex};

use super::Web;
use super::enter::{Assertion, decode, encode, from_hex};
use super::guard::{Doer, Problem, Reader, read, texts};
use super::health::Evidence;
use super::look::{error_page, store_error};
use super::sessions::Person;
use super::view::{Outcome, Page, ProposalPage, View, lines, live_html, moment, seen, subject};

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    Reader(person): Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let t = texts(&headers);
    let preview = match recovery::look(&web.app, &id).await {
        Ok(preview) => preview,
        Err(recovery::RecoveryError::Store(e)) => return store_error(t, Some(person), &e),
        Err(e) => return error_page(t, Some(person), StatusCode::CONFLICT, &e.to_string()),
    };
    let wanted = id.clone();
    let denial = match web.app.blocking(move |store| store.denial(&wanted)).await {
        Ok(denial) => denial,
        Err(e) => return store_error(t, Some(person), &e),
    };
    let denial = super::deny::view(&preview.proposal, denial);
    let wanted = id.clone();
    let evidence = match web.app.blocking(move |store| store.evidence(&wanted)).await {
        Ok(evidence) => evidence.map(|e| Evidence::read(t, &e, Some(preview.proposal.created_ms))),
        Err(e) => return store_error(t, Some(person), &e),
    };
    let view = View { evidence, ..view(&preview, &person) };
    let page = ProposalPage {
        may_decide: person.role >= Role::Approver,
        may_run: person.role >= Role::Operator
            && preview.proposal.state == Stands::Approved
            && preview.is_fixed(),
        page: Page::new(t, Some(person), "/proposals"),
        view,
        denial,
    };
    live_html(&headers, &page)
}

/// Everything that says what runs is from the statement, never from what stands beside it in the database.
fn view(preview: &Preview, person: &Person) -> View {
    let (p, s) = (&preview.proposal, &preview.statement);
    let fixed = preview.is_fixed();
    let until_ms = if fixed { s.expires_at.saturating_mul(1000) } else { p.asked.expires_ms };
    let challenge = if fixed { encode(&grant::webauthn::challenge(&preview.bytes)) } else { String::new() };
    View {
        id: p.id.clone(),
        subject: subject(&s.action, &s.argv),
        host: seen(&s.host),
        tenant: seen(&s.tenant),
        machine_id: seen(&s.machine_id),
        params: s.params.iter().map(|(name, value)| (seen(name), seen(value))).collect(),
        asked_by: seen(&s.proposed_by),
        why: lines(&s.rationale),
        risk: preview.risk.clone(),
        steps: preview
            .steps
            .iter()
            .map(|(phase, argv)| (phase.clone(), seen(&crate::app::line_of(argv))))
            .collect(),
        state: p.state,
        reason: p.reason.as_deref().map(seen).unwrap_or_default(),
        wanted: p.asked.approvals,
        signatures: p
            .signatures
            .iter()
            .map(|s| (seen(&s.signer), moment(s.signed_ms), seen(&s.fingerprint)))
            .collect(),
        // An approval that nobody ran in time is signed anew, by everybody.
        open: p.state == Stands::Proposed || (p.state == Stands::Approved && !fixed),
        until_ms,
        until: moment(until_ms),
        fixed,
        bytes: if fixed { seen(&String::from_utf8_lossy(&preview.bytes)) } else { String::new() },
        sha256: sha256_hex(&preview.bytes),
        challenge,
        signed_by_me: fixed && p.signatures.iter().any(|s| s.signer == person.name),
        result: p.result.as_ref().map(Outcome::from),
        evidence: None,
    }
}

/// Fixes the bytes, so that they can be read and signed.
pub(super) async fn review(
    State(web): State<Arc<Web>>,
    doer: Doer,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    doer.at_least(Role::Approver)?;
    let preview = recovery::preview(&web.app, &id).await?;
    Ok(Json(json!({ "sha256": sha256_hex(&preview.bytes) })))
}

/// Ids of a person's passkeys that approve.
pub(super) async fn passkeys(web: &Web, person: &Person) -> Result<Vec<String>, Problem> {
    let devices = web.app.blocking(Store::devices).await?;
    let own = devices
        .into_iter()
        .filter(|d| d.person == person.name && d.purpose == Purpose::Approve && d.revoked_ms.is_none());
    Ok(own.map(|d| d.id).collect())
}

/// Which of the person's passkeys may sign; an assertion by another one would only be refused later.
pub(super) async fn keys(State(web): State<Arc<Web>>, doer: Doer) -> Result<Json<Value>, Problem> {
    let person = doer.at_least(Role::Approver)?;
    let ids = passkeys(&web, &person).await?;
    Ok(Json(json!({ "ids": ids, "rp_id": web.party.id })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approved {
    /// Of the bytes that the person was shown.
    sha256: String,
    id: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
}

/// Takes the passkey's assertion over the statement and stores it as the signature that the target will verify.
pub(super) async fn approve(
    State(web): State<Arc<Web>>,
    doer: Doer,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let person = doer.at_least(Role::Approver)?;
    let Approved { sha256, id: credential, client_data, authenticator_data, signature } = read(body).await?;
    let given = Assertion { id: credential, client_data, authenticator_data, signature };
    let preview = recovery::look(&web.app, &id).await?;
    if !preview.is_fixed() || sha256_hex(&preview.bytes) != sha256 {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "what you were shown is not what waits now: look again",
        ));
    }
    if preview.proposal.signatures.iter().any(|s| s.signer == person.name) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "you have signed already; another person must sign too",
        ));
    }
    let (armor, fido) = by_passkey(&web, &person, &preview.bytes, &given).await?;
    let proposal = recovery::add_signature(&web.app, &preview, armor, &person.name, &fido).await?;
    Ok(Json(json!({ "state": proposal.state })))
}

/// The signature that a person's passkey has made over these bytes, as a target takes it, and what the target asks of passkeys.
pub(super) async fn by_passkey(
    web: &Web,
    person: &Person,
    bytes: &[u8],
    given: &Assertion,
) -> Result<(String, grant::Fido), Problem> {
    let wanted = given.id.clone();
    let device = web.app.blocking(move |store| store.device(&wanted)).await?;
    let device = device
        .filter(|d| d.revoked_ms.is_none() && d.purpose == Purpose::Approve && d.person == person.name)
        .ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, "this is no passkey of yours"))?;
    let point = from_hex(&device.point);
    let client_data = decode(&given.client_data)?;
    let authenticator = decode(&given.authenticator_data)?;
    let signature = decode(&given.signature)?;
    let challenge = encode(&grant::webauthn::challenge(bytes));
    web.party
        .asserted(&challenge, &point, &client_data, &authenticator, &signature)
        .map_err(|cause| Problem::new(StatusCode::FORBIDDEN, cause))?;
    let key = web.party.key(&point).map_err(Problem::bad)?;
    let armor = grant::webauthn::armor(&key, &authenticator, &client_data, &signature)
        .map_err(|e| Problem::bad(e.to_string()))?;
    Ok((armor, web.party.fido().map_err(Problem::bad)?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejected {
    pub(super) reason: String,
}

pub(super) async fn reject(
    State(web): State<Arc<Web>>,
    doer: Doer,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let person = doer.at_least(Role::Approver)?;
    let Rejected { reason } = read(body).await?;
    if reason.trim().is_empty() || reason.len() > 2000 {
        return Err(Problem::bad("say why, in at most 2000 bytes"));
    }
    let proposal = web.app.blocking(move |store| store.reject(&id, &person.name, &reason)).await?;
    Ok(Json(json!({ "state": proposal.state })))
}

/// Hands an approved proposal to its target, once.
pub(super) async fn run(
    State(web): State<Arc<Web>>,
    doer: Doer,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    doer.at_least(Role::Operator)?;
    let wanted = id.clone();
    let proposal = web.app.blocking(move |store| store.proposal(&wanted)).await?;
    let host = web.app.host(&proposal.asked.host).map_err(|e| Problem::new(StatusCode::CONFLICT, e))?.clone();
    let subject = if proposal.asked.action.is_empty() { "command" } else { proposal.asked.action.as_str() };
    let done = recovery::execute(&web.app, &host, subject, &id, None).await?;
    Ok(Json(json!({ "state": done.proposal.state, "now": done.now })))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::{Proposal, Signature, asked, now_ms};

    /// A proposal that alice has signed, and whose statement ends so many ms from now.
    fn signed(state: Stands, ends_in_ms: i64) -> View {
        let statement = grant::Statement {
            v: grant::VERSION,
            proposal: "pr_0000000000000001".to_owned(),
            tenant: "default".to_owned(),
            host: "web01".to_owned(),
            machine_id: "0".repeat(64),
            kind: grant::Kind::Action,
            action: "restart_unbound".to_owned(),
            params: BTreeMap::new(),
            argv: Vec::new(),
            plan: "0".repeat(64),
            policy: "0".repeat(64),
            rationale: "slow".to_owned(),
            proposed_by: "assistant".to_owned(),
            not_before: 0,
            expires_at: (now_ms() + ends_in_ms) / 1000,
            nonce: "0".repeat(32),
            break_glass: None,
        };
        let bytes = statement.to_bytes();
        let proposal = Proposal {
            id: statement.proposal.clone(),
            asked: asked(now_ms() + 3_600_000, 2),
            created_ms: now_ms(),
            state,
            reason: None,
            statement: Some(bytes.clone()),
            statement_expires_ms: Some(now_ms() + ends_in_ms),
            signatures: vec![Signature {
                fingerprint: "SHA256:x".to_owned(),
                signer: "alice".to_owned(),
                armor: String::new(),
                signed_ms: now_ms(),
            }],
            result: None,
        };
        let preview = Preview { proposal, bytes, statement, risk: "medium".to_owned(), steps: Vec::new() };
        let alice = Person { name: "alice".to_owned(), role: Role::Approver, device: "d".to_owned() };
        view(&preview, &alice)
    }

    #[test]
    fn a_signature_counts_while_its_statement_does() {
        let waits = signed(Stands::Proposed, 60_000);
        assert!(waits.open && waits.fixed && waits.signed_by_me);
        assert!(!signed(Stands::Approved, 60_000).open);
        for state in [Stands::Proposed, Stands::Approved] {
            let late = signed(state, -1000);
            assert!(late.open && !late.fixed && !late.signed_by_me, "{state}: it may be signed anew");
            assert!(late.challenge.is_empty(), "nothing to sign before it is fixed again");
        }
        assert!(!signed(Stands::Failed, -1000).open);
    }
}
