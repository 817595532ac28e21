//! Waiting for a person's decision, and where that is made.

use std::time::Duration;

use tokio::time::Instant;

use crate::app::App;
use crate::store::{Proposal, State, now_ms};

use super::RecoveryError;

/// How often a wait looks at the proposal.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Whether a proposal waits for a person: nobody has signed, not enough have, or what they signed has expired.
pub fn waits(proposal: &Proposal) -> bool {
    match proposal.state {
        State::Proposed => true,
        State::Approved => proposal.statement_expires_ms.is_none_or(|end| end <= now_ms()),
        _ => false,
    }
}

/// Waits until a proposal waits for nobody, at most until `end`, and gives it as it then is.
pub async fn wait(app: &App, id: &str, end: Instant) -> Result<Proposal, RecoveryError> {
    loop {
        let wanted = id.to_owned();
        let proposal = app.blocking(move |store| store.proposal(&wanted)).await?;
        if !waits(&proposal) || Instant::now() >= end {
            return Ok(proposal);
        }
        tokio::time::sleep_until(end.min(Instant::now() + LOOK_AGAIN)).await;
    }
}

/// The page on which a person decides; `None` without a dashboard. It asks for a login, and its address holds no secret.
pub fn page(app: &App, id: &str) -> Option<String> {
    app.config().dashboard.origin.as_ref().map(|origin| format!("{origin}/proposals/{id}"))
}

/// Where a person reviews and signs a proposal, for a sentence.
pub fn where_to_sign(app: &App, id: &str) -> String {
    let page = page(app, id).map(|page| format!("at {page} or ")).unwrap_or_default();
    format!("{page}with `mcp-linux-infra approve {id}`")
}
