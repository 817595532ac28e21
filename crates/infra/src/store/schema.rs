//! The tables and how they came to be; migrations only go forward.

use rusqlite::Transaction;

use super::StoreError;

/// Each entry brings the database from version N to N + 1; none is ever edited after a release.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE audit (
        seq  INTEGER PRIMARY KEY,
        line TEXT NOT NULL
    ) STRICT;
    CREATE TABLE proposals (
        id           TEXT PRIMARY KEY,
        tenant       TEXT NOT NULL,
        host         TEXT NOT NULL,
        kind         TEXT NOT NULL,
        action       TEXT NOT NULL,
        params       TEXT NOT NULL,
        argv         TEXT NOT NULL,
        risk         TEXT NOT NULL,
        rationale    TEXT NOT NULL,
        proposed_by  TEXT NOT NULL,
        machine_id   TEXT NOT NULL,
        plan         TEXT NOT NULL,
        policy       TEXT NOT NULL,
        approvals    INTEGER NOT NULL,
        created_ms   INTEGER NOT NULL,
        expires_ms   INTEGER NOT NULL,
        state        TEXT NOT NULL,
        reason       TEXT,
        statement    BLOB,
        statement_expires_ms INTEGER,
        result       TEXT
    ) STRICT;
    CREATE INDEX proposals_by_state ON proposals (state, created_ms);
    CREATE TABLE signatures (
        proposal    TEXT NOT NULL REFERENCES proposals (id),
        fingerprint TEXT NOT NULL,
        signer      TEXT NOT NULL,
        armor       TEXT NOT NULL,
        signed_ms   INTEGER NOT NULL,
        PRIMARY KEY (proposal, fingerprint)
    ) STRICT;
",
    "
    CREATE TABLE blocked_commands (
        shape      TEXT PRIMARY KEY,
        command    TEXT NOT NULL,
        example    TEXT NOT NULL,
        count      INTEGER NOT NULL,
        first_seen INTEGER NOT NULL,
        last_seen  INTEGER NOT NULL,
        hosts      TEXT NOT NULL,
        callers    TEXT NOT NULL
    ) STRICT;
    CREATE INDEX blocked_commands_by_count ON blocked_commands (count, last_seen);
",
    "
    CREATE TABLE invitations (
        token_sha256 TEXT PRIMARY KEY,
        person       TEXT NOT NULL,
        role         TEXT NOT NULL,
        expires_ms   INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE devices (
        id         TEXT PRIMARY KEY,
        person     TEXT NOT NULL,
        role       TEXT NOT NULL,
        purpose    TEXT NOT NULL,
        point      TEXT NOT NULL,
        counter    INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        used_ms    INTEGER,
        revoked_ms INTEGER
    ) STRICT;
",
];

pub(super) fn migrate(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(StoreError::Unusable {
            place: "state.db".to_owned(),
            cause: format!(
                "it is of version {version}, this program knows {known}: a newer program wrote it; use that one"
            ),
        });
    }
    for (done, sql) in MIGRATIONS.iter().enumerate() {
        if i64::try_from(done).unwrap_or(i64::MAX) >= version {
            tx.execute_batch(sql)?;
        }
    }
    if version < known {
        tx.pragma_update(None, "user_version", known)?;
    }
    Ok(())
}
