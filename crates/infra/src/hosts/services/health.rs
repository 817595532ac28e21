//! Whether a service is well, with reasons.

use futures::future::{join, try_join_all};
use schemars::JsonSchema;
use serde::Serialize;

use super::show::{self, ServiceStatus};
use crate::hosts::Row;
use crate::hosts::ask::Asker;
use crate::hosts::logs::{self, LogQuery};
use crate::hosts::operand::{Priority, Unit};
use crate::hosts::reader::{Failure, Reader};

/// Error lines that are looked at.
const ERROR_LINES: u16 = 5;

/// Whether a service is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServiceHealth {
    /// Unit name.
    pub unit: String,
    /// Active, and no reason speaks against it.
    pub healthy: bool,
    /// `active`, `inactive`, `failed`…
    pub active_state: String,
    /// `running`, `exited`, `dead`…
    pub sub_state: String,
    /// Why it is not well; empty when it is.
    pub reasons: Vec<String>,
    /// What is worth knowing and speaks for neither.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Most services in one question.
pub const MAX_CHECKED: usize = 25;

/// Asks whether services are well, all at the same time; those that are not come first.
pub async fn check_service_health(
    reader: &dyn Reader,
    units: &[Unit],
) -> Result<Vec<ServiceHealth>, Failure> {
    if !(1..=MAX_CHECKED).contains(&units.len()) {
        let value = units.len().to_string();
        return Err(Failure::BadOperand { what: "services", value, cause: "name 1 to 25" });
    }
    let asker = Asker::new(reader);
    let mut found = try_join_all(units.iter().map(|unit| one(&asker, unit))).await?;
    found.sort_by_key(|health| health.healthy);
    Ok(found)
}

/// Asks whether a service is well.
pub async fn verify_service(reader: &dyn Reader, unit: &Unit) -> Result<ServiceHealth, Failure> {
    one(&Asker::new(reader), unit).await
}

async fn one(asker: &Asker<'_>, unit: &Unit) -> Result<ServiceHealth, Failure> {
    let query = LogQuery {
        unit: Some(unit.clone()),
        lines: Some(ERROR_LINES),
        since: "15min".parse().ok(),
        priority: Some(Priority::Err),
        ..LogQuery::default()
    };
    let (status, log) = join(show::one(asker, unit), logs::ask(asker, &query)).await;
    let status = status?;
    let mut health = judge(&status);
    match log {
        // Errors that stand in the log of a service that runs may be old news.
        Ok(log) => health.notes.extend(log.lines.iter().map(|l| format!("log: {}", l.short(200)))),
        Err(e) => health.notes.push(format!("its log was not read: {e}")),
    }
    Ok(health)
}

fn judge(status: &ServiceStatus) -> ServiceHealth {
    let mut reasons = Vec::new();
    let mut notes = Vec::new();
    let ended = status.how_it_ended();
    let because = if ended.is_empty() { String::new() } else { format!(": {ended}") };
    match (status.load_state.as_str(), status.active_state.as_str()) {
        ("not-found", _) => reasons.push("there is no such unit".to_owned()),
        ("masked", state) if state != "active" => reasons.push("it is masked, so it cannot start".to_owned()),
        ("error" | "bad-setting", _) => reasons.push("its unit file cannot be read".to_owned()),
        (_, "active" | "reloading") => {}
        (_, "activating") if status.sub_state == "auto-restart" => {
            reasons.push(format!("it ends again and again; systemd waits before the next start{because}"));
        }
        (_, "activating") => reasons.push("it is still starting".to_owned()),
        (_, "failed") => reasons.push(format!("it failed{because}")),
        (_, state) => reasons.push(format!("it is {state}{because}")),
    }
    let has_process = !matches!(status.kind.as_str(), "oneshot" | "");
    if status.active_state == "active" && has_process && status.sub_state == "exited" {
        reasons.push("it is active but its process has ended".to_owned());
    }
    if status.restarts > 0 {
        notes.push(format!(
            "systemd restarted it {} times since it was last started by hand",
            status.restarts
        ));
    }
    if matches!(status.unit_file_state.as_str(), "disabled" | "masked") {
        notes.push(format!("it is {}: it does not start at boot", status.unit_file_state));
    }
    ServiceHealth {
        unit: status.unit.clone(),
        healthy: reasons.is_empty(),
        active_state: status.active_state.clone(),
        sub_state: status.sub_state.clone(),
        reasons,
        notes,
    }
}

impl Row for ServiceHealth {
    fn line(&self) -> String {
        self.summary()
    }
}

