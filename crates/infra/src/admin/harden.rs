//! `doctor --harden`: what on a host is not as `install-target.sh` lays it.

use serde::{Deserialize, Serialize};

use super::{AdminError, Channel, Plan, failed};
use crate::config::Host;
use crate::hosts::hygiene::clean;

/// One thing that is not as intended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What was looked at, in one word.
    pub check: String,
    /// What is there instead, and where.
    pub cause: String,
    /// What mends it, on the host.
    pub mend: String,
}

#[derive(Deserialize)]
struct Report {
    ok: bool,
    drifts: Vec<Drift>,
}

/// Looks at a host as root and changes nothing there. Empty when everything is as intended.
pub async fn harden(channel: &Channel<'_>, host: &Host, plan: &Plan) -> Result<Vec<Drift>, AdminError> {
    let bundle = plan.bundle(channel, host, &["--check", "--json"])?;
    let said = channel.ask(host, &bundle).await?;
    if !matches!(said.exit, Some(0 | 1)) {
        return Err(failed(&said));
    }
    let report: Report = serde_json::from_str(&said.out).map_err(|_| failed(&said))?;
    if report.ok != report.drifts.is_empty() || report.ok != (said.exit == Some(0)) {
        return Err(failed(&said));
    }
    let text =
        |text: &str| clean(text.as_bytes()).text.replace("deploy HOST", &format!("deploy {}", host.name));
    Ok(report
        .drifts
        .into_iter()
        .map(|d| Drift { check: text(&d.check), cause: text(&d.cause), mend: text(&d.mend) })
        .collect())
}
