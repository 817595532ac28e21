//! The list of services, and of what should run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::Row;
use crate::hosts::ask::Asker;
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::{Failure, Reader};

/// Most services in one answer.
pub const MAX_SERVICES: u16 = 500;
/// Services when no number is asked for.
pub const DEFAULT_SERVICES: u16 = 50;

/// Which services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum ServiceState {
    /// Those that failed.
    Failed,
    /// Those that run.
    Running,
    /// Those that are loaded but do not run.
    Inactive,
    /// All that are loaded.
    #[default]
    All,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServiceRow {
    /// Unit name.
    pub unit: String,
    /// `active`, `inactive`, `failed`, `activating`…
    pub active_state: String,
    /// `running`, `exited`, `dead`, `auto-restart`…
    pub sub_state: String,
    /// What it says it is.
    pub description: String,
}

/// Services, failed ones first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServiceList {
    /// The services that were asked for, at most the limit.
    pub services: Vec<ServiceRow>,
    /// How many there are in that state.
    pub matching: usize,
    /// How many run, of all.
    pub running: usize,
    /// How many failed, of all.
    pub failed: usize,
    /// Whether some that were asked for are missing here.
    pub truncated: bool,
}

/// A row of `systemctl list-units`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in crate::hosts) struct UnitRow {
    pub(in crate::hosts) unit: String,
    #[serde(default)]
    pub(in crate::hosts) load: String,
    pub(in crate::hosts) active: String,
    #[serde(default)]
    pub(in crate::hosts) sub: String,
    #[serde(default)]
    pub(in crate::hosts) description: String,
}

/// Asks for the services in a state; `limit` is 1 to [`MAX_SERVICES`], [`DEFAULT_SERVICES`] when absent.
pub async fn list_services(
    reader: &dyn Reader,
    state: ServiceState,
    limit: Option<u16>,
) -> Result<ServiceList, Failure> {
    let limit = limit.unwrap_or(DEFAULT_SERVICES);
    if !(1..=MAX_SERVICES).contains(&limit) {
        return Err(Failure::BadOperand {
            what: "limit",
            value: limit.to_string(),
            cause: "ask for 1 to 500",
        });
    }
    let mut rows = units(&Asker::new(reader)).await?;
    rows.retain(|row| row.load != "not-found");
    let (running, failed) = (count(&rows, ServiceState::Running), count(&rows, ServiceState::Failed));
    rows.retain(|row| is_in(row, state));
    rows.sort_by(|a, b| (a.active != "failed", &a.unit).cmp(&(b.active != "failed", &b.unit)));
    let matching = rows.len();
    let services: Vec<ServiceRow> = rows.into_iter().take(limit.into()).map(ServiceRow::from).collect();
    Ok(ServiceList { truncated: services.len() < matching, services, matching, running, failed })
}

fn count(rows: &[UnitRow], state: ServiceState) -> usize {
    rows.iter().filter(|row| is_in(row, state)).count()
}

fn is_in(row: &UnitRow, state: ServiceState) -> bool {
    match state {
        ServiceState::Failed => row.active == "failed",
        ServiceState::Running => row.sub == "running",
        ServiceState::Inactive => row.active == "inactive",
        ServiceState::All => true,
    }
}

impl Row for ServiceRow {
    fn line(&self) -> String {
        format!("{} {} ({}): {}", self.unit, self.active_state, self.sub_state, self.description)
    }
}

impl From<UnitRow> for ServiceRow {
    fn from(row: UnitRow) -> Self {
        Self {
            unit: one_line(&row.unit, 255),
            active_state: one_line(&row.active, 40),
            sub_state: one_line(&row.sub, 40),
            description: one_line(&row.description, 120),
        }
    }
}

/// All loaded services, those that something only refers to included.
pub(in crate::hosts) async fn units(asker: &Asker<'_>) -> Result<Vec<UnitRow>, Failure> {
    asker.json(&["systemctl", "list-units", "--no-pager", "--type=service", "--all", "--output=json"]).await
}

