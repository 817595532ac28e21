//! Looking at one host.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Host;
use crate::hosts::{
    self, Check, Diagnosis, DiskUsage, LogQuery, Logs, MemoryInfo, Priority, ServiceHealth, ServiceList,
    ServiceReport, ServiceState, SystemInfo,
};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

use super::{FromHost, host, untrusted_text};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "diagnose_system",
            "Diagnose a host",
            LOOK,
            "Start here: what is wrong with a host, ranked by severity, with evidence and the recovery action that fits.",
            diagnose_system,
        ),
        tool(
            "get_system_info",
            "System information",
            LOOK,
            "Operating system, kernel, uptime, load, processors of a host.",
            get_system_info,
        ),
        tool(
            "get_memory_info",
            "Memory",
            LOOK,
            "Memory and swap of a host, in bytes and percent.",
            get_memory_info,
        ),
        tool(
            "get_disk_usage",
            "Disk usage",
            LOOK,
            "Space and inodes of a host's filesystems, the fullest first.",
            get_disk_usage,
        ),
        tool(
            "list_services",
            "List services",
            LOOK,
            "Services of a host by state: failed, running, inactive or all; failed ones first.",
            list_services,
        ),
        tool(
            "get_service_status",
            "Service status",
            LOOK,
            "One service in detail: state, result, restarts, memory, since when, and its last log lines.",
            get_service_status,
        ),
        tool(
            "verify_service",
            "Verify a service",
            LOOK,
            "Whether a service is active and healthy, with the reasons. Use it after a recovery action.",
            verify_service,
        ),
        tool(
            "fetch_logs",
            "Fetch logs",
            LOOK,
            "Journal lines of a host, the oldest first; by service, priority and time.",
            fetch_logs,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneHost {
    /// Name of a host from list_hosts.
    host: String,
}

/// Shapes what a host has answered.
fn shape<T>(host: &Host, data: T, summary: impl FnOnce(&T) -> String) -> Reply<FromHost<T>> {
    Reply { text: untrusted_text(host, &summary(&data)), data: FromHost::new(host, data) }
}

async fn get_system_info(call: Call, a: OneHost) -> Result<Reply<FromHost<SystemInfo>>, ToolError> {
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let data = hosts::get_system_info(&reader).await?;
    Ok(shape(host, data, SystemInfo::summary))
}

async fn get_memory_info(call: Call, a: OneHost) -> Result<Reply<FromHost<MemoryInfo>>, ToolError> {
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let data = hosts::get_memory_info(&reader).await?;
    Ok(shape(host, data, MemoryInfo::summary))
}

async fn get_disk_usage(call: Call, a: OneHost) -> Result<Reply<FromHost<DiskUsage>>, ToolError> {
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let data = hosts::get_disk_usage(&reader).await?;
    Ok(shape(host, data, DiskUsage::summary))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Diagnose {
    /// Name of a host from list_hosts.
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
    Ok(shape(host, data, Diagnosis::summary))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListServices {
    /// Name of a host from list_hosts.
    host: String,
    /// Which.
    #[serde(default)]
    state: ServiceState,
    /// At most this many (1 to 500, else 50).
    #[serde(default)]
    limit: Option<u16>,
}

async fn list_services(call: Call, a: ListServices) -> Result<Reply<FromHost<ServiceList>>, ToolError> {
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let data = hosts::list_services(&reader, a.state, a.limit).await?;
    Ok(shape(host, data, ServiceList::summary))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneService {
    /// Name of a host from list_hosts.
    host: String,
    /// Name of a systemd unit, for example `unbound`.
    service: String,
}

async fn get_service_status(call: Call, a: OneService) -> Result<Reply<FromHost<ServiceReport>>, ToolError> {
    let unit = a.service.parse()?;
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let data = hosts::get_service_status(&reader, &unit).await?;
    Ok(shape(host, data, ServiceReport::summary))
}

async fn verify_service(call: Call, a: OneService) -> Result<Reply<FromHost<ServiceHealth>>, ToolError> {
    let unit = a.service.parse()?;
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let data = hosts::verify_service(&reader, &unit).await?;
    Ok(shape(host, data, ServiceHealth::summary))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FetchLogs {
    /// Name of a host from list_hosts.
    host: String,
    /// Only of this systemd unit.
    #[serde(default)]
    service: Option<String>,
    /// The newest so many lines (1 to 1000, else 100).
    #[serde(default)]
    lines: Option<u16>,
    /// Only from here on: `15min`, `2h`, `today`, `2026-11-24 04:30`.
    #[serde(default)]
    since: Option<String>,
    /// This and the more important ones.
    #[serde(default)]
    priority: Option<Priority>,
}

async fn fetch_logs(call: Call, a: FetchLogs) -> Result<Reply<FromHost<Logs>>, ToolError> {
    let query = LogQuery {
        unit: a.service.as_deref().map(str::parse).transpose()?,
        lines: a.lines,
        since: a.since.as_deref().map(str::parse).transpose()?,
        priority: a.priority,
    };
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let data = hosts::fetch_logs(&reader, &query).await?;
    Ok(shape(host, data, Logs::summary))
}
