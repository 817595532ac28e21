//! What to ask a host and how to read the answer: one file per diagnostic family.
//!
//! Everything here works against [`Reader`], so it neither knows SSH nor the policy. A family names its commands,
//! reads their machine-readable output into typed data with the units in the field names, and gives a `summary`
//! of a few lines. What a host says is untrusted: nothing leaves this module that has not passed [`hygiene`],
//! and no answer, however broken, panics.

mod ask;
mod block;
mod containers;
mod cpu;
pub mod diagnose;
mod disk;
mod fleet;
pub mod hygiene;
mod log_file;
mod log_groups;
mod log_search;
mod logs;
mod memory;
mod network;
mod operand;
mod packages;
mod pages;
mod processes;
mod reader;
mod services;
mod system;
mod units;

#[cfg(test)]
mod fake;

use serde::Serialize;

pub use block::{BlockDevice, get_block_devices};
pub use containers::{
    Container, ContainerLine, ContainerLogQuery, ContainerLogs, Containers, Runtime, Stream,
    get_container_logs, list_containers,
};
pub use cpu::{CpuInfo, get_cpu_info};
pub use diagnose::{
    Check, Diagnosis, Finding, Remedies, Severity, Suggestion, diagnose_system, diagnose_system_telling,
};
pub use disk::{DiskUsage, Filesystem, Pressure, get_disk_usage};
pub use fleet::{Absent, Bounds, FleetDiagnosis, FleetFinding, Undone, diagnose_fleet};
pub use log_file::{FileLine, FileLines, FileQuery, read_log_file};
pub use log_groups::{ErrorGroup, Errors, analyze_errors};
pub use log_search::{LogMatch, Matches, SearchQuery, search_logs};
pub use logs::{DEFAULT_LOG_LINES, LogLine, LogQuery, Logs, MAX_LOG_LINES, fetch_logs, get_journal_logs};
pub use memory::{MemoryInfo, get_memory_info};
pub use network::{
    Attempt, Connection, ConnectionCounts, ConnectionQuery, Connections, Count, DnsConfig, HostsEntry,
    Interface, Listener, Listeners, Outcome, Probe, ProbeKind, Protocol, ResolverLink, Route, SocketState,
    Target, get_active_connections, get_dns_config, get_listening_ports, get_network_interfaces,
    get_routing_table, test_connectivity,
};
pub use operand::{ContainerName, FilePath, Priority, Since, Unit};
pub use packages::{Package, PackageFacts, PackageShow, Packages, Restart, list_packages};
pub use pages::{Found, KEPT_SECONDS, Kept, Page, Pages};
pub use processes::{
    Process, ProcessCounts, ProcessOrder, ProcessQuery, ProcessState, Processes, get_processes,
};
pub use reader::{Failure, Output, Reader};
pub use services::{
    DEFAULT_SERVICES, MAX_CHECKED, MAX_SERVICES, ServiceHealth, ServiceList, ServiceReport, ServiceRow,
    ServiceState, ServiceStatus, check_service_health, get_service_status, list_services, verify_service,
};
pub use system::{SystemInfo, get_system_info};

/// Leaves an enum's words alone in its schema: they speak for themselves, and every description costs the model
/// tokens.
fn words_alone(schema: &mut schemars::Schema) {
    let words: Option<Vec<serde_json::Value>> = schema
        .get("oneOf")
        .and_then(serde_json::Value::as_array)
        .and_then(|ways| ways.iter().map(|way| way.get("const").cloned()).collect());
    if let Some(words) = words {
        schema.remove("oneOf");
        schema.remove("description");
        schema.insert("enum".to_owned(), words.into());
        schema.insert("type".to_owned(), "string".into());
    }
}

/// One of many things of a kind.
pub trait Row: Serialize {
    /// It in one line.
    fn line(&self) -> String;
}
