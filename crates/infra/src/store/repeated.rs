//! A proposal that is made again.

use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::json;

use super::{NewProposal, StoreError, now_ms};

/// The open proposal of the same thing by the same, if there is one. A definition, a policy or a threshold that has changed
/// since makes it another thing: the target would refuse the old one. One whose outcome never came, as its server ended, is
/// open until its time is over.
pub(super) fn same_and_open(tx: &Transaction<'_>, asked: &NewProposal) -> Result<Option<String>, StoreError> {
    let found = tx.query_row(
        "SELECT id FROM proposals WHERE (state IN ('proposed', 'approved') OR (state = 'running' AND expires_ms > ?12))
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
