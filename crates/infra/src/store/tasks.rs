//! Tasks: calls that a client left with the server while a person decides on a proposal.
//!
//! A task holds no right. What it may run is its proposal, by the same rules as for every other caller.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Proposal, Receipt, Store, StoreError, now_ms};

/// A call that is to be left with the server.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// A name that nobody can guess.
    pub id: String,
    /// Whose it is; for others it does not exist.
    pub owner: String,
    /// What it waits for.
    pub proposal: String,
    /// Until when it is kept, ms since 1970.
    pub until_ms: i64,
}

/// A call that waits for a person, or whose answer waits to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name.
    pub id: String,
    /// What it waits for.
    pub proposal: String,
    /// When it was made, ms since 1970.
    pub created_ms: i64,
    /// Until when it is kept, ms since 1970.
    pub until_ms: i64,
    /// When its status changed, ms since 1970.
    pub updated_ms: i64,
    /// Whether it handed the proposal to its target; it then cannot be cancelled.
    pub ran: bool,
    /// Whether its client waits no more.
    pub cancelled: bool,
}

impl Store {
    /// Keeps a call. One that waits for the same proposal and has the same owner is given back instead; those whose time is over go.
    pub fn keep_task(&self, new: &NewTask, status: &str) -> Result<Task, StoreError> {
        self.change(|tx| {
            let now = now_ms();
            tx.execute("DELETE FROM tasks WHERE until_ms <= ?1", [now])?;
            let same = tx
                .query_row(
                    "SELECT id FROM tasks WHERE proposal = ?1 AND owner = ?2 AND cancelled_ms IS NULL",
                    params![new.proposal, new.owner],
                    |row| row.get::<_, String>(0),
                )
                .optional()?;
            if let Some(id) = same {
                return load(tx, &id, &new.owner);
            }
            tx.execute(
                "INSERT INTO tasks (id, owner, proposal, created_ms, until_ms, status, updated_ms, ran)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4, 0)",
                params![new.id, new.owner, new.proposal, now, new.until_ms, status],
            )?;
            load(tx, &new.id, &new.owner)
        })
    }

    /// A task by its name.
    ///
    /// Errors: [`StoreError::NoTask`] when there is none, its time is over, or it is another's.
    pub fn task(&self, id: &str, owner: &str) -> Result<Task, StoreError> {
        self.change(|tx| load(tx, id, owner))
    }

    /// Notes the status that its client is told, and gives the task with the moment when it became that.
    pub fn task_is(&self, id: &str, owner: &str, status: &str) -> Result<Task, StoreError> {
        self.change(|tx| {
            tx.execute(
                "UPDATE tasks SET status = ?3, updated_ms = ?4 WHERE id = ?1 AND owner = ?2 AND status <> ?3",
                params![id, owner, status, now_ms()],
            )?;
            load(tx, id, owner)
        })
    }

    /// As [`Self::start`], for a task that waited for the proposal, which then has run it.
    ///
    /// Errors: also a task that was cancelled; then nothing starts.
    pub fn start_for(&self, proposal: &str, task: &str) -> Result<(Proposal, Receipt), StoreError> {
        self.start_after(proposal, |tx| runs(tx, task, proposal))
    }

    /// Its client waits no more. A task that has run, or whose proposal is over, stays as it is: it is not undone.
    pub fn cancel_task(&self, id: &str, owner: &str) -> Result<Task, StoreError> {
        self.change(|tx| {
            tx.execute(
                "UPDATE tasks SET cancelled_ms = ?3 WHERE id = ?1 AND owner = ?2 AND ran = 0 AND cancelled_ms IS NULL
                    AND EXISTS (SELECT 1 FROM proposals WHERE id = tasks.proposal AND state IN ('proposed', 'approved', 'running'))",
                params![id, owner, now_ms()],
            )?;
            load(tx, id, owner)
        })
    }
}

/// Notes that a task runs its proposal, in the transaction that starts it.
fn runs(tx: &Transaction<'_>, id: &str, proposal: &str) -> Result<(), StoreError> {
    let changed = tx.execute(
        "UPDATE tasks SET ran = 1 WHERE id = ?1 AND proposal = ?2 AND cancelled_ms IS NULL AND until_ms > ?3",
        params![id, proposal, now_ms()],
    )?;
    if changed == 1 { Ok(()) } else { Err(StoreError::TaskCancelled(id.to_owned())) }
}

fn load(tx: &Transaction<'_>, id: &str, owner: &str) -> Result<Task, StoreError> {
    tx.query_row(
        "SELECT * FROM tasks WHERE id = ?1 AND owner = ?2 AND until_ms > ?3",
        params![id, owner, now_ms()],
        from_row,
    )
    .optional()?
    .ok_or_else(|| StoreError::NoTask(id.to_owned()))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Task> {
    Ok(Task {
        id: row.get("id")?,
        proposal: row.get("proposal")?,
        created_ms: row.get("created_ms")?,
        until_ms: row.get("until_ms")?,
        updated_ms: row.get("updated_ms")?,
        ran: row.get("ran")?,
        cancelled: row.get::<_, Option<i64>>("cancelled_ms")?.is_some(),
    })
}
