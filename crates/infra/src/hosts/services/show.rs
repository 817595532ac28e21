//! Properties of units, from `systemctl show`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::hosts::ask::{Asker, lacking};
use crate::hosts::hygiene::one_line;
use crate::hosts::operand::Unit;
use crate::hosts::reader::Failure;
use crate::hosts::units::bytes;

/// What is asked for: nothing that may hold a secret, such as `Environment`.
const PROPERTIES: &str = "--property=Id,Description,LoadState,ActiveState,SubState,Result,UnitFileState,Type,Restart,\
    ExecMainCode,ExecMainStatus,NRestarts,MainPID,MemoryCurrent,ActiveEnterTimestamp,InactiveEnterTimestamp,\
    ConditionResult,TriggeredBy";
/// Units in one question; the policy takes lines of 8 KiB.
const UNITS_AT_ONCE: usize = 25;

/// Properties of one service. Times are as the host writes them, in its own time zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServiceStatus {
    /// Unit name.
    pub unit: String,
    /// What it says it is.
    pub description: String,
    /// `loaded`, `not-found`, `masked`, `error`…
    pub load_state: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active_state: String,
    /// `running`, `exited`, `dead`, `auto-restart`…
    pub sub_state: String,
    /// How the last run ended: `success`, `exit-code`, `signal`, `oom-kill`, `timeout`, `start-limit-hit`…
    pub result: String,
    /// `enabled`, `disabled`, `static`, `masked`…
    pub unit_file_state: String,
    /// `simple`, `notify`, `forking`, `oneshot`…
    pub kind: String,
    /// Exit status, or signal, of the main process's last run; absent while it runs for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<i32>,
    /// How often systemd restarted it by itself.
    pub restarts: u32,
    /// Main process; absent when none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_pid: Option<u32>,
    /// Memory of all its processes; absent where it is not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// When it last became active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_since: Option<String>,
    /// When it last became inactive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive_since: Option<String>,
    /// Whether a condition of the unit kept it from starting.
    pub condition_failed: bool,
    /// Sockets and timers that start it when needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggered_by: Vec<String>,
}

/// Asks for the properties of units, in the order that systemctl gives.
pub(in crate::hosts) async fn show(asker: &Asker<'_>, units: &[Unit]) -> Result<Vec<ServiceStatus>, Failure> {
    let questions = units.chunks(UNITS_AT_ONCE).map(|chunk| async move {
        let mut argv = vec!["systemctl", "show", "--no-pager", PROPERTIES];
        argv.extend(chunk.iter().map(Unit::as_str));
        let told = asker.text(&argv).await?;
        Ok::<_, Failure>(read(&told.text))
    });
    let answers = futures::future::try_join_all(questions).await?;
    Ok(answers.into_iter().flatten().collect())
}

/// The question without its units.
#[cfg(test)]
pub(super) fn question() -> String {
    format!("systemctl show --no-pager {PROPERTIES}")
}

pub(super) async fn one(asker: &Asker<'_>, unit: &Unit) -> Result<ServiceStatus, Failure> {
    let found = show(asker, std::slice::from_ref(unit)).await?;
    found.into_iter().next().ok_or_else(|| lacking("systemctl", "show names no ActiveState"))
}

/// Blocks of `Name=value`, a blank line between units. A block that names no state is left out.
fn read(text: &str) -> Vec<ServiceStatus> {
    text.split("\n\n").filter_map(block).collect()
}

fn block(text: &str) -> Option<ServiceStatus> {
    let values: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.trim().split_once('=')).collect();
    let get = |key: &str| values.get(key).copied().unwrap_or_default().trim();
    let word = |key: &str| one_line(get(key), 60);
    let time = |key: &str| Some(one_line(get(key), 60)).filter(|t| !t.is_empty() && t != "n/a");
    if get("ActiveState").is_empty() {
        return None;
    }
    Some(ServiceStatus {
        unit: one_line(get("Id"), 255),
        description: one_line(get("Description"), 120),
        load_state: word("LoadState"),
        active_state: word("ActiveState"),
        sub_state: word("SubState"),
        result: word("Result"),
        unit_file_state: word("UnitFileState"),
        kind: word("Type"),
        // Code 0: the main process has not ended yet, so its status means nothing.
        exit_status: get("ExecMainStatus").parse().ok().filter(|_| get("ExecMainCode") != "0"),
        restarts: get("NRestarts").parse().unwrap_or(0),
        main_pid: get("MainPID").parse().ok().filter(|pid| *pid != 0),
        // `[not set]`, and the largest number for the same in older versions.
        memory_bytes: get("MemoryCurrent").parse().ok().filter(|n| *n != u64::MAX),
        active_since: time("ActiveEnterTimestamp"),
        inactive_since: time("InactiveEnterTimestamp"),
        condition_failed: get("ConditionResult") == "no" && !get("ActiveState").starts_with("act"),
        triggered_by: get("TriggeredBy").split_whitespace().take(8).map(|u| one_line(u, 255)).collect(),
    })
}

