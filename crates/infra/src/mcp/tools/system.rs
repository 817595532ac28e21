//! What a host is made of, and what runs on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::{
    self, BlockDevice, CpuInfo, DiskUsage, MemoryInfo, Package, PackageFacts, PackageShow, Process,
    ProcessCounts, ProcessOrder, ProcessQuery, SystemInfo,
};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};

use super::rows::{Listing, Nothing, Order, Show, Told, list};
use super::{FromHost, OneHost, host, shape};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "get_system_info",
            "System information",
            LOOK,
            "Operating system, kernel, uptime, load, processors.",
            get_system_info,
        ),
        tool(
            "get_cpu_info",
            "Processors",
            LOOK,
            "Processor model, cores, caches, load, flaws.",
            get_cpu_info,
        ),
        tool("get_memory_info", "Memory", LOOK, "Memory and swap.", get_memory_info),
        tool(
            "get_disk_usage",
            "Disk usage",
            LOOK,
            "Space and inodes of filesystems, the fullest first.",
            get_disk_usage,
        ),
        tool(
            "get_block_devices",
            "Block devices",
            LOOK,
            "Disks, partitions, volumes: size, filesystem, mounts.",
            get_block_devices,
        ),
        tool(
            "get_processes",
            "Processes",
            LOOK,
            "Processes by CPU or memory, without their arguments.",
            get_processes,
        ),
        tool(
            "list_packages",
            "Packages",
            LOOK,
            "Pending updates or installed packages, and whether a restart is due.",
            list_packages,
        ),
    ]
}

async fn get_system_info(call: Call, a: OneHost) -> Result<Reply<FromHost<SystemInfo>>, ToolError> {
    let host = host(&call, &a.host)?;
    let data = hosts::get_system_info(&call.app.reader(host, &call.caller)).await?;
    Ok(shape(host, data, SystemInfo::summary))
}

async fn get_cpu_info(call: Call, a: OneHost) -> Result<Reply<FromHost<CpuInfo>>, ToolError> {
    let host = host(&call, &a.host)?;
    let data = hosts::get_cpu_info(&call.app.reader(host, &call.caller)).await?;
    Ok(shape(host, data, CpuInfo::summary))
}

async fn get_memory_info(call: Call, a: OneHost) -> Result<Reply<FromHost<MemoryInfo>>, ToolError> {
    let host = host(&call, &a.host)?;
    let data = hosts::get_memory_info(&call.app.reader(host, &call.caller)).await?;
    Ok(shape(host, data, MemoryInfo::summary))
}

async fn get_disk_usage(call: Call, a: OneHost) -> Result<Reply<FromHost<DiskUsage>>, ToolError> {
    let host = host(&call, &a.host)?;
    let data = hosts::get_disk_usage(&call.app.reader(host, &call.caller)).await?;
    Ok(shape(host, data, DiskUsage::summary))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Devices {
    /// Host name.
    host: String,
    /// Only these.
    #[serde(default)]
    fields: Option<Vec<String>>,
}

async fn get_block_devices(
    call: Call,
    a: Devices,
) -> Result<Reply<FromHost<Listing<BlockDevice, Nothing>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let rows = hosts::get_block_devices(&call.app.reader(host, &call.caller)).await?;
    let head = format!("{} block devices", rows.len());
    let told = Told { rows, truncated: false, beside: Nothing {}, head };
    let show = Show { limit: None, fields: a.fields.as_deref().unwrap_or_default(), order: Order::FromStart };
    list(&call, host, "get_block_devices", told, &show)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetProcesses {
    /// Host name.
    host: String,
    #[serde(default)]
    sort: ProcessOrder,
    /// Owner.
    #[serde(default)]
    user: Option<String>,
    /// Part of the name.
    #[serde(default)]
    command: Option<String>,
    #[serde(default)]
    limit: Option<u16>,
    /// Only these.
    #[serde(default)]
    fields: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Counts {
    counts: ProcessCounts,
}

async fn get_processes(
    call: Call,
    a: GetProcesses,
) -> Result<Reply<FromHost<Listing<Process, Counts>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let query = ProcessQuery { order: a.sort, user: a.user, command: a.command };
    let found = hosts::get_processes(&call.app.reader(host, &call.caller), &query).await?;
    let head = found.head();
    let beside = Counts { counts: found.counts };
    let told = Told { rows: found.processes, truncated: found.truncated, beside, head };
    let fields = a.fields.unwrap_or_default();
    let show = Show { limit: Some(a.limit.unwrap_or(20)), fields: &fields, order: Order::FromStart };
    list(&call, host, "get_processes", told, &show)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListPackages {
    /// Host name.
    host: String,
    #[serde(default)]
    show: PackageShow,
    /// Part of the name.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    limit: Option<u16>,
    /// Only these.
    #[serde(default)]
    fields: Option<Vec<String>>,
}

async fn list_packages(
    call: Call,
    a: ListPackages,
) -> Result<Reply<FromHost<Listing<Package, PackageFacts>>>, ToolError> {
    let host = host(&call, &a.host)?;
    let reader = call.app.reader(host, &call.caller);
    let found = hosts::list_packages(&reader, a.show, a.name.as_deref()).await?;
    let head = found.head();
    let told = Told { rows: found.packages, truncated: found.truncated, beside: found.facts, head };
    let fields = a.fields.unwrap_or_default();
    let show = Show { limit: a.limit, fields: &fields, order: Order::FromStart };
    list(&call, host, "list_packages", told, &show)
}