impl ServiceHealth {
    /// A line, and one for each reason and note.
    pub fn summary(&self) -> String {
        let verdict = if self.healthy { "healthy" } else { "NOT healthy" };
        let mut text = format!("{}: {verdict}, {} ({})", self.unit, self.active_state, self.sub_state);
        self.reasons.iter().for_each(|r| text.push_str(&format!("\n- {r}")));
        self.notes.iter().for_each(|n| text.push_str(&format!("\n  note: {n}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fake::{Fake, answer, block_on, sample};
    use super::super::super::reader::Output;
    use super::*;

    fn verify(show: &str) -> ServiceHealth {
        let fake = Fake::default().with("systemctl show", answer(show)).with("journalctl", answer(""));
        block_on(verify_service(&fake, &"x".parse().unwrap())).unwrap()
    }

    #[test]
    fn a_running_service_is_healthy() {
        let health = verify(&sample("show-unbound.txt"));
        assert!(health.healthy && health.reasons.is_empty(), "{health:?}");
        assert_eq!(health.summary(), "unbound.service: healthy, active (running)");
    }

    #[test]
    fn each_way_of_being_ill_has_its_reason() {
        for (show, reason) in [
            ("LoadState=not-found\nActiveState=inactive", "no such unit"),
            ("LoadState=masked\nActiveState=inactive", "masked"),
            ("LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success", "it is inactive"),
            ("LoadState=loaded\nActiveState=failed\nResult=oom-kill", "OOM"),
            (
                "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=1",
                "again and again",
            ),
            ("LoadState=loaded\nActiveState=activating\nSubState=start", "still starting"),
            ("LoadState=loaded\nActiveState=active\nSubState=exited\nType=simple", "its process has ended"),
            ("LoadState=loaded\nActiveState=active\u{200b}", "it is active"),
        ] {
            let health = verify(show);
            let odd = show.contains('\u{200b}');
            assert_eq!(health.healthy, odd, "{show}");
            assert!(odd || health.reasons[0].contains(reason), "{show}: {:?}", health.reasons);
        }
        assert!(verify("LoadState=loaded\nActiveState=active\nSubState=exited\nType=oneshot").healthy);
    }

    #[test]
    fn of_several_services_the_ill_ones_come_first() {
        let stopped =
            "Id=b.service\nLoadState=loaded\nActiveState=failed\nResult=exit-code\nExecMainStatus=3";
        let fake = Fake::default()
            .with("systemctl show", answer(&sample("show-unbound.txt")))
            .with("systemctl show --no-pager", answer(&sample("show-unbound.txt")))
            .with(&format!("{} b.service", show::question()), answer(stopped))
            .with("journalctl", answer(""));
        let units = ["unbound".parse().unwrap(), "b".parse().unwrap()];
        let found = block_on(check_service_health(&fake, &units)).unwrap();
        let told: Vec<_> = found.iter().map(|h| (h.unit.as_str(), h.healthy)).collect();
        assert_eq!(told, [("b.service", false), ("unbound.service", true)]);
        assert!(found[0].line().contains("it failed: exit status 3"), "{}", found[0].line());
        for units in [Vec::new(), vec![units[0].clone(); 26]] {
            assert_eq!(block_on(check_service_health(&fake, &units)).unwrap_err().code(), "bad_arguments");
        }
    }

    #[test]
    fn no_status_is_not_healthy() {
        let unknown = Output { exit: None, ..answer(&sample("show-unbound.txt")) };
        let fake = Fake::default().with("systemctl", unknown).with("journalctl", answer(""));
        assert_eq!(
            block_on(verify_service(&fake, &"x".parse().unwrap())).unwrap_err().code(),
            "exit_unknown"
        );
        let empty = Fake::default().with("systemctl", answer(""));
        assert_eq!(
            block_on(verify_service(&empty, &"x".parse().unwrap())).unwrap_err().code(),
            "unreadable_output"
        );
    }

    #[test]
    fn errors_in_the_log_are_notes() {
        let fake = Fake::default()
            .with("systemctl show", answer(&sample("show-unbound.txt")))
            .with("journalctl", answer("{\"MESSAGE\":\"bind: address already in use\",\"PRIORITY\":\"3\",\"_SYSTEMD_UNIT\":\"x.service\"}\n"));
        let health = block_on(verify_service(&fake, &"x".parse().unwrap())).unwrap();
        assert!(health.healthy && health.notes[0].contains("address already in use"));
    }
}
