//! Containers that ended badly, restart or are unhealthy.

use futures::future::join_all;
use serde::Deserialize;

use super::{Check, Checked, Finding, Ground, Severity};
use crate::hosts::hygiene::one_line;
use crate::hosts::operand::ContainerName;
use crate::hosts::reader::Failure;

/// More findings say no more.
const MAX_FINDINGS: usize = 10;
/// So many restarts are no accident.
const MANY_RESTARTS: u64 = 3;

/// A row of `podman ps`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    restarts: u64,
}

pub(super) async fn check(ground: Ground<'_>) -> Result<Checked, Failure> {
    let mut found: Vec<Container> = ground.asker.json(&["podman", "ps", "--all", "--format", "json"]).await?;
    let fresh = found.iter_mut().filter(|c| c.is_fresh()).take(MAX_FINDINGS);
    // `podman ps` of version 4 does not count restarts; one that cannot be asked stays at what it says.
    join_all(fresh.map(|container| async move {
        if let Some(restarts) = restarts(ground, container.name()).await {
            container.restarts = restarts;
        }
    }))
    .await;
    let findings = found.iter().filter_map(|c| judge(c, ground)).take(MAX_FINDINGS).collect();
    Ok(Checked { findings, errors: Vec::new() })
}

async fn restarts(ground: Ground<'_>, name: &str) -> Option<u64> {
    let name: ContainerName = name.parse().ok()?;
    let argv = ["podman", "inspect", "--format", "{{.RestartCount}}", name.as_str()];
    ground.asker.text(&argv).await.ok()?.text.trim().parse().ok()
}

impl Container {
    fn name(&self) -> &str {
        self.names.as_ref().and_then(|n| n.first()).map_or(self.id.as_str(), String::as_str)
    }

    /// Runs, and only for seconds.
    fn is_fresh(&self) -> bool {
        self.state.eq_ignore_ascii_case("running") && self.status.contains("second")
    }
}

fn judge(container: &Container, ground: Ground<'_>) -> Option<Finding> {
    let state = container.state.to_ascii_lowercase();
    let (severity, what) = match state.as_str() {
        "restarting" => (Severity::Critical, "restarts again and again".to_owned()),
        "dead" | "removing" | "stopping" | "unknown" => (Severity::Warning, format!("is {state}")),
        "exited" | "stopped" if container.exit_code != 0 => {
            let often = match container.restarts {
                0 => String::new(),
                n => format!(", restarted {n} times"),
            };
            let code = container.exit_code;
            (Severity::Critical, format!("exited with status {code}{}{often}", exit_meaning(code)))
        }
        // One that came back seconds ago, and not for the first time, is in a loop.
        "running" if container.restarts >= MANY_RESTARTS && container.is_fresh() => {
            (Severity::Critical, format!("restarts again and again, {} times so far", container.restarts))
        }
        _ if container.status.contains("(unhealthy)") => {
            (Severity::Critical, "runs, but its health check fails".to_owned())
        }
        _ => return None,
    };
    let subject = one_line(container.name(), 128);
    let evidence = vec![one_line(&format!("{} {}", container.image, container.status), 200)];
    let suggestion = ground.remedies.of_container(&subject);
    Some(Finding { severity, check: Check::Containers, subject, what, evidence, suggestion })
}

fn exit_meaning(code: i64) -> &'static str {
    match code {
        125 => " (podman could not start it)",
        126 => " (its command cannot be executed)",
        127 => " (its command was not found)",
        137 => " (killed, often for lack of memory)",
        139 => " (crashed)",
        143 => " (ended by request)",
        _ => "",
    }
}
