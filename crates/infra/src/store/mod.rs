//! State on disk: proposals with their grants, and the audit chain, in one SQLite database.
//!
//! Nothing above this module writes SQL. Several processes may use the database at once (the server and the
//! CLI do): each change is one transaction that takes the write lock first.

mod audit;
mod backup;
mod denials;
mod health;
mod learning;
mod outbox;
mod people;
mod proposals;
mod repeated;
mod schema;
mod tasks;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, TransactionBehavior};

pub use audit::{Audit, AuditReport, Receipt, verify_files};
pub use denials::SignedDenial;
pub use health::{Diagnosed, HostHealth};
pub use learning::{BlockedCommand, CommandCount, Decided, Decision, LearningStats};
pub use outbox::{About, Event, Notice, Outgoing, Subscription};
pub use people::{Device, NewPasskey, Purpose, Role, is_person};
pub(crate) use proposals::sha256_hex;
pub use proposals::{NewProposal, Proposal, ProposalKind, Signature, State};
pub use tasks::{NewTask, Task};

/// For another program to have opened the database: it may copy and migrate it.
const OPENING: Duration = Duration::from_mins(1);

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state folder or the database cannot be used.
    #[error("{place}: {cause}")]
    Unusable {
        /// The file or folder.
        place: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A newer program wrote the database; it was not touched.
    #[error(
        "a newer mcp-linux-infra wrote state.db: it is of version {found}, and this program ({program}) knows versions up to {known}; \
         install the newer one, or put back the backup from before the upgrade (docs/UPGRADE.md)",
        program = env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The version of the database.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The database refused a statement.
    #[error("the database failed: {0}")]
    Database(#[from] rusqlite::Error),
    /// There is no such proposal.
    #[error("there is no proposal {0}: `mcp-linux-infra proposals list` shows those that exist")]
    NoProposal(String),
    /// There is no such task of this caller's, or no longer.
    #[error("there is no task {0}")]
    NoTask(String),
    /// The task was cancelled: nothing starts for it.
    #[error("task {0} was cancelled: nothing was run for it")]
    TaskCancelled(String),
    /// The proposal is not in a state that allows this.
    #[error("proposal {id} is {state}, not {wanted}")]
    WrongState {
        /// The proposal.
        id: String,
        /// Its state.
        state: State,
        /// What it should be.
        wanted: &'static str,
    },
    /// The audit chain is broken: nothing more is written onto it.
    #[error(
        "the audit chain is broken ({0}): nothing runs until it is looked into; see `mcp-linux-infra audit verify`"
    )]
    BrokenChain(String),
}

/// What opening a database of an older program did to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The version that it had.
    pub from: i64,
    /// The version that it has.
    pub to: i64,
    /// The copy from before.
    pub backup: PathBuf,
}

impl std::fmt::Display for Migrated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, backup } = self;
        write!(
            f,
            "the database was of version {from} and is of version {to} now; as it was before, it is kept in {}: to go back, see \
             docs/UPGRADE.md",
            backup.display()
        )
    }
}

/// The database of one server.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
    migrated: Option<Migrated>,
}

impl Store {
    /// Opens, or makes, `state.db` in `dir`; the folder is made with mode 0700. A database of an older program is copied, then migrated.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let unusable = |place: &Path, e: &dyn std::fmt::Display| StoreError::Unusable {
            place: place.display().to_string(),
            cause: e.to_string(),
        };
        make_private(dir).map_err(|e| unusable(dir, &e))?;
        let path = dir.join("state.db");
        // Until it is open. SQLite waits for no lock when a new database becomes one with a write-ahead log: of two
        // programs that do that at once, one would fail.
        let _alone = alone(dir).map_err(|e| unusable(dir, &e))?;
        let connection = Connection::open(&path).map_err(|e| unusable(&path, &e))?;
        connection.busy_timeout(Duration::from_secs(10))?;
        // Before anything that could change it.
        schema::version(&connection)?;
        // FULL: an audit record is on disk before the command that it announces is sent.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
        )?;
        connection.execute_batch(outbox::SUBSCRIPTIONS)?;
        let mut store = Self { path, connection: Mutex::new(connection), migrated: None };
        store.migrated = store.change(|tx| schema::migrate(tx, |from| backup::make(&store.path, from)))?;
        Ok(store)
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version of the database's tables; an open one is always of the program's own.
    pub fn version() -> i64 {
        schema::known()
    }

    /// What opening it changed; `None` when it was of this program's version already, or new.
    pub fn migrated(&self) -> Option<&Migrated> {
        self.migrated.as_ref()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one transaction that holds the write lock from its start.
    fn change<T>(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }
}

/// The lock of the folder, which another program holds while it opens the database, and perhaps copies and migrates it.
fn alone(dir: &Path) -> std::io::Result<File> {
    let folder = File::open(dir)?;
    let waits = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if waits.elapsed() > OPENING => {
                return Err(std::io::Error::other(format!(
                    "another program has been opening the database for {} s: look for a mcp-linux-infra that hangs",
                    OPENING.as_secs()
                )));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if dir.is_dir() {
        return std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700));
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The wall clock in milliseconds since 1970; the one place where the server reads it.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::asked;
