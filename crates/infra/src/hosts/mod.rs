//! What to ask a host and how to read the answer: one file per diagnostic family.
//!
//! Everything here works against [`Reader`], so it neither knows SSH nor the policy. A family names its commands,
//! reads their machine-readable output into typed data with the units in the field names, and gives a `summary`
//! of a few lines. What a host says is untrusted: nothing leaves this module that has not passed [`hygiene`],
//! and no answer, however broken, panics.

mod ask;
pub mod diagnose;
mod disk;
pub mod hygiene;
mod logs;
mod memory;
mod operand;
mod reader;
mod services;
mod system;
mod units;

#[cfg(test)]
mod fake;

pub use diagnose::{
    Check, Diagnosis, Finding, Remedies, Severity, Suggestion, diagnose_system, diagnose_system_telling,
};
pub use disk::{DiskUsage, Filesystem, Pressure, get_disk_usage};
pub use logs::{DEFAULT_LOG_LINES, LogLine, LogQuery, Logs, MAX_LOG_LINES, fetch_logs};
pub use memory::{MemoryInfo, get_memory_info};
pub use operand::{Priority, Since, Unit};
pub use reader::{Failure, Output, Reader};
pub use services::{
    DEFAULT_SERVICES, MAX_SERVICES, ServiceHealth, ServiceList, ServiceReport, ServiceRow, ServiceState,
    ServiceStatus, get_service_status, list_services, verify_service,
};
pub use system::{SystemInfo, get_system_info};
