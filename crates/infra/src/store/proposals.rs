//! Proposals and the signatures on them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::append;
use super::health::keep_evidence;
use super::outbox::{Event, announce};
use super::{Audit, Receipt, Store, StoreError, now_ms};

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for signatures.
    Proposed,
    /// Has as many signatures as the target asks for.
    Approved,
    /// A person said no.
    Rejected,
    /// Nobody signed, or nobody ran it, in time.
    Expired,
    /// Was handed to the target; its outcome is not known yet.
    Running,
    /// The target ran it.
    Succeeded,
    /// The target refused it or it failed there.
    Failed,
    /// The target ran it and its verification passed.
    Verified,
}

const STATES: [(State, &str); 8] = [
    (State::Proposed, "proposed"),
    (State::Approved, "approved"),
    (State::Rejected, "rejected"),
    (State::Expired, "expired"),
    (State::Running, "running"),
    (State::Succeeded, "succeeded"),
    (State::Failed, "failed"),
    (State::Verified, "verified"),
];

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STATES.iter().find(|(s, _)| s == self).map_or("unknown", |(_, w)| w))
    }
}

impl FromStr for State {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        STATES.iter().find(|(_, w)| *w == text).map(|(s, _)| *s).ok_or_else(|| format!("no state {text:?}"))
    }
}

/// What a proposal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalKind {
    /// A named action of the catalogue.
    Action,
    /// One exact command that the policy calls manual.
    Command,
}

impl ProposalKind {
    /// The word that stands in the statement.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Command => "command",
        }
    }
}

/// What somebody wants done, before it has an id.
#[derive(Debug, Clone, Serialize)]
pub struct NewProposal {
    /// Tenant of the host.
    pub tenant: String,
    /// Name of the host in the inventory.
    pub host: String,
    /// Action or command.
    pub kind: ProposalKind,
    /// Name of the action; empty for a command.
    pub action: String,
    /// Typed parameters of the action.
    pub params: BTreeMap<String, String>,
    /// The exact command; empty for an action.
    pub argv: Vec<String>,
    /// `low` to `critical`.
    pub risk: String,
    /// Why, in the words of whoever proposes.
    pub rationale: String,
    /// Who asks.
    pub proposed_by: String,
    /// Identity of the target machine, 64 hex digits.
    pub machine_id: String,
    /// Digest of the action's definition.
    pub plan: String,
    /// Digest of the target's policy.
    pub policy: String,
    /// How many distinct persons the target wants.
    pub approvals: u32,
    /// Last moment at which it can be approved, ms since 1970.
    pub expires_ms: i64,
}

/// A stored proposal.
#[derive(Debug, Clone, Serialize)]
pub struct Proposal {
    /// `pr_` and 16 hex digits.
    pub id: String,
    /// What was asked for.
    #[serde(flatten)]
    pub asked: NewProposal,
    /// When, ms since 1970.
    pub created_ms: i64,
    /// Where it stands.
    pub state: State,
    /// Why it was rejected or failed.
    pub reason: Option<String>,
    /// The exact bytes that approvers sign, once the first of them does.
    #[serde(skip)]
    pub statement: Option<Vec<u8>>,
    /// When those bytes expire, ms since 1970.
    pub statement_expires_ms: Option<i64>,
    /// Signatures so far.
    pub signatures: Vec<Signature>,
    /// What the target answered.
    pub result: Option<Value>,
}

/// One signature of an approver.
#[derive(Debug, Clone, Serialize)]
pub struct Signature {
    /// `SHA256:…` of the key.
    pub fingerprint: String,
    /// The name that the server knows for the key; the target has its own file.
    pub signer: String,
    /// The armored SSHSIG.
    #[serde(skip)]
    pub armor: String,
    /// When, ms since 1970.
    pub signed_ms: i64,
}

impl Store {
    /// Stores a proposal and its audit record.
    pub fn propose(&self, id: &str, asked: &NewProposal) -> Result<Proposal, StoreError> {
        self.propose_unless(id, asked, |_| Ok(None))
    }

