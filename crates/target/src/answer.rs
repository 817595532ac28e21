//! What became of a grant, as it is printed: one line of JSON.

use grant::Refusal;
use serde::Serialize;
use serde_json::Value;

/// The result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Answer {
    pub(crate) proposal: Option<String>,
    pub(crate) outcome: &'static str,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) steps: Vec<StepResult>,
    /// Head of the target's chain behind the result.
    pub(crate) audit: Option<Value>,
}

/// One step that ran.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StepResult {
    pub(crate) phase: &'static str,
    pub(crate) argv: Vec<String>,
    /// 124 when the time limit ended it, 127 when it could not be started.
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) ms: u64,
}

/// The result of a refusal.
pub(crate) fn refusal_json(proposal: Option<String>, refusal: &Refusal) -> String {
    let answer = Answer {
        proposal,
        outcome: "refused",
        code: refusal.code.to_string(),
        message: refusal.message.clone(),
        steps: Vec::new(),
        audit: None,
    };
    serde_json::to_string(&answer).unwrap_or_default()
}
