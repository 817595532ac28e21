//! Services of systemd: the list, one in detail, and whether one is well.

mod health;
mod list;
mod show;

use schemars::JsonSchema;
use serde::Serialize;

use super::ask::Asker;
use super::logs::{self, LogLine, LogQuery};
use super::operand::Unit;
use super::reader::{Failure, Reader};

pub use health::{MAX_CHECKED, ServiceHealth, check_service_health, verify_service};
pub use list::{DEFAULT_SERVICES, MAX_SERVICES, ServiceList, ServiceRow, ServiceState, list_services};
pub(super) use list::{UnitRow, enabled, failed_units, units};
pub use show::ServiceStatus;
pub(super) use show::show;

/// Log lines beside a status.
const STATUS_LINES: u16 = 10;

/// One service in detail, with its last log lines.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ServiceReport {
    /// Its properties.
    #[serde(flatten)]
    pub status: ServiceStatus,
    /// Its last log lines, the oldest first.
    pub log: Vec<LogLine>,
    /// Why the log is not here, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_error: Option<String>,
}

/// Asks for one service. One that does not exist is an answer: its `load_state` is `not-found`.
pub async fn get_service_status(reader: &dyn Reader, unit: &Unit) -> Result<ServiceReport, Failure> {
    let asker = Asker::new(reader);
    let query = LogQuery { unit: Some(unit.clone()), lines: Some(STATUS_LINES), ..LogQuery::default() };
    let (status, log) = futures::future::join(show::one(&asker, unit), logs::ask(&asker, &query)).await;
    let status = status?;
    let (log, log_error) = match log {
        Ok(log) => (log.lines, log.note.filter(|_| status.load_state != "not-found")),
        Err(e) => (Vec::new(), Some(e.to_string())),
    };
    Ok(ServiceReport { status, log, log_error })
}

impl ServiceReport {
    /// The state and the log.
    pub fn summary(&self) -> String {
        let mut text = self.status.summary();
        for line in &self.log {
            text.push_str(&format!("\n  {}", line.short(300)));
        }
        if let Some(error) = &self.log_error {
            text.push_str(&format!("\nlog: {error}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::*;

    #[test]
    fn status_and_log_of_a_real_service() {
        let fake = Fake::default()
            .with("systemctl show", answer(&sample("show-unbound.txt")))
            .with("journalctl", answer(&sample("journal.jsonl")));
        let report = block_on(get_service_status(&fake, &"unbound".parse().unwrap())).unwrap();
        assert_eq!(report.log.len(), 12);
        let text = report.summary();
        assert!(
            text.starts_with("unbound.service: active (running), enabled at boot, main process 498"),
            "{text}"
        );
        assert!(fake.asked().iter().any(|l| l.ends_with(" unbound.service")), "{:?}", fake.asked());
    }

    #[test]
    fn a_log_that_fails_does_not_hide_the_status() {
        let fake = Fake::default().with(
            "systemctl show",
            answer("Id=x.service\nLoadState=loaded\nActiveState=active\nSubState=running\n"),
        );
        let report = block_on(get_service_status(&fake, &"x".parse().unwrap())).unwrap();
        assert_eq!(report.log_error.as_deref(), Some("journalctl is not installed on the host"));
        assert_eq!(report.status.active_state, "active");
    }
}
