//! What was last heard of each host, and what was known of one when something was proposed for it.
//!
//! It is for a person's eyes: nothing is decided by it. One row for each host; what hosts said is bounded by whoever gives it.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde_json::Value;

use super::{Store, StoreError};

/// The most bytes of a failure.
const MOST_FAILURE: usize = 400;
/// The most bytes of a diagnosis; a longer one is not kept.
const MOST_DIAGNOSIS: usize = 32 << 10;
/// How old a diagnosis may be to stand beside a proposal, in ms.
const EVIDENCE_AGE: i64 = 3_600_000;

/// What was last heard of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostHealth {
    /// Its name in the inventory.
    pub host: String,
    /// When it last answered, ms since 1970.
    pub reached_ms: Option<i64>,
    /// When it last did not, ms since 1970.
    pub failed_ms: Option<i64>,
    /// Why it did not.
    pub failure: Option<String>,
    /// What it said when it was last diagnosed.
    pub diagnosis: Option<Diagnosed>,
}

impl HostHealth {
    /// Whether its last answer was one; `None` when it was never asked.
    pub fn answers(&self) -> Option<bool> {
        match (self.reached_ms, self.failed_ms) {
            (None, None) => None,
            (reached, failed) => Some(reached > failed),
        }
    }
}

/// A diagnosis as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosed {
    /// When, ms since 1970.
    pub at_ms: i64,
    /// What was found; the machine's words.
    pub data: Value,
}

impl Store {
    /// A host has answered.
    pub fn record_reached(&self, host: &str, now_ms: i64) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.execute(
                "INSERT INTO host_health (host, reached_ms) VALUES (?1, ?2) ON CONFLICT (host) DO UPDATE SET reached_ms = ?2",
                params![host, now_ms],
            )?;
            Ok(())
        })
    }

    /// A host has not answered, and why.
    pub fn record_failed(&self, host: &str, failure: &str, now_ms: i64) -> Result<(), StoreError> {
        let failure = &failure[..failure.floor_char_boundary(MOST_FAILURE)];
        self.change(|tx| {
            tx.execute(
                "INSERT INTO host_health (host, failed_ms, failure) VALUES (?1, ?2, ?3)
                    ON CONFLICT (host) DO UPDATE SET failed_ms = ?2, failure = ?3",
                params![host, now_ms, failure],
            )?;
            Ok(())
        })
    }

    /// What a host said when it was diagnosed; the one before is forgotten. One that is too long is not kept: `false`.
    pub fn record_diagnosis(&self, host: &str, data: &Value, now_ms: i64) -> Result<bool, StoreError> {
        let text = data.to_string();
        if text.len() > MOST_DIAGNOSIS {
            return Ok(false);
        }
        self.change(|tx| {
            tx.execute(
                "INSERT INTO host_health (host, reached_ms, diagnosed_ms, diagnosis) VALUES (?1, ?2, ?2, ?3)
                    ON CONFLICT (host) DO UPDATE SET reached_ms = ?2, diagnosed_ms = ?2, diagnosis = ?3",
                params![host, now_ms, text],
            )?;
            Ok(true)
        })
    }

    /// What was last heard of the hosts, by name.
    pub fn host_health(&self) -> Result<Vec<HostHealth>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT * FROM host_health ORDER BY host")?;
        Ok(statement.query_map([], from_row)?.collect::<Result<_, _>>()?)
    }

    /// What the host of a proposal had said shortly before it was made.
    pub fn evidence(&self, proposal: &str) -> Result<Option<Diagnosed>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT diagnosed_ms, diagnosis FROM evidence WHERE proposal = ?1")?;
        Ok(statement
            .query_row([proposal], |row| Ok(diagnosed(row.get(0)?, &row.get::<_, String>(1)?)))
            .optional()?)
    }
}

/// Keeps beside a new proposal what its host has said not long ago.
pub(super) fn keep_evidence(
    tx: &Transaction<'_>,
    proposal: &str,
    host: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO evidence (proposal, diagnosed_ms, diagnosis)
            SELECT ?1, diagnosed_ms, diagnosis FROM host_health
            WHERE host = ?2 AND diagnosis IS NOT NULL AND diagnosed_ms BETWEEN ?3 AND ?4",
        params![proposal, host, now_ms.saturating_sub(EVIDENCE_AGE), now_ms],
    )?;
    Ok(())
}

/// What somebody spoiled by hand says nothing.
fn diagnosed(at_ms: i64, text: &str) -> Diagnosed {
    Diagnosed { at_ms, data: serde_json::from_str(text).unwrap_or(Value::Null) }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<HostHealth> {
    let (at, text): (Option<i64>, Option<String>) = (row.get("diagnosed_ms")?, row.get("diagnosis")?);
    Ok(HostHealth {
        host: row.get("host")?,
        reached_ms: row.get("reached_ms")?,
        failed_ms: row.get("failed_ms")?,
        failure: row.get("failure")?,
        diagnosis: at.zip(text).map(|(at, text)| diagnosed(at, &text)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{asked, store};
    use super::*;
    use crate::store::now_ms;

    #[test]
    fn a_host_has_one_row_and_its_last_answer_counts() {
        let (_dir, store) = store();
        store.record_reached("web01", 10).unwrap();
        store.record_failed("web01", &"é".repeat(999), 20).unwrap();
        store.record_failed("web02", "no route", 5).unwrap();
        let rows = store.host_health().unwrap();
        let [first, second] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((first.answers(), second.answers(), second.reached_ms), (Some(false), Some(false), None));
        assert_eq!(first.failure.as_ref().unwrap().len(), MOST_FAILURE);
        assert!(store.record_diagnosis("web01", &json!({ "findings": [] }), 30).unwrap());
        assert!(!store.record_diagnosis("web01", &json!("x".repeat(MOST_DIAGNOSIS)), 40).unwrap());
        let rows = store.host_health().unwrap();
        assert_eq!((rows[0].answers(), rows[0].reached_ms), (Some(true), Some(30)));
        assert_eq!(rows[0].diagnosis.as_ref().unwrap().at_ms, 30);
    }

    #[test]
    fn a_proposal_keeps_what_its_host_said_within_the_hour_before() {
        let (_dir, store) = store();
        let now = now_ms();
        store.propose("pr_none", &asked(1 << 50, 1)).unwrap();
        store.record_diagnosis("web01", &json!("old"), now - EVIDENCE_AGE - 1000).unwrap();
        store.propose("pr_old", &asked(1 << 50, 1)).unwrap();
        store.record_diagnosis("other", &json!("of another"), now).unwrap();
        store.record_diagnosis("web01", &json!("before"), now).unwrap();
        store.propose("pr_with", &asked(1 << 50, 1)).unwrap();
        store.record_diagnosis("web01", &json!("after"), now + 1).unwrap();
        let kept = |id: &str| store.evidence(id).unwrap().map(|d| d.data);
        assert_eq!((kept("pr_none"), kept("pr_old"), kept("pr_with")), (None, None, Some(json!("before"))));
    }
}
