//! A proposal that is made again.

use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::json;

use super::{NewProposal, Proposal, Store, StoreError, now_ms};

impl Store {
    /// Stores a proposal and its audit record. While the same thing, asked for by the same, is open, that proposal is given
    /// back instead, with its own id and rationale, and nothing is written.
    pub fn propose_once(&self, id: &str, asked: &NewProposal) -> Result<Proposal, StoreError> {
        self.propose_unless(id, asked, |tx| same_and_open(tx, asked))
    }
}

/// The open proposal of the same thing by the same, if there is one. A definition, a policy or a threshold that has changed
/// since makes it another thing: the target would refuse the old one. One whose outcome never came, as its server ended, is
/// open until its time is over.
fn same_and_open(tx: &Transaction<'_>, asked: &NewProposal) -> Result<Option<String>, StoreError> {
    let found = tx.query_row(
        "SELECT id FROM proposals WHERE (state IN ('proposed', 'running') AND expires_ms > ?12
                OR state = 'approved' AND (expires_ms > ?12 OR statement_expires_ms > ?12))
            AND tenant = ?1 AND host = ?2 AND kind = ?3 AND action = ?4 AND params = ?5 AND argv = ?6 AND proposed_by = ?7
            AND machine_id = ?8 AND plan = ?9 AND policy = ?10 AND approvals = ?11
         ORDER BY created_ms LIMIT 1",
        params![
            asked.tenant,
            asked.host,
            asked.kind.as_str(),
            asked.action,
            json!(asked.params).to_string(),
            json!(asked.argv).to_string(),
            asked.proposed_by,
            asked.machine_id,
            asked.plan,
            asked.policy,
            asked.approvals,
            now_ms(),
        ],
        |row| row.get(0),
    );
    Ok(found.optional()?)
}