    /// As [`Self::propose`], unless another stands for it, which is then given back, and nothing is written.
    pub(super) fn propose_unless(
        &self,
        id: &str,
        asked: &NewProposal,
        other: impl FnOnce(&Transaction<'_>) -> Result<Option<String>, StoreError>,
    ) -> Result<Proposal, StoreError> {
        self.change(|tx| {
            if let Some(other) = other(tx)? {
                return load(tx, &other);
            }
            tx.execute(
                "INSERT INTO proposals (id, tenant, host, kind, action, params, argv, risk, rationale, proposed_by, machine_id,
                    plan, policy, approvals, created_ms, expires_ms, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 'proposed')",
                params![
                    id,
                    asked.tenant,
                    asked.host,
                    asked.kind.as_str(),
                    asked.action,
                    json!(asked.params).to_string(),
                    json!(asked.argv).to_string(),
                    asked.risk,
                    asked.rationale,
                    asked.proposed_by,
                    asked.machine_id,
                    asked.plan,
                    asked.policy,
                    asked.approvals,
                    now_ms(),
                    asked.expires_ms,
                ],
            )?;
            keep_evidence(tx, id, &asked.host, now_ms())?;
            append(tx, &Audit { event: "proposed", data: json!({ "proposal": id, "asked": asked }) })?;
            moved(tx, id, Event::Proposed)
        })
    }

    /// A proposal by its id. A look changes nothing: one whose time is over is shown as expired, and [`Self::expire`] records it.
    pub fn proposal(&self, id: &str) -> Result<Proposal, StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction()?;
        Ok(ended_by(load(&tx, id)?, now_ms()))
    }

    /// Proposals, newest first; `open` keeps those that wait or run. A look, as [`Self::proposal`].
    pub fn proposals(&self, open: bool, limit: usize) -> Result<Vec<Proposal>, StoreError> {
        let now = now_ms();
        let filter = if open {
            "WHERE state IN ('proposed', 'approved', 'running') AND NOT (state IN ('proposed', 'approved') AND expires_ms <= ?2
                AND (state = 'proposed' OR coalesce(statement_expires_ms <= ?2, 0)))"
        } else {
            "WHERE ?2 = ?2"
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut connection = self.lock();
        // One moment of the database for all of them.
        let tx = connection.transaction()?;
        let mut statement = tx.prepare_cached(&format!(
            "SELECT * FROM proposals {filter} ORDER BY created_ms DESC, id LIMIT ?1"
        ))?;
        let rows = statement.query_map([limit, now], |row| from_row(row, Vec::new()))?;
        let mut found = rows.collect::<Result<Vec<_>, _>>()?;
        for proposal in &mut found {
            proposal.signatures = signatures(&tx, &proposal.id)?;
        }
        Ok(found.into_iter().map(|p| ended_by(p, now)).collect())
    }

    /// Ends the proposals whose time is over and records each end; how many. Takes the write lock only when there is one.
    pub fn expire(&self) -> Result<usize, StoreError> {
        if late(&self.lock(), now_ms())?.is_empty() {
            return Ok(0);
        }
        self.change(expire)
    }

    /// Fixes the bytes that approvers sign. Bytes that are still valid stay; a new statement drops the
    /// signatures on the old one.
    pub fn fix_statement(&self, id: &str, statement: &[u8], expires_ms: i64) -> Result<Proposal, StoreError> {
        self.change(|tx| {
            expire(tx)?;
            let proposal = expect(tx, id, &[State::Proposed, State::Approved], "waiting for approval")?;
            if proposal.statement_expires_ms.is_some_and(|end| end > now_ms()) {
                return Ok(proposal);
            }
            tx.execute("DELETE FROM signatures WHERE proposal = ?1", [id])?;
            tx.execute(
                "UPDATE proposals SET statement = ?2, statement_expires_ms = ?3, state = 'proposed' WHERE id = ?1",
                params![id, statement, expires_ms],
            )?;
            append(tx, &Audit { event: "statement", data: json!({ "proposal": id, "sha256": sha256_hex(statement) }) })?;
            load(tx, id)
        })
    }

    /// Adds a signature over `statement`; the proposal is approved when there are as many as the target asks for.
    pub fn sign(&self, id: &str, statement: &[u8], signature: &Signature) -> Result<Proposal, StoreError> {
        self.change(|tx| {
            expire(tx)?;
            let proposal = expect(tx, id, &[State::Proposed, State::Approved], "waiting for approval")?;
            if proposal.statement.as_deref() != Some(statement) {
                return Err(StoreError::WrongState { id: id.to_owned(), state: proposal.state, wanted: "carrying these bytes" });
            }
            // The same one sent twice, at once or later, is one and is recorded once.
            if proposal.signatures.iter().any(|s| s.armor == signature.armor && s.fingerprint == signature.fingerprint) {
                return Ok(proposal);
            }
            tx.execute(
                "INSERT OR REPLACE INTO signatures (proposal, fingerprint, signer, armor, signed_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, signature.fingerprint, signature.signer, signature.armor, signature.signed_ms],
            )?;
            let signed: u32 = tx.query_row("SELECT count(*) FROM signatures WHERE proposal = ?1", [id], |r| r.get(0))?;
            if signed >= proposal.asked.approvals {
                tx.execute("UPDATE proposals SET state = 'approved' WHERE id = ?1", [id])?;
            }
            append(
                tx,
                &Audit {
                    event: "approved",
                    data: json!({ "proposal": id, "key": signature.fingerprint, "signer": signature.signer,
                        "signatures": signed, "wanted": proposal.asked.approvals }),
                },
            )?;
            // Further signatures on what is approved already are no news.
            match proposal.state {
                State::Proposed if signed >= proposal.asked.approvals => moved(tx, id, Event::Approved),
                _ => load(tx, id),
            }
        })
    }

    /// A person says no; that ends the proposal.
    pub fn reject(&self, id: &str, by: &str, reason: &str) -> Result<Proposal, StoreError> {
        self.change(|tx| {
            expire(tx)?;
            expect(tx, id, &[State::Proposed, State::Approved], "waiting")?;
            tx.execute(
                "UPDATE proposals SET state = 'rejected', reason = ?2 WHERE id = ?1",
                params![id, reason],
            )?;
            append(
                tx,
                &Audit { event: "rejected", data: json!({ "proposal": id, "by": by, "reason": reason }) },
            )?;
            moved(tx, id, Event::Rejected)
        })
    }

    /// Takes an approved proposal for execution, exactly once: a second caller finds it running.
    pub fn start(&self, id: &str) -> Result<(Proposal, Receipt), StoreError> {
        self.start_after(id, |_| Ok(()))
    }

    /// As [`Self::start`], with something that must be done before, in the same transaction.
    pub(super) fn start_after(
        &self,
        id: &str,
        before: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(Proposal, Receipt), StoreError> {
        self.change(|tx| {
            before(tx)?;
            expire(tx)?;
            let proposal = expect(tx, id, &[State::Approved], "approved")?;
            tx.execute("UPDATE proposals SET state = 'running' WHERE id = ?1", [id])?;
            let receipt = append(
                tx,
                &Audit { event: "executing", data: json!({ "proposal": id, "host": proposal.asked.host }) },
            )?;
            Ok((load(tx, id)?, receipt))
        })
    }

    /// Records how a running proposal ended.
    pub fn finish(
        &self,
        id: &str,
        state: State,
        reason: Option<&str>,
        result: &Value,
    ) -> Result<Proposal, StoreError> {
        self.change(|tx| {
            expect(tx, id, &[State::Running], "running")?;
            tx.execute(
                "UPDATE proposals SET state = ?2, reason = ?3, result = ?4 WHERE id = ?1",
                params![id, state.to_string(), reason, result.to_string()],
            )?;
            append(
                tx,
                &Audit {
                    event: "executed",
                    data: json!({ "proposal": id, "state": state, "reason": reason, "result": for_record(result) }),
                },
            )?;
            let failed = state == State::Failed;
            moved(tx, id, if failed { Event::Failed } else { Event::Succeeded })
        })
    }
}

