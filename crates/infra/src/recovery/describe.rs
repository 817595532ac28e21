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
    /// What happens there when the kernel cannot confine a program: `enforce` or `best-effort`. This and what follows is absent
    /// when the target's programs are older.
    #[serde(default)]
    pub sandbox: Option<String>,
    /// What its kernel offers for that.
    #[serde(default)]
    pub kernel: Option<KernelFact>,
    /// For each profile what it would restrict and that kernel cannot.
    #[serde(default)]
    pub gaps: BTreeMap<String, Vec<String>>,
    /// Groups of the reader.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// What stands of its approvers' file.
    #[serde(default)]
    pub approvers: Option<ApproversFact>,
    /// Room for logs.
    #[serde(default)]
    pub logs: Option<LogsFact>,
}

/// What a kernel offers to confine programs.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct KernelFact {
    /// Landlock's ABI; 0 for none.
    pub landlock: u32,
    /// Whether seccomp filters can be installed.
    pub seccomp: bool,
}

/// What stands of an approvers' file.
#[derive(Debug, Clone, Deserialize)]
pub struct ApproversFact {
    /// SHA-256 of its bytes, 64 hex digits.
    pub sha256: Option<String>,
    /// Keys in it.
    pub keys: usize,
    /// Why nobody can approve there.
    pub problem: Option<String>,
}

/// Room for logs on a target.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct LogsFact {
    /// Bytes of the file system of `/var/log`; 0 when it could not be looked at.
    pub bytes: u64,
    /// Bytes that may still be written.
    pub bytes_free: u64,
    /// Inodes; 0 when the file system counts none.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
    /// Bytes of `pra-run`'s own log; absent when it is missing.
    pub pra_run: Option<u64>,
}

/// Asks the target.
pub async fn describe(app: &App, host: &Host) -> Result<TargetFacts, RecoveryError> {
    let receipt = app.audit(&Audit { event: "describe", data: json!({ "host": host.name }) }).await?;
    let answer = app.pool().exec(host, Account::Reader, "mcp-describe", None, &receipt).await;
    app.heard(host, answer.as_ref().err()).await;
    let output = answer?;
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
