//! What there is to look at.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Host, Selector, SelectorError};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

/// Hosts in one answer, unless more are asked for.
const DEFAULT_LIMIT: usize = 100;

pub(super) fn tools() -> Vec<Tool> {
    vec![tool(
        "list_hosts",
        "List hosts",
        LOOK,
        "The hosts, with groups, tags and tenant. Every other tool takes one of these names as `host`.",
        list_hosts,
    )]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListHosts {
    /// `web01`, `group:web`, `tag:prod`, `all`; with `,` or, `&` and, `!` not.
    #[serde(default)]
    selector: Option<String>,
    /// At most this many (1 to 1000, else 100).
    #[serde(default)]
    limit: Option<u16>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HostList {
    hosts: Vec<HostRow>,
    total: usize,
    groups: BTreeMap<String, usize>,
    tags: BTreeMap<String, usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HostRow {
    name: String,
    address: String,
    port: u16,
    groups: Vec<String>,
    tags: Vec<String>,
    tenant: String,
}

/// The hosts that a selector means; at least one.
pub(super) fn selected<'a>(call: &'a Call, selector: &str) -> Result<Vec<&'a Host>, ToolError> {
    let config = call.app.config();
    if let Some(notice) = config.empty_notice() {
        return Err(ToolError::new("unknown_host", notice));
    }
    let chosen = selector.parse::<Selector>().and_then(|s| s.select(&config.inventory));
    chosen.map_err(|e| match e {
        SelectorError::Malformed(_) => ToolError::new("bad_arguments", e.to_string()),
        SelectorError::Nothing(_) => ToolError::new("unknown_host", e.to_string()),
    })
}

async fn list_hosts(call: Call, a: ListHosts) -> Result<Reply<HostList>, ToolError> {
    let chosen: Vec<&Host> = match &a.selector {
        Some(selector) => selected(&call, selector)?,
        None => call.app.config().inventory.iter().collect(),
    };
    let limit = a.limit.map_or(DEFAULT_LIMIT, |n| usize::from(n.clamp(1, 1000)));
    let row = |h: &&Host| HostRow {
        name: h.name.to_string(),
        address: h.address.clone(),
        port: h.port,
        groups: h.groups.clone(),
        tags: h.tags.clone(),
        tenant: h.tenant.clone(),
    };
    let owned = |counts: BTreeMap<&str, usize>| counts.into_iter().map(|(k, n)| (k.to_owned(), n)).collect();
    let inventory = &call.app.config().inventory;
    let data = HostList {
        total: chosen.len(),
        hosts: chosen.iter().take(limit).map(row).collect(),
        groups: owned(inventory.groups()),
        tags: owned(inventory.tags()),
    };
    let mut text = format!("{} host(s)", data.total);
    for h in &data.hosts {
        let words =
            h.groups.iter().map(|g| format!(" group:{g}")).chain(h.tags.iter().map(|t| format!(" tag:{t}")));
        text.push_str(&format!("\n{}  {}:{} {}", h.name, h.address, h.port, words.collect::<String>()));
    }
    if data.total > data.hosts.len() {
        let left = data.total - data.hosts.len();
        text.push_str(&format!("\nand {left} more: narrow the selector or raise the limit"));
    }
    Ok(Reply { data, text })
}
