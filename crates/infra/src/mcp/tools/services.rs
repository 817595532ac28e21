//! Services of systemd.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::hosts::{self, MAX_SERVICES, ServiceHealth, ServiceReport, ServiceRow, ServiceState, Unit};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

use super::rows::{Listing, Order, Show, Told, list};
use super::{FromHost, host, shape};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool("list_services", "List services", LOOK, "Services by state, failed ones first.", list_services),
        tool(
            "get_service_status",
            "Service status",
            LOOK,
            "One service: state, result, restarts, memory, last log lines.",
            get_service_status,
        ),
        tool(
            "verify_service",
            "Verify a service",
            LOOK,
            "Whether a service is active and healthy, and why not. For after a recovery action.",
            verify_service,
        ),
        tool(
            "check_service_health",
            "Check services",
            LOOK,
            "Which of several services are healthy, with reasons; ill ones first.",
            check_service_health,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListServices {
    /// Host name.
    host: String,
    #[serde(default)]
    state: ServiceState,
    #[serde(default)]
    limit: Option<u16>,
    /// Only these.
    #[serde(default)]
    fields: Option<Vec<String>>,
}

/// How many services there are of all.
#[derive(Debug, Serialize, JsonSchema)]
struct ServiceCounts {
    running: usize,
    failed: usize,
}

async fn list_services(
    call: Call,
    a: ListServices,
) -> Result<Reply<FromHost<Listing<ServiceRow, ServiceCounts>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let found = hosts::list_services(&reader, a.state, Some(MAX_SERVICES)).await?;
    let head = format!("{} services; of all {} run, {} failed", found.matching, found.running, found.failed);
    let beside = ServiceCounts { running: found.running, failed: found.failed };
    let told = Told { rows: found.services, truncated: found.truncated, beside, head };
    let fields = a.fields.unwrap_or_default();
    let show = Show { limit: a.limit, fields: &fields, order: Order::FromStart };
    list(&call, host, "list_services", told, &show)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneService {
    /// Host name.
    host: String,
    /// Unit, e.g. `unbound`.
    #[serde(alias = "service_name")]
    service: String,
}

async fn get_service_status(call: Call, a: OneService) -> Result<Reply<FromHost<ServiceReport>>, ToolError> {
    let unit = a.service.parse()?;
    let host = host(&call, &a.host)?;
    let data = hosts::get_service_status(&call.app.reader(host, &call.caller), &unit).await?;
    Ok(shape(host, data, ServiceReport::summary))
}

async fn verify_service(call: Call, a: OneService) -> Result<Reply<FromHost<ServiceHealth>>, ToolError> {
    let unit = a.service.parse()?;
    let host = host(&call, &a.host)?;
    let data = hosts::verify_service(&call.app.reader(host, &call.caller), &unit).await?;
    Ok(shape(host, data, ServiceHealth::summary))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Services {
    /// Host name.
    host: String,
    /// Units, at most 25.
    #[serde(alias = "service_name", alias = "service", deserialize_with = "one_or_many")]
    services: Vec<String>,
}

/// Takes one name as well as a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a name, or a list of names")]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

/// Whether all are well.
#[derive(Debug, Serialize, JsonSchema)]
struct AllHealthy {
    all_healthy: bool,
}

async fn check_service_health(
    call: Call,
    a: Services,
) -> Result<Reply<FromHost<Listing<ServiceHealth, AllHealthy>>>, ToolError> {
    let units = a.services.iter().map(|s| s.parse()).collect::<Result<Vec<Unit>, _>>()?;
    let host = host(&call, &a.host)?;
    let rows = hosts::check_service_health(&call.app.reader(host, &call.caller), &units).await?;
    let ill = rows.iter().filter(|h| !h.healthy).count();
    let head = format!("{} of {} services are healthy", rows.len() - ill, rows.len());
    let told = Told { rows, truncated: false, beside: AllHealthy { all_healthy: ill == 0 }, head };
    list(
        &call,
        host,
        "check_service_health",
        told,
        &Show { limit: None, fields: &[], order: Order::FromStart },
    )
}