/// Bytes of output that one record keeps of all steps, as on the target: a record that is too large would lose its state and the
/// head of the target's chain. The proposal keeps it all.
const RECORDED: usize = 24 << 10;

fn for_record(result: &Value) -> Value {
    let mut kept = result.clone();
    let Some(steps) = kept["steps"].as_array_mut() else { return kept };
    let each = RECORDED / (2 * steps.len().max(1));
    for step in steps {
        for stream in ["stdout", "stderr"] {
            if let Some(text) = step[stream].as_str().filter(|text| text.len() > each) {
                let cut = format!("{}[{} bytes in all]", &text[..text.floor_char_boundary(each)], text.len());
                step[stream] = cut.into();
            }
        }
    }
    kept
}

/// The proposal after a change that people may want to hear of.
pub(super) fn moved(tx: &Transaction<'_>, id: &str, event: Event) -> Result<Proposal, StoreError> {
    let proposal = load(tx, id)?;
    announce(tx, event, &proposal)?;
    Ok(proposal)
}

pub(super) fn expect(
    tx: &Transaction<'_>,
    id: &str,
    states: &[State],
    wanted: &'static str,
) -> Result<Proposal, StoreError> {
    let proposal = load(tx, id)?;
    if states.contains(&proposal.state) {
        Ok(proposal)
    } else {
        Err(StoreError::WrongState { id: id.to_owned(), state: proposal.state, wanted })
    }
}

