//! The program meets a database of another version.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "support/serve.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod serve;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// Runs a subcommand that opens the database; gives its exit status and what it says on stderr.
fn audit(dir: &Path) -> (Option<i32>, String) {
    let output = serve::command(dir, &["audit", "verify"]).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A folder with a database that this program has made.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = serve::folder("");
    assert_eq!(audit(dir.path()), (Some(0), String::new()));
    let database = dir.path().join("state/mcp-linux-infra/state.db");
    assert!(database.is_file());
    (dir, database)
}

fn backups(database: &Path) -> usize {
    let entries = std::fs::read_dir(database.parent().unwrap()).unwrap();
    entries.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("state-v")).count()
}

#[test]
fn an_older_database_is_kept_and_migrated_and_that_is_said_once() {
    let (dir, database) = folder();
    // What the later versions brought is taken away again.
    let older = Connection::open(&database).unwrap();
    let now: i64 = older.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    older
        .execute_batch(
            "DROP TABLE evidence; DROP TABLE host_health; DROP TABLE outbox; DROP TABLE denials; DROP TABLE tasks; DROP TABLE blocked_commands; DROP TABLE invitations; DROP TABLE devices; PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(older);
    let (status, said) = audit(dir.path());
    assert!(
        status == Some(0)
            && said.contains(&format!("was of version 1 and is of version {now}"))
            && said.contains("state-v1-"),
        "{said}"
    );
    assert_eq!(backups(&database), 1);
    assert_eq!(audit(dir.path()), (Some(0), String::new()));
    assert_eq!(backups(&database), 1);
}

#[test]
fn a_newer_database_is_refused_with_both_versions() {
    let (dir, database) = folder();
    Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&database).unwrap();
    let (status, said) = audit(dir.path());
    assert!(
        status == Some(1) && said.contains("of version 99") && said.contains("versions up to "),
        "{said}"
    );
    assert_eq!((std::fs::read(&database).unwrap(), backups(&database)), (before, 0));
}
