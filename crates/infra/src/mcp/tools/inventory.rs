//! What there is to look at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

pub(super) fn tools() -> Vec<Tool> {
    vec![tool(
        "list_hosts",
        "List hosts",
        LOOK,
        "The hosts that can be diagnosed: name, address, tags, tenant. Every other tool takes one of these names as `host`.",
        list_hosts,
    )]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListHosts {
    /// Keep only the hosts with this tag.
    #[serde(default)]
    tag: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Hosts {
    hosts: Vec<HostRow>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HostRow {
    name: String,
    address: String,
    port: u16,
    tags: Vec<String>,
    tenant: String,
}

async fn list_hosts(call: Call, arguments: ListHosts) -> Result<Reply<Hosts>, ToolError> {
    let hosts: Vec<HostRow> = call
        .app
        .config()
        .inventory
        .iter()
        .filter(|h| arguments.tag.as_ref().is_none_or(|tag| h.tags.contains(tag)))
        .map(|h| HostRow {
            name: h.name.to_string(),
            address: h.address.clone(),
            port: h.port,
            tags: h.tags.clone(),
            tenant: h.tenant.clone(),
        })
        .collect();
    let mut text = format!("{} host(s)", hosts.len());
    for host in &hosts {
        text.push_str(&format!("\n{}  {}:{}  {}", host.name, host.address, host.port, host.tags.join(", ")));
    }
    Ok(Reply { data: Hosts { hosts }, text })
}
