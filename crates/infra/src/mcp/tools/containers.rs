//! Containers of a host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::{self, Container, ContainerLine, ContainerLogQuery, Runtime};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

use super::rows::{Listing, Order, Show, Told, list};
use super::{FromHost, host};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "list_containers",
            "Containers",
            LOOK,
            "Containers of podman and docker; those that do not run first.",
            list_containers,
        ),
        tool(
            "get_container_logs",
            "Container logs",
            LOOK,
            "The last log lines of a container, oldest first.",
            get_container_logs,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListContainers {
    /// Host name.
    host: String,
    #[serde(default)]
    limit: Option<u16>,
    /// Only these.
    #[serde(default)]
    fields: Option<Vec<String>>,
}

/// Who answered.
#[derive(Debug, Serialize, JsonSchema)]
struct Runtimes {
    runtimes: Vec<Runtime>,
    /// Why one did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

async fn list_containers(
    call: Call,
    a: ListContainers,
) -> Result<Reply<FromHost<Listing<Container, Runtimes>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let found = hosts::list_containers(&call.app.reader(host, &call.caller)).await?;
    let head = found.head();
    let beside = Runtimes { runtimes: found.runtimes, errors: found.errors };
    let told = Told { rows: found.containers, truncated: found.truncated, beside, head };
    let fields = a.fields.unwrap_or_default();
    list(
        &call,
        host,
        "list_containers",
        told,
        &Show { limit: a.limit, fields: &fields, order: Order::FromStart },
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetContainerLogs {
    /// Host name.
    host: String,
    /// Name or id.
    container: String,
    #[serde(default)]
    #[schemars(with = "Runtime")]
    runtime: Option<Runtime>,
    /// 1 to 1000, else 100.
    #[serde(default, alias = "limit")]
    lines: Option<u16>,
    /// `15min`, `2h`.
    #[serde(default)]
    since: Option<String>,
}

/// Where the lines are from.
#[derive(Debug, Serialize, JsonSchema)]
struct Source {
    runtime: Runtime,
    /// Control and invisible characters removed.
    removed_controls: usize,
    /// Secrets replaced.
    redactions: usize,
}

async fn get_container_logs(
    call: Call,
    a: GetContainerLogs,
) -> Result<Reply<FromHost<Listing<ContainerLine, Source>>>, ToolError> {
    let query = ContainerLogQuery {
        container: a.container.parse()?,
        runtime: a.runtime,
        lines: a.lines,
        since: a.since.as_deref().map(str::parse).transpose()?,
    };
    let host = host(&call, &a.host)?;
    let found = hosts::get_container_logs(&call.app.reader(host, &call.caller), &query).await?;
    let head = format!("{} lines", found.lines.len());
    let beside = Source {
        runtime: found.runtime,
        removed_controls: found.removed_controls,
        redactions: found.redactions,
    };
    let told = Told { rows: found.lines, truncated: found.truncated, beside, head };
    list(
        &call,
        host,
        "get_container_logs",
        told,
        &Show { limit: Some(500), fields: &[], order: Order::FromEnd },
    )
}
