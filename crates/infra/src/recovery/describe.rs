//! What a target says of itself: the facts that a statement binds.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::config::Host;
use crate::ssh::Account;
use crate::store::Audit;

use super::RecoveryError;

/// The answer of the reader's `mcp-describe`. It is what the target claims; a false claim only makes a grant
/// that the target then refuses.
#[derive(Debug, Clone, Deserialize)]
pub struct TargetFacts {
    /// Name of the host in the target's own config.
    pub host: String,
    /// Tenant of the host.
    pub tenant: String,
    /// SHA-256 over the target's machine-id and host key, 64 hex digits.
    pub machine_id: String,
    /// Version of the target programs.
    pub version: String,
    /// Digest of the target's policy.
    pub policy: String,
    /// Digest of each action's definition.
    pub plans: BTreeMap<String, String>,
    /// How many distinct persons each action needs.
    pub approvals: BTreeMap<String, u32>,
    /// The target's clock, seconds since 1970.
    pub now: i64,
}

/// Asks the target.
pub async fn describe(app: &App, host: &Host) -> Result<TargetFacts, RecoveryError> {
    let receipt = app.audit(&Audit { event: "describe", data: json!({ "host": host.name }) }).await?;
    let output = app.pool().exec(host, Account::Reader, "mcp-describe", None, &receipt).await?;
    if output.exit != Some(0) {
        return Err(RecoveryError::refused(
            "not_deployed",
            format!(
                "{}: mcp-describe ended with {:?}: {}; are the target programs of this version installed there?",
                host.name,
                output.exit,
                crate::hosts::hygiene::clean(&output.stderr).text.trim()
            ),
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| {
        RecoveryError::refused("not_deployed", format!("{}: mcp-describe gave no facts: {e}", host.name))
    })
}
