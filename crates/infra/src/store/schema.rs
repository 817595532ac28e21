//! The tables and how they came to be; migrations only go forward.

use std::path::PathBuf;

use rusqlite::{Connection, Transaction};

use super::{Migrated, StoreError};

/// Each entry brings the database from version N to N + 1; none is ever edited after a release.
pub(super) const MIGRATIONS: &[&str] = &[
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
    "
    CREATE TABLE denials (
        proposal    TEXT PRIMARY KEY REFERENCES proposals (id),
        fingerprint TEXT NOT NULL,
        signer      TEXT NOT NULL,
        statement   BLOB NOT NULL,
        armor       TEXT NOT NULL,
        signed_ms   INTEGER NOT NULL,
        told_ms     INTEGER,
        answer      TEXT
    ) STRICT;
",
    "
    CREATE TABLE tasks (
        id           TEXT PRIMARY KEY,
        owner        TEXT NOT NULL,
        proposal     TEXT NOT NULL REFERENCES proposals (id),
        created_ms   INTEGER NOT NULL,
        until_ms     INTEGER NOT NULL,
        status       TEXT NOT NULL,
        updated_ms   INTEGER NOT NULL,
        ran          INTEGER NOT NULL,
        cancelled_ms INTEGER
    ) STRICT;
    CREATE INDEX tasks_by_proposal ON tasks (proposal, owner);
",
    "
    CREATE TABLE host_health (
        host         TEXT PRIMARY KEY,
        reached_ms   INTEGER,
        failed_ms    INTEGER,
        failure      TEXT,
        diagnosed_ms INTEGER,
        diagnosis    TEXT
    ) STRICT;
    CREATE TABLE evidence (
        proposal     TEXT PRIMARY KEY REFERENCES proposals (id),
        diagnosed_ms INTEGER NOT NULL,
        diagnosis    TEXT NOT NULL
    ) STRICT;
    ALTER TABLE blocked_commands ADD COLUMN decision TEXT;
    ALTER TABLE blocked_commands ADD COLUMN decided_by TEXT;
    ALTER TABLE blocked_commands ADD COLUMN decided_ms INTEGER;
",
    "
    CREATE TABLE outbox (
        seq        INTEGER PRIMARY KEY AUTOINCREMENT,
        channel    TEXT NOT NULL,
        event      TEXT NOT NULL,
        proposal   TEXT NOT NULL,
        about      TEXT NOT NULL,
        state      TEXT NOT NULL DEFAULT 'waiting',
        attempts   INTEGER NOT NULL DEFAULT 0,
        error      TEXT,
        created_ms INTEGER NOT NULL,
        next_ms    INTEGER NOT NULL,
        ended_ms   INTEGER
    ) STRICT;
    CREATE INDEX outbox_by_channel ON outbox (channel, state, next_ms);
",
];

/// The version that this program writes.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The version of a database that this program can use, or bring to its own.
///
/// Errors: a newer program wrote it.
pub(super) fn version(connection: &Connection) -> Result<i64, StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known() {
        return Err(StoreError::Newer { found, known: known() });
    }
    Ok(found)
}

/// Brings the database to this program's version. One that holds anything is copied first, by `backup`, which takes its version.
///
/// Errors: a newer program wrote it; no backup; a migration that fails. The caller then drops the transaction, and nothing has changed.
pub(super) fn migrate(
    tx: &Transaction<'_>,
    backup: impl FnOnce(i64) -> Result<PathBuf, StoreError>,
) -> Result<Option<Migrated>, StoreError> {
    let (from, to) = (version(tx)?, known());
    if from == to {
        return Ok(None);
    }
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let migrated = match tables {
        0 => None,
        _ => Some(Migrated { from, to, backup: backup(from)? }),
    };
    for (done, sql) in MIGRATIONS.iter().enumerate() {
        if i64::try_from(done).unwrap_or(i64::MAX) >= from {
            tx.execute_batch(sql)?;
        }
    }
    tx.pragma_update(None, "user_version", to)?;
    Ok(migrated)
}
