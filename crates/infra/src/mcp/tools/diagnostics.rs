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
        "Start here: what is wrong with a host, ranked by severity, with evidence and the recovery action that fits.",
        diagnose_system,
    )]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Diagnose {
    /// Host name.
    host: String,
    /// All when empty.
    #[serde(default)]
    checks: Vec<Check>,
}

async fn diagnose_system(call: Call, a: Diagnose) -> Result<Reply<FromHost<Diagnosis>>, ToolError> {
    let remedies = call.app.remedies();
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let told = |check: Check, done, total| call.progress.report(done, total, check.as_str());
    let data = hosts::diagnose_system_telling(&reader, &a.checks, &remedies, &told).await?;
    call.app.keep_diagnosis(host, &data).await;
    Ok(shape(host, data, Diagnosis::summary))
}
