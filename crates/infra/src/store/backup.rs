//! A copy of the database as it was before a migration, beside it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// Copies the database at `path`, which is of `version`, to `state-vVERSION-TIME.db` beside it, mode 0600. It is on disk when this returns.
///
/// A caller that holds the write lock gets what it sees itself: nothing of its own is committed yet.
///
/// Errors: no room, no right to write there; nothing is left behind then.
pub(super) fn make(path: &Path, version: i64) -> Result<PathBuf, StoreError> {
    let unusable = |place: &Path, e: &dyn std::fmt::Display| StoreError::Unusable {
        place: place.display().to_string(),
        cause: format!(
            "the database is of version {version}, and no backup could be made before it is changed: {e}; it is as it was: make room, \
             or the folder writable"
        ),
    };
    let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let time: String = reader.query_row("SELECT strftime('%Y%m%dT%H%M%fZ', 'now')", [], |row| row.get(0))?;
    let copy = path.with_file_name(format!("state-v{version}-{time}.db"));
    // Never over a file that is there; SQLite takes an empty one.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy);
    file.map_err(|e| unusable(&copy, &e))?;
    let written = written(&reader, &copy);
    written.map(|()| copy.clone()).map_err(|e| {
        let _ = fs::remove_file(&copy);
        unusable(&copy, &e)
    })
}

fn written(reader: &Connection, copy: &Path) -> anyhow::Result<()> {
    reader.execute("VACUUM INTO ?1", [copy.to_str()])?;
    File::open(copy)?.sync_all()?;
    if let Some(folder) = copy.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
