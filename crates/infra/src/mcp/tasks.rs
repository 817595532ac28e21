//! Executions that a client left with the server, as tasks of the protocol (extension `io.modelcontextprotocol/tasks`).
//!
//! A task is a row of the store, so it outlives the server; its name is for its owner only. It runs when its client looks and a
//! person has signed, never by itself: nobody is there otherwise to see how it went.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{DetailedTask, ErrorData, GetTaskResult, Task as WireTask, TaskPayload, TaskStatus};
use serde_json::Value;

use crate::app::{App, utc};
use crate::recovery;
use crate::store::{NewTask, Proposal, State, Store, StoreError, Task};

use super::toolbox::{Call, ToolError, Waits, answer_of};
use super::tools::recovery::execute_for;
use super::wire;

/// The tool whose calls become tasks.
pub(super) const TOOL: &str = "execute_pra_action";
/// How often a client should look.
const POLL_MS: u64 = 3000;
/// How long a look waits for an execution that it begins; the next look says more.
const RUN_SOON: Duration = Duration::from_secs(2);
/// How long a task is kept after the last moment to approve its proposal.
const KEPT_AFTER_MS: i64 = 3_600_000;

/// Keeps a call that waits, and gives the task that its client asks for from now on.
pub(super) async fn keep(app: &Arc<App>, waits: &Waits, owner: &str) -> Result<WireTask, ErrorData> {
    let new = NewTask {
        id: recovery::fresh_id("task_", 16).map_err(|e| ErrorData::internal_error(e.to_string(), None))?,
        owner: owner.to_owned(),
        proposal: waits.proposal.clone(),
        until_ms: waits.expires_ms.saturating_add(KEPT_AFTER_MS),
    };
    let task = stored(app, move |store| store.keep_task(&new, "waits")).await?;
    Ok(on_the_wire(&task, TaskStatus::Working, waiting(app, &waits.proposal)))
}

/// How a task stands. When a person has signed what it waits for, it is run, once.
pub(super) async fn get(call: &Call, owner: &str, id: &str) -> Result<GetTaskResult, ErrorData> {
    let (task, proposal) = look(&call.app, owner, id).await?;
    if task.cancelled || proposal.state != State::Approved || recovery::waits(&proposal) {
        return told(call, owner, &task, &proposal, None).await;
    }
    let run = tokio::time::timeout(RUN_SOON, execute_for(call, &proposal, &task)).await;
    let failed = run.ok().and_then(Result::err);
    let (task, proposal) = look(&call.app, owner, id).await?;
    told(call, owner, &task, &proposal, failed).await
}

/// The client waits no more. What runs already is not undone.
pub(super) async fn cancel(app: &Arc<App>, owner: &str, id: &str) -> Result<(), ErrorData> {
    let (owner, id) = (owner.to_owned(), id.to_owned());
    stored(app, move |store| store.cancel_task(&id, &owner)).await.map(drop)
}

/// Whether there is such a task; nothing is ever asked within one, so what a client answers has no effect.
pub(super) async fn exists(app: &Arc<App>, owner: &str, id: &str) -> Result<(), ErrorData> {
    let (owner, id) = (owner.to_owned(), id.to_owned());
    stored(app, move |store| store.task(&id, &owner)).await.map(drop)
}

/// What a client asks for that has no such task.
pub(super) fn unknown() -> ErrorData {
    ErrorData::invalid_params("there is no such task of yours, or no longer", None)
}

async fn stored<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ErrorData> {
    app.blocking(work).await.map_err(|e| match e {
        StoreError::NoTask(_) => unknown(),
        other => ErrorData::internal_error(other.to_string(), None),
    })
}

async fn look(app: &Arc<App>, owner: &str, id: &str) -> Result<(Task, Proposal), ErrorData> {
    let (owner, id) = (owner.to_owned(), id.to_owned());
    stored(app, move |store| {
        let task = store.task(&id, &owner)?;
        let proposal = store.proposal(&task.proposal)?;
        Ok((task, proposal))
    })
    .await
}

/// What the client is told of a task. `failed` is why it could not be run now.
async fn told(
    call: &Call,
    owner: &str,
    task: &Task,
    proposal: &Proposal,
    failed: Option<ToolError>,
) -> Result<GetTaskResult, ErrorData> {
    let (status, message, payload) = if task.cancelled {
        (
            "cancelled",
            "its client waits no more; the proposal is as it was".to_owned(),
            TaskPayload::Cancelled,
        )
    } else if recovery::waits(proposal) {
        ("waits", waiting(&call.app, &proposal.id), TaskPayload::Working)
    } else if matches!(proposal.state, State::Approved | State::Running) {
        let message = match failed {
            Some(e) => format!("signed, and not run yet: {}", e.message),
            None => format!("signed; it runs on {}", proposal.asked.host),
        };
        ("runs", message, TaskPayload::Working)
    } else {
        let notice = call.app.config().empty_notice();
        let answer = answer_of(TOOL, notice, execute_for(call, proposal, task)).await;
        let result = serde_json::to_value(wire::answer(answer));
        let Ok(Value::Object(result)) = result else {
            return Err(ErrorData::internal_error("the answer is no object", None));
        };
        ("over", format!("the proposal is {}", proposal.state), TaskPayload::Completed { result })
    };
    let (owner, id) = (owner.to_owned(), task.id.clone());
    let task = stored(&call.app, move |store| store.task_is(&id, &owner, status)).await?;
    let seed = on_the_wire(&task, TaskStatus::Working, message);
    Ok(GetTaskResult::new(DetailedTask::new(seed, payload)))
}

fn waiting(app: &App, proposal: &str) -> String {
    format!(
        "{proposal} waits for a person, who reviews and signs it {}; nothing has run",
        recovery::where_to_sign(app, proposal)
    )
}

fn on_the_wire(task: &Task, status: TaskStatus, message: String) -> WireTask {
    WireTask::new(task.id.clone(), status, moment(task.created_ms), moment(task.updated_ms))
        .with_ttl_ms(u64::try_from(task.until_ms.saturating_sub(task.created_ms)).unwrap_or_default())
        .with_poll_interval_ms(POLL_MS)
        .with_status_message(message)
}

/// A moment as ISO 8601 writes it.
fn moment(ms: i64) -> String {
    utc(ms).replacen(' ', "T", 1).replace(" UTC", "Z")
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_are_iso_8601() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(1_790_000_000_999), "2026-09-21T14:13:20Z");
    }
}
