//! The network of a host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::{
    self, Attempt, Connection, ConnectionCounts, ConnectionQuery, DnsConfig, Interface, Listener, Probe,
    ProbeKind, Protocol, Route, SocketState,
};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

use super::rows::{Listing, Nothing, Order, Show, Told, list};
use super::{FromHost, OneHost, host, shape};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "get_network_interfaces",
            "Network interfaces",
            LOOK,
            "Interfaces: state, addresses, traffic, errors.",
            get_network_interfaces,
        ),
        tool("get_routing_table", "Routes", LOOK, "Routes of IPv4 and IPv6.", get_routing_table),
        tool(
            "get_listening_ports",
            "Listening ports",
            LOOK,
            "Who listens on which TCP and UDP port, by unit.",
            get_listening_ports,
        ),
        tool(
            "get_active_connections",
            "Connections",
            LOOK,
            "Connections, with counts by state and peer.",
            get_active_connections,
        ),
        tool(
            "get_dns_config",
            "DNS settings",
            LOOK,
            "Resolvers, search domains, lookup order, hosts file.",
            get_dns_config,
        ),
        tool(
            "test_connectivity",
            "Test connectivity",
            LOOK,
            "From the host: ping or dns of any target; tcp, tls, http (no query) of localhost and what its root permits.",
            test_connectivity,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// Host name.
    host: String,
    /// Only these.
    #[serde(default)]
    fields: Option<Vec<String>>,
}

async fn get_network_interfaces(
    call: Call,
    a: Fields,
) -> Result<Reply<FromHost<Listing<Interface, Nothing>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let rows = hosts::get_network_interfaces(&call.app.reader(host, &call.caller)).await?;
    let head = format!("{} interfaces", rows.len());
    let told = Told { rows, truncated: false, beside: Nothing {}, head };
    let fields = a.fields.unwrap_or_default();
    list(
        &call,
        host,
        "get_network_interfaces",
        told,
        &Show { limit: None, fields: &fields, order: Order::FromStart },
    )
}

async fn get_routing_table(
    call: Call,
    a: Fields,
) -> Result<Reply<FromHost<Listing<Route, Nothing>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let rows = hosts::get_routing_table(&call.app.reader(host, &call.caller)).await?;
    let default = rows.iter().any(|r| r.destination == "default");
    let head =
        format!("{} routes{}", rows.len(), if default { "" } else { ", none of them a default route" });
    let told = Told { rows, truncated: false, beside: Nothing {}, head };
    let fields = a.fields.unwrap_or_default();
    list(
        &call,
        host,
        "get_routing_table",
        told,
        &Show { limit: None, fields: &fields, order: Order::FromStart },
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listening {
    /// Host name.
    host: String,
    #[serde(default)]
    #[schemars(with = "Protocol")]
    protocol: Option<Protocol>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    limit: Option<u16>,
    /// Only these.
    #[serde(default)]
    fields: Option<Vec<String>>,
}

async fn get_listening_ports(
    call: Call,
    a: Listening,
) -> Result<Reply<FromHost<Listing<Listener, Nothing>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let found = hosts::get_listening_ports(&reader, a.protocol, a.port).await?;
    let head = found.head();
    let told = Told { rows: found.listeners, truncated: found.truncated, beside: Nothing {}, head };
    let fields = a.fields.unwrap_or_default();
    list(
        &call,
        host,
        "get_listening_ports",
        told,
        &Show { limit: a.limit, fields: &fields, order: Order::FromStart },
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Active {
    /// Host name.
    host: String,
    #[serde(default)]
    #[schemars(with = "SocketState")]
    state: Option<SocketState>,
    /// Here or there.
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    limit: Option<u16>,
    /// Only these.
    #[serde(default)]
    fields: Option<Vec<String>>,
}

/// Counts over all connections.
#[derive(Debug, Serialize, JsonSchema)]
struct Counts {
    counts: ConnectionCounts,
}

async fn get_active_connections(
    call: Call,
    a: Active,
) -> Result<Reply<FromHost<Listing<Connection, Counts>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let query = ConnectionQuery { state: a.state, port: a.port };
    let found = hosts::get_active_connections(&reader, query).await?;
    let head = found.head();
    let beside = Counts { counts: found.counts };
    let told = Told { rows: found.connections, truncated: found.truncated, beside, head };
    let fields = a.fields.unwrap_or_default();
    let show = Show { limit: a.limit, fields: &fields, order: Order::FromStart };
    list(&call, host, "get_active_connections", told, &show)
}

async fn get_dns_config(call: Call, a: OneHost) -> Result<Reply<FromHost<DnsConfig>>, ToolError> {
    let host = host(&call, &a.host)?;
    let data = hosts::get_dns_config(&call.app.reader(host, &call.caller)).await?;
    Ok(shape(host, data, DnsConfig::summary))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Connectivity {
    /// Host to start from.
    host: String,
    /// Name or IP address.
    target: String,
    #[serde(default)]
    kind: ProbeKind,
    #[serde(default)]
    port: Option<u16>,
    /// Pings.
    #[serde(default)]
    count: Option<u8>,
    /// Of http.
    #[serde(default)]
    path: Option<String>,
}

async fn test_connectivity(call: Call, a: Connectivity) -> Result<Reply<FromHost<Probe>>, ToolError> {
    let target = a.target.parse()?;
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let attempt =
        Attempt { kind: a.kind, target: &target, port: a.port, count: a.count, path: a.path.as_deref() };
    let data = hosts::test_connectivity(&reader, attempt).await?;
    Ok(shape(host, data, Probe::summary))
}