/// Failed units of every type.
pub(in crate::hosts) async fn failed_units(asker: &Asker<'_>) -> Result<Vec<UnitRow>, Failure> {
    asker.json(&["systemctl", "list-units", "--no-pager", "--failed", "--output=json"]).await
}

/// Names of the services that are enabled at boot, templates left out.
pub(in crate::hosts) async fn enabled(asker: &Asker<'_>) -> Result<Vec<String>, Failure> {
    #[derive(Deserialize)]
    struct File {
        unit_file: String,
        state: String,
    }
    let argv =
        ["systemctl", "list-unit-files", "--no-pager", "--type=service", "--state=enabled", "--output=json"];
    let files: Vec<File> = asker.json(&argv).await?;
    let named = |f: &File| f.state == "enabled" && !f.unit_file.contains("@.");
    Ok(files.into_iter().filter(named).map(|f| f.unit_file).collect())
}

impl ServiceList {
    /// A count and a line for each service.
    pub fn summary(&self) -> String {
        let mut text =
            format!("{} running, {} failed; {} asked for", self.running, self.failed, self.matching);
        for row in &self.services {
            text.push_str(&format!(
                "\n{} {}/{}  {}",
                row.unit, row.active_state, row.sub_state, row.description
            ));
        }
        if self.truncated {
            text.push_str(&format!("\nand {} more: raise limit", self.matching - self.services.len()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fake::{Fake, answer, block_on, sample};
    use super::*;

    fn host() -> Fake {
        Fake::default().with("systemctl list-units", answer(&sample("list-units.json")))
    }

    #[test]
    fn states_and_limits() {
        let all = block_on(list_services(&host(), ServiceState::All, Some(500))).unwrap();
        assert!(!all.truncated && all.matching == all.services.len() && all.failed == 0);
        assert!(all.services.iter().all(|s| s.unit != "auditd.service"), "what does not exist is no service");
        let running = block_on(list_services(&host(), ServiceState::Running, Some(2))).unwrap();
        assert_eq!((running.services.len(), running.truncated), (2, true));
        assert_eq!(running.matching, all.running);
        assert!(running.summary().contains("more: raise limit"));
        let inactive = block_on(list_services(&host(), ServiceState::Inactive, None)).unwrap();
        assert!(inactive.services.iter().all(|s| s.active_state == "inactive") && inactive.matching > 5);
        for limit in [0, 501] {
            assert_eq!(
                block_on(list_services(&host(), ServiceState::All, Some(limit))).unwrap_err().code(),
                "bad_arguments"
            );
        }
    }

    #[test]
    fn failed_ones_come_first_and_names_stay_on_their_line() {
        let raw = r#"[{"unit":"a.service","load":"loaded","active":"active","sub":"running","description":"x"},
            {"unit":"z\nfake.service active/running","load":"loaded","active":"failed","sub":"failed","description":"\u001b[31mred\u202e"}]"#;
        let list =
            block_on(list_services(&Fake::default().with("systemctl", answer(raw)), ServiceState::All, None))
                .unwrap();
        assert_eq!(list.services[0].active_state, "failed");
        assert_eq!(list.services[0].description, "red");
        assert_eq!(list.summary().lines().count(), 3);
    }

    #[test]
    fn broken_answers_are_errors_or_empty() {
        for (raw, services) in [
            ("", Some(0)),
            ("[]", Some(0)),
            ("[{}]", None),
            ("{}", None),
            ("null", None),
            ("[{\"unit\":5}]", None),
        ] {
            let list = block_on(list_services(
                &Fake::default().with("systemctl", answer(raw)),
                ServiceState::All,
                None,
            ));
            assert_eq!(list.ok().map(|l| l.services.len()), services, "{raw}");
        }
    }
}