impl ServiceStatus {
    /// How the last run ended, in words; empty when it ended well.
    pub fn how_it_ended(&self) -> String {
        let status = self.exit_status.unwrap_or(0);
        match self.result.as_str() {
            "" | "success" => String::new(),
            "exit-code" => format!("exit status {status}{}", exit_meaning(status)),
            "signal" => format!("ended by signal {status}"),
            "core-dump" => format!("crashed with signal {status}"),
            "oom-kill" => "killed for lack of memory (OOM)".to_owned(),
            "start-limit-hit" => format!("gave up after {} restarts (start limit hit)", self.restarts),
            "timeout" => "timed out".to_owned(),
            "watchdog" => "its watchdog ran out".to_owned(),
            other => other.to_owned(),
        }
    }

    /// One or two lines.
    pub fn summary(&self) -> String {
        let mut parts = vec![format!("{}: {} ({})", self.unit, self.active_state, self.sub_state)];
        if self.load_state != "loaded" {
            parts.push(self.load_state.clone());
        }
        match self.unit_file_state.as_str() {
            "" => {}
            "enabled" => parts.push("enabled at boot".to_owned()),
            other => parts.push(other.to_owned()),
        }
        parts.extend(self.main_pid.map(|pid| format!("main process {pid}")));
        parts.extend(self.memory_bytes.map(|n| format!("memory {}", bytes(n))));
        let since = if self.active_state == "active" { &self.active_since } else { &self.inactive_since };
        parts.extend(since.as_ref().map(|t| format!("since {t}")));
        if self.restarts > 0 {
            parts.push(format!("restarted {} times", self.restarts));
        }
        parts.extend(Some(self.how_it_ended()).filter(|e| !e.is_empty()));
        parts.join(", ")
    }
}

/// Statuses that systemd itself sets when it cannot run the program.
fn exit_meaning(status: i32) -> &'static str {
    match status {
        200 => " (its working directory is missing)",
        203 => " (its program cannot be executed)",
        208 => " (its standard input cannot be set up)",
        209 => " (its standard output cannot be set up)",
        216 => " (its group does not exist)",
        217 => " (its user does not exist)",
        226 => " (its mount namespace cannot be set up)",
        238 => " (its state directory cannot be set up)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fake::sample;
    use super::*;

    #[test]
    fn a_real_answer_is_read() {
        let units = read(&sample("show-unbound.txt"));
        assert_eq!(units.len(), 1);
        let unbound = &units[0];
        assert_eq!(unbound.unit, "unbound.service");
        assert_eq!((unbound.kind.as_str(), unbound.unit_file_state.as_str()), ("notify", "enabled"));
        assert_eq!(
            (unbound.main_pid, unbound.memory_bytes, unbound.exit_status),
            (Some(498), Some(8_425_472), None)
        );
        assert_eq!(unbound.active_since.as_deref(), Some("Tue 2026-11-24 05:05:04 UTC"));
        assert_eq!(unbound.inactive_since, unbound.active_since, "it was restarted");
        assert!(!unbound.condition_failed);
    }

    #[test]
    fn several_units_and_failures() {
        let units = read(
            "Id=a.service\nActiveState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=203\n\nId=b.service\nActiveState=inactive\nConditionResult=no\nMemoryCurrent=[not set]\nTriggeredBy=b.socket b.timer\n\nId=c.service\n\n",
        );
        assert_eq!(units.len(), 2);
        assert_eq!(units[0].how_it_ended(), "exit status 203 (its program cannot be executed)");
        assert_eq!(units[1].triggered_by, ["b.socket", "b.timer"]);
        assert!(units[1].condition_failed && units[1].memory_bytes.is_none());
    }

    #[test]
    fn broken_answers_do_no_harm() {
        let whole = sample("show-unbound.txt");
        for cut in 0..whole.len() {
            read(&whole[..cut]);
        }
        let units = read(
            "ActiveState=failed\nMainPID=-1\nNRestarts=99999999999\nExecMainStatus=x\nResult=start-limit-hit\n",
        );
        assert_eq!((units[0].main_pid, units[0].restarts), (None, 0));
        assert!(!units[0].summary().contains('\n'));
    }
}
