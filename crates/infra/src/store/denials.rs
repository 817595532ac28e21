//! Denials that a person has signed, and whether their target knows.

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::append;
use super::outbox::Event;
use super::proposals::{expect, expire, load, moved, sha256_hex};
use super::{Audit, Proposal, State, Store, StoreError, now_ms};

/// The denial of a proposal: the bytes and the signature over them, for its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedDenial {
    /// `SHA256:…` of the key.
    pub fingerprint: String,
    /// The name that the server knows for the key; the target has its own file.
    pub signer: String,
    /// The exact bytes that were signed: a statement of kind `deny`.
    #[serde(skip)]
    pub statement: Vec<u8>,
    /// The armored SSHSIG.
    #[serde(skip)]
    pub armor: String,
    /// When, ms since 1970.
    pub signed_ms: i64,
    /// When the target said that the proposal is denied there, ms since 1970; none as long as it has not.
    pub told_ms: Option<i64>,
    /// What came of the last time it was handed over; none before.
    pub answer: Option<String>,
}

impl Store {
    /// A person says no by signature; that ends the proposal here, and the denial waits to be handed to the target. One that was
    /// rejected without a signature, or has expired here, may be denied later, and a new denial takes the place of an older one.
    pub fn deny(&self, id: &str, reason: &str, denial: &SignedDenial) -> Result<Proposal, StoreError> {
        self.change(|tx| {
            expire(tx)?;
            let open = [State::Proposed, State::Approved, State::Rejected, State::Expired];
            let before = expect(tx, id, &open, "waiting, rejected or expired")?;
            tx.execute(
                "UPDATE proposals SET state = 'rejected', reason = ?2 WHERE id = ?1",
                params![id, reason],
            )?;
            tx.execute(
                "INSERT OR REPLACE INTO denials (proposal, fingerprint, signer, statement, armor, signed_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id, denial.fingerprint, denial.signer, denial.statement, denial.armor, denial.signed_ms],
            )?;
            let data = json!({ "proposal": id, "by": denial.signer, "reason": reason, "key": denial.fingerprint,
                "sha256": sha256_hex(&denial.statement), "statement": String::from_utf8_lossy(&denial.statement),
                "signature": denial.armor });
            append(tx, &Audit { event: "rejected", data })?;
            // Who heard that it was rejected is not told again.
            if before.state == State::Rejected { load(tx, id) } else { moved(tx, id, Event::Rejected) }
        })
    }

    /// The signed denial of a proposal, if there is one.
    pub fn denial(&self, id: &str) -> Result<Option<SignedDenial>, StoreError> {
        self.change(|tx| {
            Ok(tx
                .query_row(
                    "SELECT fingerprint, signer, statement, armor, signed_ms, told_ms, answer FROM denials WHERE proposal = ?1",
                    [id],
                    |row| {
                        Ok(SignedDenial {
                            fingerprint: row.get(0)?,
                            signer: row.get(1)?,
                            statement: row.get(2)?,
                            armor: row.get(3)?,
                            signed_ms: row.get(4)?,
                            told_ms: row.get(5)?,
                            answer: row.get(6)?,
                        })
                    },
                )
                .optional()?)
        })
    }

    /// Records what came of handing a denial over, with the head of the target's chain behind it when the answer had one. A target
    /// that was told stays told.
    pub fn denial_handed_over(
        &self,
        id: &str,
        told: bool,
        answer: &str,
        head: Option<&Value>,
    ) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.execute(
                "UPDATE denials SET told_ms = coalesce(told_ms, ?2), answer = ?3 WHERE proposal = ?1",
                params![id, told.then(now_ms), answer],
            )?;
            let data = json!({ "proposal": id, "told": told, "answer": answer, "audit": head });
            append(tx, &Audit { event: "denial", data })?;
            Ok(())
        })
    }
}
