//! What only asking for it shows: that nothing but the forced commands answers, and that the way to root's verifier stands.

use serde_json::{Value, json};

use crate::app::App;
use crate::config::Host;
use crate::hosts::hygiene::clean;
use crate::recovery::RecoveryError;
use crate::ssh::{Account, ExecOutput};
use crate::store::Audit;

use super::{Check, mend};

/// What a shell would run and a forced command refuses.
pub(crate) const FOR_A_SHELL: &str = "true; true";
const INSTALL: &str = "install the target again: scripts/install-target.sh lays the login shells, the Match blocks of sshd and the keys";

async fn ask(app: &App, host: &Host, account: Account, line: &str) -> Result<ExecOutput, RecoveryError> {
    let word = if account == Account::Reader { "reader" } else { "runner" };
    let data = json!({ "host": host.name, "account": word, "line": line });
    let receipt = app.audit(&Audit { event: "probe", data }).await?;
    // With input the reader's line gets a channel of its own, which sshd hands to the forced command.
    Ok(app.pool().exec(host, account, line, Some(b""), &receipt).await?)
}

/// Whether a line for a shell was refused, and by whom it must have been.
pub(crate) fn refused_by(program: &str, output: &ExecOutput) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    output.exit == Some(126) && said.trim_start().starts_with(&format!("{program}: blocked"))
}

/// Whether the reader's account runs the wrapper whatever is asked.
pub(super) async fn forced_command(app: &App, host: &Host) -> Check {
    match ask(app, host, Account::Reader, FOR_A_SHELL).await {
        Err(e) => Check::ill("forced_command", e.to_string(), mend(host, &e)),
        Ok(output) if refused_by("mcp-wrapper", &output) => {
            Check::well("forced_command", "mcp-wrapper answers, and refuses a line for a shell")
        }
        Ok(output) => Check::ill("forced_command", not_refused("mcp-wrapper", &output), INSTALL),
    }
}

fn not_refused(program: &str, output: &ExecOutput) -> String {
    let said = clean(&output.stderr).text;
    format!("{program} did not refuse a line for a shell: exit {:?} {}", output.exit, said.trim())
}

/// Whether the runner's account runs `pra-exec` whatever is asked, and hands a grant to root's verifier. The grant is empty: it is
/// refused, behind everything that must stand for a real one.
pub(super) async fn runner(app: &App, host: &Host) -> Vec<Check> {
    match ask(app, host, Account::Runner, FOR_A_SHELL).await {
        Err(e) => return vec![Check::ill("runner", e.to_string(), mend(host, &e))],
        Ok(output) if refused_by("pra-exec", &output) => {}
        Ok(output) => return vec![Check::ill("runner", not_refused("pra-exec", &output), INSTALL)],
    }
    let well = Check::well(
        "runner",
        format!("{} is logged in, and pra-exec refuses a line for a shell", host.runner_user),
    );
    match ask(app, host, Account::Runner, "grant").await {
        Err(e) => vec![well, Check::ill("sudoers", e.to_string(), mend(host, &e))],
        Ok(output) => {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let said = clean(&output.stderr).text;
            let mut checks = vec![well];
            checks.extend(verifier(&answer, output.exit, said.trim()));
            checks
        }
    }
}

/// What the answer to an empty grant tells. Pure.
pub(super) fn verifier(answer: &Value, exit: Option<i32>, said: &str) -> Vec<Check> {
    let message = answer["message"].as_str().unwrap_or(said);
    let rule = "scripts/install-target.sh lays /etc/sudoers.d/mcp-linux-infra with: pra-runner ALL=(root) NOPASSWD: \
                /usr/local/sbin/pra-run \"\" (from a package: /usr/sbin/pra-run); then: sudo -l -U pra-runner";
    if answer["outcome"] != "refused" {
        return vec![Check::ill(
            "sudoers",
            format!("pra-run does not answer through sudo: exit {exit:?} {said}"),
            rule,
        )];
    }
    let sudo = Check::well("sudoers", "pra-run answers through sudo");
    let mend = match answer["code"].as_str().unwrap_or_default() {
        // Which of the two depends on what is looked at first; both lie behind configuration and ledger.
        "malformed" | "too_few_approvers" => {
            let detail =
                "pra-run runs as root, reads its configuration and its ledger, and refuses an empty grant";
            return vec![sudo, Check::well("verifier", detail)];
        }
        "ledger_missing" => {
            "find out who removed it, then run scripts/install-target.sh again: it makes a new one, and grants from before stay refused"
        }
        "audit_unavailable" => {
            "mend the log first (syslog on /dev/log, /var/log/pra-run.log): without a record nothing runs"
        }
        "config" => "mend the file that the cause names, in /etc/mcp-linux-infra, as root",
        _ => INSTALL,
    };
    vec![sudo, Check::ill("verifier", format!("{}: {message}", answer["code"].as_str().unwrap_or("?")), mend)]
}