/// Proposals whose time is over at `?1` (ms since 1970).
const OVER: &str = "SELECT id FROM proposals WHERE (state = 'proposed' AND expires_ms <= ?1)
            OR (state = 'approved' AND statement_expires_ms <= ?1 AND expires_ms <= ?1)";

/// Ends proposals whose time is over; each end is a record.
pub(super) fn expire(tx: &Transaction<'_>) -> Result<usize, StoreError> {
    let ids = late(tx, now_ms())?;
    for id in &ids {
        tx.execute("UPDATE proposals SET state = 'expired' WHERE id = ?1", [id])?;
        append(tx, &Audit { event: "expired", data: json!({ "proposal": id }) })?;
        moved(tx, id, Event::Expired)?;
    }
    Ok(ids.len())
}

/// The proposals that have ended by `now` and are not marked so yet.
fn late(connection: &Connection, now: i64) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(OVER)?;
    Ok(statement.query_map([now], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// The proposal as it stands at `now`; the same rule as [`late`].
fn ended_by(mut proposal: Proposal, now: i64) -> Proposal {
    let over = proposal.asked.expires_ms <= now;
    let ended = match proposal.state {
        State::Proposed => over,
        State::Approved => over && proposal.statement_expires_ms.is_some_and(|end| end <= now),
        _ => false,
    };
    if ended {
        proposal.state = State::Expired;
    }
    proposal
}

pub(super) fn load(tx: &Connection, id: &str) -> Result<Proposal, StoreError> {
    let signatures = signatures(tx, id)?;
    tx.prepare_cached("SELECT * FROM proposals WHERE id = ?1")?
        .query_row([id], |row| from_row(row, signatures))
        .optional()?
        .ok_or_else(|| StoreError::NoProposal(id.to_owned()))
}

fn signatures(tx: &Connection, id: &str) -> Result<Vec<Signature>, StoreError> {
    let mut signatures = tx.prepare_cached(
        "SELECT fingerprint, signer, armor, signed_ms FROM signatures WHERE proposal = ?1 ORDER BY signed_ms, fingerprint",
    )?;
    let signatures = signatures.query_map([id], |row| {
        Ok(Signature {
            fingerprint: row.get(0)?,
            signer: row.get(1)?,
            armor: row.get(2)?,
            signed_ms: row.get(3)?,
        })
    })?;
    Ok(signatures.collect::<Result<_, _>>()?)
}

fn from_row(row: &Row<'_>, signatures: Vec<Signature>) -> rusqlite::Result<Proposal> {
    Ok(Proposal {
        id: row.get("id")?,
        asked: NewProposal {
            tenant: row.get("tenant")?,
            host: row.get("host")?,
            kind: if row.get::<_, String>("kind")? == "command" {
                ProposalKind::Command
            } else {
                ProposalKind::Action
            },
            action: row.get("action")?,
            params: from_json(row, "params")?,
            argv: from_json(row, "argv")?,
            risk: row.get("risk")?,
            rationale: row.get("rationale")?,
            proposed_by: row.get("proposed_by")?,
            machine_id: row.get("machine_id")?,
            plan: row.get("plan")?,
            policy: row.get("policy")?,
            approvals: row.get("approvals")?,
            expires_ms: row.get("expires_ms")?,
        },
        created_ms: row.get("created_ms")?,
        state: row.get::<_, String>("state")?.parse().map_err(|e: String| corrupt(&e))?,
        reason: row.get("reason")?,
        statement: row.get("statement")?,
        statement_expires_ms: row.get("statement_expires_ms")?,
        signatures,
        result: row
            .get::<_, Option<String>>("result")?
            .map(|t| serde_json::from_str(&t))
            .transpose()
            .map_err(|e| corrupt(&e))?,
    })
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    serde_json::from_str(&row.get::<_, String>(column)?).map_err(|e| corrupt(&e))
}

pub(super) fn corrupt(e: &dyn fmt::Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, e.to_string().into())
}

/// Hex SHA-256, as it stands in audit records.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().fold(String::new(), |mut hex, b| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{b:02x}");
        hex
    })
}
