//! Single commands: what the policy says of them, and running those that it permits.

use policy::Level;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::analysis::{self, Analysis};

use crate::config::Host;
use crate::hosts::{Failure, hygiene};
use crate::mcp::toolbox::{Call, LOOK, Reply, Tool, ToolError, tool};
use crate::recovery::{self, Ask};

use super::{FromHost, host, untrusted_text};

pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool(
            "execute_ssh_command",
            "Run a read-only command",
            LOOK,
            "Runs one read-only command line that the policy permits, without a shell: no pipes, globs or variables. One that needs \
             approval is proposed, not run. Prefer the typed tools.",
            execute_ssh_command,
        ),
        tool(
            "analyze_command",
            "Analyze a command",
            LOOK,
            "What the policy says of a command line, without running it: auto, manual or blocked, why, and what to send instead.",
            analyze_command,
        ),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Execute {
    /// Name of a host from list_hosts.
    host: String,
    /// The command line, for example `systemctl status unbound`.
    command: String,
    /// For a command that needs approval: why it should run, for the person who decides.
    #[serde(default)]
    rationale: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CommandOutput {
    /// The command line as it was sent.
    command: String,
    /// Exit status; absent when the host named none, which is not success.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<i32>,
    stdout: String,
    stderr: String,
    /// Whether output was cut.
    truncated: bool,
    /// Control and invisible characters that were removed.
    removed_controls: usize,
    /// Secrets that were replaced.
    redactions: usize,
    elapsed_ms: u64,
}

async fn execute_ssh_command(
    call: Call,
    arguments: Execute,
) -> Result<Reply<FromHost<CommandOutput>>, ToolError> {
    let host = host(&call, &arguments.host)?;
    if call.app.catalogue().judge(&arguments.command).verdict == Level::Manual {
        return Err(propose(&call, host, arguments).await?);
    }
    let output = match call.app.read(host, &arguments.command, &call.caller).await {
        Err(refused @ Failure::Blocked { .. }) => {
            let said = analysis::analyse(&call.app.catalogue(), &arguments.command);
            let mut error = ToolError::from(refused);
            if !said.similar.is_empty() {
                error.message.push_str(&format!("; permitted and like it: {}", said.similar.join("; ")));
            }
            error.message.push_str(&parts(&said));
            error.details = json!({ "analysis": said });
            return Err(error);
        }
        output => output?,
    };
    // A cut last line may hold half of a secret.
    let stdout =
        if output.truncated { hygiene::clean_cut(&output.stdout) } else { hygiene::clean(&output.stdout) };
    let stderr = hygiene::clean(&output.stderr);
    let exit = output.exit.map_or_else(|| "unknown".to_owned(), |e| e.to_string());
    let mut text = format!("exit {exit}\n{}", stdout.text);
    if !stderr.text.is_empty() {
        text.push_str(&format!("\nstderr:\n{}", stderr.text));
    }
    let data = CommandOutput {
        command: arguments.command,
        exit: output.exit,
        truncated: output.truncated || stdout.truncated || stderr.truncated,
        removed_controls: stdout.removed_controls + stderr.removed_controls,
        redactions: stdout.redactions + stderr.redactions,
        stdout: stdout.text,
        stderr: stderr.text,
        elapsed_ms: output.ms,
    };
    Ok(Reply { text: untrusted_text(host, &text), data: FromHost::new(host, data) })
}

/// Puts a manual command before a person instead of running it; what comes back is the refusal that names the proposal.
async fn propose(call: &Call, host: &Host, arguments: Execute) -> Result<ToolError, ToolError> {
    let why = arguments.rationale.unwrap_or_else(|| "asked for without a reason".to_owned());
    let recovery::Proposed { proposal, .. } =
        recovery::propose(&call.app, host, &Ask::Command(arguments.command), &why, &call.caller).await?;
    let mut error = ToolError::new(
        "approval_required",
        format!(
            "nothing has run: this command needs a person's approval. It is proposed as {id}; a person reviews and signs it {}, then \
             call execute_pra_action(host={}, action=command, approval_token={id})",
            recovery::where_to_sign(&call.app, &proposal.id),
            host.name,
            id = proposal.id
        ),
    );
    error.details = json!({ "proposal": proposal.id });
    Ok(error)
}

/// The first parts of a shell program for reading; all are in the structured answer.
fn parts(said: &Analysis) -> String {
    const SHOWN: usize = 8;
    let told = said.told_parts();
    let mut text: String = told.iter().take(SHOWN).map(|p| format!("\n- {p}")).collect();
    if told.len() > SHOWN {
        text.push_str(&format!("\n- {} more in the structured answer", told.len() - SHOWN));
    }
    text
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Analyze {
    /// The command line.
    command: String,
    /// Name of a host from list_hosts; today's policy is the same for all.
    #[serde(default)]
    host: Option<String>,
}

async fn analyze_command(call: Call, arguments: Analyze) -> Result<Reply<Analysis>, ToolError> {
    if let Some(name) = &arguments.host {
        host(&call, name)?;
    }
    let data = analysis::analyse(&call.app.catalogue(), &arguments.command);
    let mut text = format!("{} ({} risk): {}.", data.verdict, data.risk, data.reason);
    text.push_str(match data.verdict.as_str() {
        "auto" => " execute_ssh_command runs it.",
        "manual" => " propose_pra_action with `command` proposes it to a person.",
        _ => " There is no way to run it.",
    });
    text.push_str(&parts(&data));
    if !data.similar.is_empty() {
        text.push_str(&format!("\nPermitted and like it: {}", data.similar.join("; ")));
    }
    if data.verdict == "blocked" {
        text.push_str(&format!("\nFor the operator: {}", data.recommendation.as_str()));
    }
    Ok(Reply { data, text })
}
