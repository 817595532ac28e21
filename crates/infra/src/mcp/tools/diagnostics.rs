//! Diagnosing one host.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::hosts::{self, Check, Diagnosis};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

use super::{FromHost, host, shape};

pub(super) fn tools() -> Vec<Tool> {
    vec![tool(
        "diagnose_system",
        "Diagnose a host",
        LOOK,
        "Checks a host at once and returns what is wrong, ranked by severity, each with its evidence and, where there is one, the \
             recovery action that fits. Start here. Checks: disk, memory, services, containers, dns, network, load, logs; all when none \
             is named.",
        diagnose_system,
    )]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Diagnose {
    /// Host name.
    host: String,
    /// What to check; all when empty.
    #[serde(default)]
    checks: Vec<Check>,
}

async fn diagnose_system(call: Call, a: Diagnose) -> Result<Reply<FromHost<Diagnosis>>, ToolError> {
    let remedies = call.app.remedies();
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let data = hosts::diagnose_system(&reader, &a.checks, &remedies).await?;
    Ok(shape(host, data, Diagnosis::summary))
}
